"""Which items may be shown at all.

Knows categories, tags, and lists of ids that are allowed or denied. Does not know users or scores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, UnknownId, did_you_mean
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class Filter:
    """What all shown items have in common; an empty filter lets everything through.

    ``categories``: the item's path holds one of these names, on any level. ``tags``: it carries one of these tags,
    named by id or by name. ``allow``: it is one of these ids; ``deny``: it is none of them; ids that the model does not
    know, as a shop's stock list holds, change nothing. Names may differ in case.
    """

    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in ("categories", "tags", "allow", "deny"):
            value = getattr(self, what)
            if isinstance(value, str):
                raise ConfigError(f"{what} is the single text {value!r}; expected several, such as [{value!r}].")
            if value is not None:
                object.__setattr__(self, what, tuple(map(str, value)))

    def __bool__(self) -> bool:
        return bool(self.categories or self.tags or self.deny) or self.allow is not None

    def rows(self, model: ScoreModel) -> Rows | None:
        """The item rows (n,) that may be shown, ascending; None for all. Raises `UnknownId` on a name nobody has."""
        if not self:
            return None
        kept = np.ones(len(model.items), dtype=np.bool_)
        if self.categories:
            kept &= _in_categories(model.catalog.frame, self.categories)
        if self.tags:
            kept &= _tagged(model.tags, self.tags, len(kept))
        if self.allow is not None:
            kept &= _among(_known(model, self.allow), len(kept))
        if self.deny:
            kept &= ~_among(_known(model, self.deny), len(kept))
        return np.flatnonzero(kept).astype(np.int64)


def _known(model: ScoreModel, ids: Iterable[str]) -> Rows:
    """Rows of those ids that the model knows."""
    return model.items.rows([item for item in ids if item in model.items])


def _among(rows: Rows, size: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = np.zeros(size, dtype=np.bool_)
    found[rows] = True
    return found


def _in_categories(catalog: pl.DataFrame, names: Collection[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which items (I,) have one of ``names`` in their path."""
    folded = pl.col("categories").list.eval(pl.element().str.to_lowercase())
    found = np.zeros(len(catalog), dtype=np.bool_)
    for name in names:
        having = catalog.select(folded.list.contains(name.lower())).to_series().to_numpy().astype(np.bool_)
        if not having.any():
            known = catalog["categories"].explode().drop_nulls().unique().to_list()
            raise UnknownId(f"no item is in a category {name!r}.{did_you_mean(name, known)}")
        found |= having
    return found


def tag_rows(tags: TagGraph | None, names: Iterable[str]) -> Rows:
    """Rows of tags by id, or by name in whatever case; raises `UnknownId`."""
    if tags is None:
        raise UnknownId("this model has no tags.")
    by_name = {name.casefold(): row for row, name in reversed(list(enumerate(tags.names)))}
    found: list[int] = []
    for name in names:
        row = tags.tags.row(name) if name in tags.tags else by_name.get(name.casefold())
        if row is None:
            raise UnknownId(f"there is no tag {name!r}.{did_you_mean(name, tags.names)}")
        found.append(row)
    return np.array(found, dtype=np.int64)


def _tagged(tags: TagGraph | None, names: Iterable[str], items: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which items (I,) carry one of ``names``."""
    wanted = tag_rows(tags, names)
    assert tags is not None, "tag_rows refuses a model without tags"
    return _among(tags.tag_items[np.isin(tags.tag_items[:, 0], wanted), 1], items)


def carried(tags: TagGraph) -> sparse.csr_matrix:
    """Binary (I, t): which tags each item carries."""
    shape = len(tags.items), len(tags.tags)
    pairs = np.unique(tags.tag_items, axis=0) if len(tags.tag_items) else tags.tag_items
    ones = np.ones(len(pairs), dtype=np.float32)
    return sparse.csr_matrix((ones, (pairs[:, 1], pairs[:, 0])), shape=shape)
