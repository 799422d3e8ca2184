"""What a shop knows of one item, and of one tag, ready to be shown.

Knows a model's catalogue, tags and radii. Does not know users' scores, nor how a card is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class Tag:
    """A tag by id and name; ``level`` is 1 broad … 3 specific, None unknown."""

    tag_id: str
    name: str
    level: int | None

    @classmethod
    def of(cls, tags: TagGraph, row: int) -> Tag:
        """One tag of a graph."""
        level = int(tags.level[row])
        return cls(tags.tags.ids[row], tags.names[row], None if level == UNKNOWN_LEVEL else level)


@dataclass(frozen=True)
class ItemCard:
    """All there is of an item. ``radius`` is its distance from the origin, None where the model is not hyperbolic."""

    item_id: str
    title: str | None
    brand: str | None
    categories: tuple[str, ...]
    description: str | None
    tags: tuple[Tag, ...]
    radius: float | None
    clicks: int

    @classmethod
    def of(cls, model: ScoreModel, row: int) -> ItemCard:
        """The card of one item row."""
        told = model.catalog.frame.row(row, named=True)
        return cls(
            item_id=model.items.ids[row],
            title=told["title"],
            brand=told["brand"],
            categories=tuple(told["categories"]),
            description=told["description"],
            tags=tags_of(model, row),
            radius=float(model.radii[row]) if model.curved else None,
            clicks=int(model.clicks[row]),
        )


def tags_of(model: ScoreModel, row: int) -> tuple[Tag, ...]:
    """An item's tags, broad first."""
    tags = model.tags
    if tags is None:
        return ()
    mine = np.unique(tags.tag_items[tags.tag_items[:, 1] == row, 0])
    return tuple(Tag.of(tags, int(tag)) for tag in sorted(mine, key=lambda tag: (tags.level[tag], tag)))
