"""Results as rows that know how to show themselves.

Knows how a sequence of flat, frozen rows becomes a text table, HTML, plain dictionaries or a data frame of polars or
pandas. Does not know how the rows were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import polars as pl

from hyperllm.errors import ConfigError
from hyperllm.serving.explain import Reasons

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 60
_WIDEST = 60


@dataclass(frozen=True)
class Recommendation:
    """One recommended item. ``rank`` counts from 1; ``score`` is higher the better; ``reasons`` only on request."""

    user_id: str
    item_id: str
    rank: int
    score: float
    title: str | None
    reasons: Reasons | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values; reasons that were not asked for are left out."""
        return {key: value for key, value in asdict(self).items() if key != "reasons" or value is not None}


@dataclass(frozen=True)
class SimilarItem:
    """One neighbour of the item ``query_id``. ``rank`` counts from 1; ``score`` is higher the nearer."""

    query_id: str
    item_id: str
    rank: int
    score: float
    title: str | None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


Row = TypeVar("Row", Recommendation, SimilarItem)


@dataclass(frozen=True)
class Table(Generic[Row]):
    """``rows`` in the order asked for, best first within each query; iterate, index, print, or turn into a frame."""

    rows: tuple[Row, ...]
    row_type: ClassVar[type]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> Row:
        return self.rows[place]

    @property
    def item_ids(self) -> list[str]:
        """The found items' ids, row by row."""
        return [row.item_id for row in self.rows]

    @property
    def scores(self) -> list[float]:
        """The scores, row by row."""
        return [row.score for row in self.rows]

    def documents(self) -> list[dict[str, Any]]:
        """The rows as JSON values; reasons that were not asked for are left out."""
        return [row.document() for row in self.rows]

    def columns(self) -> dict[str, list[Any]]:
        """Column name -> values; reasons as text."""
        found: dict[str, list[Any]] = {
            f.name: [getattr(row, f.name) for row in self.rows] for f in fields(self.row_type)
        }
        reasons = found.pop("reasons", [])
        if any(r is not None for r in reasons):
            found["reasons"] = [None if r is None else str(r) for r in reasons]
        return found

    def to_polars(self) -> pl.DataFrame:
        """A polars data frame."""
        types = {"rank": pl.Int64, "score": pl.Float64}
        columns = self.columns()
        return pl.DataFrame(columns, schema={name: types.get(name, pl.String) for name in columns})

    def to_pandas(self) -> pd.DataFrame:
        """A pandas data frame; raises `ConfigError` where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ConfigError("to_pandas() needs pandas: pip install pandas. to_polars() works without it.") from None
        return pandas.DataFrame(self.columns())

    def __str__(self) -> str:
        columns = self.columns()
        lines = [list(columns), *zip(*(map(_cell, v[:_SHOWN]) for v in columns.values()), strict=True)]
        widths = [max(len(line[c]) for line in lines) for c in range(len(columns))]
        text = ["  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        if len(self) > _SHOWN:
            text.append(f"… and {len(self) - _SHOWN:,} more")
        return "\n".join(text)

    def _repr_html_(self) -> str:
        columns = self.columns()
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(v, widest=10**6))}</td>" for v in line) + "</tr>"
            for line in zip(*(v[:_SHOWN] for v in columns.values()), strict=True)
        )
        more = f"<p>… and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


@dataclass(frozen=True)
class Recommendations(Table[Recommendation]):
    """The answer of `Recommender.recommend`."""

    row_type = Recommendation

    def of(self, user_id: str) -> tuple[Recommendation, ...]:
        """The rows of one user, best first."""
        return tuple(row for row in self.rows if row.user_id == user_id)


@dataclass(frozen=True)
class SimilarItems(Table[SimilarItem]):
    """The answer of `Recommender.similar`."""

    row_type = SimilarItem

    def of(self, query_id: str) -> tuple[SimilarItem, ...]:
        """The rows of one item asked about, nearest first."""
        return tuple(row for row in self.rows if row.query_id == query_id)


def _cell(value: Any, widest: int = _WIDEST) -> str:
    if value is None:
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= widest else text[: widest - 1] + "…"
