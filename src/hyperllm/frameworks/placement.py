"""Where an item stands that nobody has clicked: between the known items whose content is nearest.

Knows content vectors of new and known items and where the known ones stand. Does not know how they came there.
Shapes: n new items, i items, d dims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from hyperllm.data.semantics import centred
from hyperllm.evaluation.rank import topk
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.ids import Rows

Matrix = npt.NDArray[np.float32]

NEIGHBOURS = 20
SHARPNESS = 4
_PAIRS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Placement:
    """``rows`` (n,) are items that get a place, ``weights`` (n, i) how much each known item says; rows sum to 1."""

    rows: Rows
    weights: sparse.csr_array

    @classmethod
    def none(cls, items: int) -> Placement:
        """Nothing is placed."""
        return cls(np.empty(0, dtype=np.int64), sparse.csr_array((0, items), dtype=np.float32))

    @classmethod
    def of(cls, world: World) -> Placement:
        """For the world's items without a training pair, by their texts, or by their tags where these say nothing.

        An item whose content is like nobody's is left out.
        """
        clicked = world.clicked()
        left, known = np.flatnonzero(~clicked), np.flatnonzero(clicked)
        found = cls.none(world.items)
        for content in _contents(world) if len(left) else ():
            near = nearest(content[left], content[known])
            placed = near.sum(axis=1) > 0
            there = near[np.flatnonzero(placed)].tocoo()
            shape = int(placed.sum()), world.items
            weights = sparse.csr_array((there.data, (there.row, known[there.col])), shape=shape)
            stacked = sparse.csr_array(sparse.vstack([found.weights, weights]))
            found = cls(np.concatenate([found.rows, left[placed]]), stacked)
            left = left[~placed]
        return found

    def between(self, vectors: Matrix) -> Matrix:
        """Vectors (i, d) with the placed rows at the weighted mean of their neighbours."""
        found = vectors.copy()
        found[self.rows] = self.weights @ vectors
        return found

    def points(self, points: Matrix) -> Matrix:
        """Points (i, d+1) of the unit hyperboloid, the placed ones towards the centroid of their neighbours.

        A centroid lies nearer to the origin than what it is made of, and so nearer to every user; the placed points
        keep their neighbours' mean radius instead.
        """
        tangent = lorentz.logmap0(torch.from_numpy(points.astype(np.float64)))
        radius = tangent.norm(dim=1).numpy()
        middle = torch.from_numpy(self.weights.astype(np.float64) @ points.astype(np.float64))
        towards = lorentz.logmap0(lorentz.normalise(middle))
        towards *= torch.from_numpy(self.weights @ radius).div(towards.norm(dim=1).clamp_min(1e-12)).unsqueeze(1)
        found = points.copy()
        found[self.rows] = lorentz.expmap0(towards).numpy()
        return found


def nearest(new: Any, known: Any) -> sparse.csr_array:
    """(n, k) weights: the 20 known rows of largest product with each new row, to the power 4, made to sum to 1.

    Rows are vectors of unit length, dense or sparse; a product that is not positive has no weight.
    """
    count, size = new.shape[0], known.shape[0]
    step = max(1, _PAIRS_AT_ONCE // max(1, size))
    blocks = [_nearest(new[start : start + step], known) for start in range(0, count, step)]
    return sparse.csr_array(sparse.vstack(blocks)) if blocks else sparse.csr_array((0, size), dtype=np.float32)


def _nearest(new: Any, known: Any) -> sparse.csr_array:
    product = new @ known.T
    alike = product.toarray() if sparse.issparse(product) else np.asarray(product)
    found = topk(alike, NEIGHBOURS)
    weight = np.maximum(found.scores, 0).astype(np.float64) ** SHARPNESS
    total = weight.sum(axis=1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    row, place = np.nonzero(weight)
    pairs = row, found.items[row, place]
    return sparse.csr_array((weight[row, place].astype(np.float32), pairs), shape=alike.shape)


def _contents(world: World) -> Iterator[Any]:
    """Rows of unit length (i, …): texts, then tags."""
    if world.semantics is not None:
        yield centred(world.semantics.item_vectors).astype(np.float32)
    if world.tags is not None:
        yield sparse.csr_array(world.tags.rows().T)
