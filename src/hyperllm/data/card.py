"""The data set card: Table 1's statistics and what a reader asks next.

Knows how to count a data set and print it. Does not know where it came from or how it will be split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from hyperllm.data.catalog import Catalog
from hyperllm.data.interactions import Interactions
from hyperllm.errors import MisalignedArrays
from hyperllm.ids import Rows

TOKENIZER = "words-and-marks"
"""Name of the tokenizer behind ``mean_tokens``: runs of letters, digits and underscores, and each other mark."""

TOKEN = r"\w+|[^\w\s]"
TEXT_ATTRIBUTES = ("title", "description", "brand", "categories")


@dataclass(frozen=True)
class Spread:
    """Least, middle, mean and most events of a user or an item."""

    least: int
    median: float
    mean: float
    most: int

    @classmethod
    def of(cls, counts: np.ndarray) -> Spread:
        """The spread of ``counts`` (n,); all zero where n is 0."""
        if not len(counts):
            return cls(0, 0.0, 0.0, 0)
        return cls(int(counts.min()), float(np.median(counts)), float(counts.mean()), int(counts.max()))


@dataclass(frozen=True)
class Card:
    """Statistics of one data set; the first seven are the columns of the paper's Table 1."""

    users: int
    items: int
    interactions: int
    density: float
    features: int
    """Non-empty text attributes over all items, of the four in `TEXT_ATTRIBUTES`."""
    mean_tokens: float
    """Tokens of those attributes per item, by ``tokenizer``; items without text count as zero."""
    tokenizer: str
    events_per_user: Spread
    events_per_item: Spread
    items_without_text: int

    @classmethod
    def of(cls, interactions: Interactions, catalog: Catalog) -> Card:
        """Count ``interactions`` and the text of ``catalog``, whose rows must be the interactions' items."""
        if catalog.items != interactions.items:
            raise MisalignedArrays(
                f"the catalog has {len(catalog.items):,} items, the interactions {len(interactions.items):,}, and they "
                "are not the same; use catalog.take(interactions.items)"
            )
        of_user = np.bincount(interactions.user, minlength=len(interactions.users))
        return cls.counted(of_user, np.bincount(interactions.item, minlength=len(interactions.items)), catalog)

    @classmethod
    def counted(cls, of_user: Rows, of_item: Rows, catalog: Catalog) -> Card:
        """The card of events that were counted: ``of_user`` (u,) and ``of_item`` (i,), rows as in ``catalog``."""
        features, tokens = _text_counts(catalog)
        users, items, events = len(of_user), len(of_item), int(of_user.sum())
        return cls(
            users=users,
            items=items,
            interactions=events,
            density=events / max(1, users * items),
            features=features,
            mean_tokens=tokens / max(1, len(catalog.items)),
            tokenizer=TOKENIZER,
            events_per_user=Spread.of(of_user),
            events_per_item=Spread.of(of_item),
            items_without_text=int((~catalog.has_text()).sum()),
        )

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Card:
        """Read what `facts` gave."""
        spreads: dict[str, Any] = {name: Spread(**facts[name]) for name in ("events_per_user", "events_per_item")}
        return cls(**{**facts, **spreads})

    def facts(self) -> dict[str, Any]:
        """The card as a JSON object."""
        return asdict(self)

    def markdown(self, *, title: str = "Data set") -> str:
        """The card as a small Markdown document."""
        rows = [
            ("Users", f"{self.users:,}"),
            ("Items", f"{self.items:,}"),
            ("User-item interactions", f"{self.interactions:,}"),
            ("Density", f"{self.density:.4%}"),
            ("Features (non-empty text attributes)", f"{self.features:,}"),
            (f"Avg Token (per item, tokenizer `{self.tokenizer}`)", f"{self.mean_tokens:.1f}"),
            ("Events per user (least / median / mean / most)", _spread(self.events_per_user)),
            ("Events per item (least / median / mean / most)", _spread(self.events_per_item)),
            ("Items without text", f"{self.items_without_text:,}"),
        ]
        lines = [f"# {title}", "", "| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows), ""]
        note = (
            f"Text attributes are {', '.join(TEXT_ATTRIBUTES)}. The tokenizer `{self.tokenizer}` counts runs of "
            "letters and digits, and every other mark, as one token each."
        )
        return "\n".join([*lines, note, ""])


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} / {spread.median:g} / {spread.mean:.2f} / {spread.most:,}"


def _text_counts(catalog: Catalog) -> tuple[int, int]:
    """(non-empty text attributes, tokens in them) over all items."""
    frame = catalog.frame.select(
        *(pl.col(name) for name in TEXT_ATTRIBUTES[:-1]),
        pl.when(pl.col("categories").list.len() > 0).then(pl.col("categories").list.join(" ")).alias("categories"),
    )
    features = sum(frame.height - nulls for nulls in frame.null_count().row(0))
    tokens = frame.select(pl.all().str.count_matches(TOKEN).sum()).row(0)
    return features, int(sum(count or 0 for count in tokens))
