"""The tag graph: which tags an item carries and which tag is broader than which.

Knows tags, levels, tag–item and tag–tag edges. Does not know who made them or how a model uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from hyperllm import artifacts
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Rows, Vocabulary

KIND = "tags"
UNKNOWN_LEVEL = -1


@dataclass(frozen=True)
class TagGraph:
    """Tags t, items i, and two edge lists of row numbers.

    ``tag_items`` (m, 2) holds (tag, item); ``tag_edges`` (e, 2) holds (broader, narrower) where ``directed``, else each
    undirected edge once. ``level`` (t,) is 1 broad … 3 specific, −1 unknown.
    """

    tags: Vocabulary
    items: Vocabulary
    names: tuple[str, ...]
    level: Rows
    tag_items: Rows
    tag_edges: Rows
    directed: bool

    def __post_init__(self) -> None:
        if len(self.names) != len(self.tags) or len(self.level) != len(self.tags):
            raise MisalignedArrays(
                f"{len(self.tags):,} tag ids, {len(self.names):,} names, {len(self.level):,} levels: they must agree"
            )
        for name, edges, right in (
            ("tag_items", self.tag_items, len(self.items)),
            ("tag_edges", self.tag_edges, len(self.tags)),
        ):
            if edges.ndim != 2 or edges.shape[1] != 2:
                raise MisalignedArrays(f"{name} has shape {edges.shape}; expected (edges, 2)")
            if len(edges) and (edges.min() < 0 or edges[:, 0].max() >= len(self.tags) or edges[:, 1].max() >= right):
                raise DataError(f"{name} points outside the {len(self.tags):,} tags or {right:,} targets")

    def rows(self) -> sparse.csr_matrix:
        """T (t, i): log(items / items with the tag) where an item has a tag; every item's column has length 1, or 0.

        TᵀT holds the cosines of two items' tags.
        """
        tag, item = np.unique(self.tag_items, axis=0).T
        rarity = np.log(len(self.items) / np.maximum(np.bincount(tag, minlength=len(self.tags)), 1))[tag]
        length = np.sqrt(np.bincount(item, rarity**2, minlength=len(self.items)))[item]
        values = np.divide(rarity, length, out=np.zeros_like(rarity), where=length > 0)
        return sparse.csr_matrix((values, (tag, item)), shape=(len(self.tags), len(self.items)))

    def save(
        self, folder: Path, *, config: dict[str, Any], inputs: dict[str, str], report: dict[str, Any] | None = None
    ) -> None:
        """Write the artifact ``folder`` with its Parquet tables, and ``report`` (how it was made) beside them."""
        facts = {
            "tags": len(self.tags),
            "tag_item_pairs": len(self.tag_items),
            "tag_tag_edges": len(self.tag_edges),
            "items_without_tags": len(self.items) - len(np.unique(self.tag_items[:, 1])),
            "directed": self.directed,
            "item_ids": self.items.fingerprint,
        }
        with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
            level = pl.Series([None if v == UNKNOWN_LEVEL else int(v) for v in self.level], dtype=pl.Int8)
            pl.DataFrame({"tag_id": self.tags.texts, "tag": self.names, "level": level}).write_parquet(
                work / "tags.parquet"
            )
            _edges(self.tag_items, ("tag", "item")).write_parquet(work / "tag_items.parquet")
            _edges(self.tag_edges, ("tag_a", "tag_b")).write_parquet(work / "tag_edges.parquet")
            pl.DataFrame({"item_id": self.items.texts}).write_parquet(work / "items.parquet")
            if report is not None:
                artifacts.write_json(work / "report.json", report)

    @classmethod
    def load(cls, folder: Path) -> TagGraph:
        """Read what `save` wrote."""
        manifest = artifacts.read(folder, KIND)
        tags = pl.read_parquet(folder / "tags.parquet")
        return cls(
            tags=Vocabulary(tags["tag_id"]),
            items=Vocabulary(pl.read_parquet(folder / "items.parquet")["item_id"]),
            names=tuple(tags["tag"]),
            level=tags["level"].fill_null(UNKNOWN_LEVEL).cast(pl.Int64).to_numpy(),
            tag_items=pl.read_parquet(folder / "tag_items.parquet").to_numpy().astype(np.int64),
            tag_edges=pl.read_parquet(folder / "tag_edges.parquet").to_numpy().astype(np.int64),
            directed=bool(manifest.facts["directed"]),
        )


def _edges(pairs: Rows, names: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame({names[0]: pairs[:, 0].astype(np.int64), names[1]: pairs[:, 1].astype(np.int64)})
