"""What the items are: names, words and categories.

Knows one row of text an item and how to make one plain text of it. Does not know who bought the item, nor any
language model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Vocabulary

SCHEMA = {
    "item_id": pl.String,
    "title": pl.String,
    "description": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "attributes": pl.List(pl.String),
}
"""Columns of `Catalog.frame`, in order: three nullable texts and two lists that may be empty but are never null."""

TEXT_LIMIT = 1500
"""Characters `Catalog.texts` spends on an item unless told otherwise."""


def attribute_names(brand: str | None, path: Sequence[str]) -> list[str]:
    """Brand and category names without the root, each once: what a shop shows as an item's attributes."""
    below = path[1:] if len(path) > 1 else path
    return list(dict.fromkeys([*([brand] if brand else []), *below]))


@dataclass(frozen=True)
class Catalog:
    """Item texts in vocabulary order: row r of ``frame`` describes item r of ``items``.

    ``frame`` has the columns of `SCHEMA`; ``categories`` runs from broad to specific and may be empty.
    """

    items: Vocabulary
    frame: pl.DataFrame

    def __post_init__(self) -> None:
        if dict(self.frame.schema) != SCHEMA:
            raise DataError(f"a catalog needs the columns {', '.join(SCHEMA)}; found {dict(self.frame.schema)}")
        if not self.frame["item_id"].equals(self.items.texts):
            raise MisalignedArrays(
                f"the catalog's {self.frame.height:,} rows do not follow the order of its {len(self.items):,} item ids"
            )

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Catalog:
        """A catalog from a table whose ``item_id`` are unique strings; other columns of `SCHEMA` may be missing.

        Rows are put in vocabulary order, surrounding blanks and empty texts become null, null lists become empty.
        """
        items = Vocabulary.of(frame["item_id"])
        return cls(items, _align(tidy(frame), items))

    @classmethod
    def aligned(cls, frame: pl.DataFrame, items: Vocabulary) -> Catalog:
        """The rows of ``items`` in a tidy table of unique ``item_id`` in any order; items not in it are empty."""
        return cls(items, _align(frame, items))

    @classmethod
    def empty(cls, items: Vocabulary) -> Catalog:
        """A catalog that knows the ids and nothing else."""
        return cls.of(pl.DataFrame({"item_id": []}, schema={"item_id": pl.String})).take(items)

    def take(self, vocabulary: Vocabulary) -> Catalog:
        """The rows of ``vocabulary`` in its order; an item this catalog does not have stays, with empty text.

        Count those that stay without text through ``has_text``.
        """
        return Catalog.aligned(self.frame, vocabulary)

    def without(self, items: Collection[str]) -> Catalog:
        """The rows of all other items."""
        gone = set(items)
        return self.take(Vocabulary(tuple(item for item in self.items.ids if item not in gone)))

    def has_text(self) -> npt.NDArray[np.bool_]:
        """(items,) whether a row says anything beyond its id."""
        return self.frame.select(says_something()).to_series().to_numpy().astype(np.bool_)

    def text(self, row: int, *, limit: int = TEXT_LIMIT) -> str:
        """The plain text of one row, at most ``limit`` characters; see `texts`."""
        return sentence(self.frame.row(row, named=True), limit)

    def texts(self, *, limit: int = TEXT_LIMIT) -> list[str]:
        """One plain text an item: title, category path, brand, further attributes, description, in that order.

        Parts end in a full stop; a text longer than ``limit`` characters ends at a word, with ``…``. An item without
        text gives an empty string.
        """
        return [sentence(row, limit) for row in self.frame.iter_rows(named=True)]


def tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a catalogue in a table that has some: surrounding blanks and empty texts become null."""
    columns: list[pl.Expr] = []
    for name, dtype in SCHEMA.items():
        if name not in frame.columns:
            columns.append(pl.lit(None, dtype=dtype).alias(name))
        elif name == "item_id":
            columns.append(pl.col(name).cast(pl.String))
        elif dtype == pl.String:
            columns.append(pl.col(name).cast(pl.String).str.strip_chars().replace("", None))
        else:
            columns.append(pl.col(name).cast(dtype))
    return frame.select(columns)


def _align(frame: pl.DataFrame, items: Vocabulary) -> pl.DataFrame:
    wanted = pl.DataFrame({"item_id": items.texts})
    aligned = wanted.join(frame, on="item_id", how="left", maintain_order="left")
    return aligned.select(
        *(pl.col(name) for name, dtype in SCHEMA.items() if dtype == pl.String),
        *(pl.col(name).fill_null([]) for name in ("categories", "attributes")),
    )


def says_something() -> pl.Expr:
    """Whether a row of a catalogue's table says anything beyond its id."""
    texts = [pl.col(name).is_not_null() for name in ("title", "description", "brand")]
    lists = [pl.col(name).list.len() > 0 for name in ("categories", "attributes")]
    return pl.any_horizontal(*texts, *lists)


def text_parts(row: Mapping[str, object]) -> list[str]:
    """Title, category path, brand, further attributes and description of a row, each one line, without empty ones."""
    categories = _strings(row["categories"])
    said = {*categories, row["brand"]}
    others = [name for name in _strings(row["attributes"]) if name not in said and name not in str(row["brand"])]
    parts = (row["title"], " > ".join(categories), row["brand"], ", ".join(others), row["description"])
    return [" ".join(str(part).split()) for part in parts if part]


def sentence(row: Mapping[str, object], limit: int) -> str:
    """The text of a row of a catalogue; see `Catalog.texts`."""
    return shorten(" ".join(_stop(part) for part in text_parts(row)), limit)


def _strings(values: object) -> list[str]:
    return [str(value) for value in values if value] if isinstance(values, Iterable) else []


def _stop(part: str) -> str:
    return part if part.endswith((".", "!", "?", "…")) else f"{part}."


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters of a text, ended at a word and with ``…`` where some were cut."""
    if len(text) <= limit:
        return text
    head, _, _ = text[:limit].rpartition(" ")
    return (head or text[: limit - 1]).rstrip(" ,;:-") + "…"
