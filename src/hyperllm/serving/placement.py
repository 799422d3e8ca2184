"""Where an item stands that nobody has clicked: between the known items whose content is nearest.

Knows content vectors of new and known items and where the known ones stand. Does not know how they came there. NumPy
only. Shapes: n new items, i items, d dims.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.evaluation.rank import topk
from hyperllm.ids import Rows
from hyperllm.serving.product import expmap0

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
    def of(cls, contents: Iterable[Any], known: npt.NDArray[np.bool_]) -> Placement:
        """Place the items that are not ``known`` (i,) by the first of ``contents`` that says something of them.

        ``contents`` are rows of unit length (i, …), such as texts, then tags. An item whose content is like nobody's is
        left out.
        """
        left, there = np.flatnonzero(~known), np.flatnonzero(known)
        found = cls.none(len(known))
        for content in contents if len(left) else ():
            near = nearest(content[left], content[there])
            placed = near.sum(axis=1) > 0
            pairs = near[np.flatnonzero(placed)].tocoo()
            shape = int(placed.sum()), len(known)
            weights = sparse.csr_array((pairs.data, (pairs.row, there[pairs.col])), shape=shape)
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
        """Points (i, d+1) of the unit hyperboloid with the placed rows at `points_between` their neighbours."""
        found = points.copy()
        found[self.rows] = points_between(self.weights, points)
        return found


def points_between(weights: sparse.csr_array, points: Matrix) -> Matrix:
    """(n, d+1) points towards the centroids of neighbours among ``points`` (i, d+1), as ``weights`` (n, i) say.

    A centroid lies nearer to the origin than what it is made of, and so nearer to every user; these points keep their
    neighbours' mean radius instead.
    """
    space = points[:, 1:].astype(np.float64)
    radius = weights @ np.arcsinh(np.linalg.norm(space, axis=1))
    towards = weights @ space
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    return expmap0(radius[:, None] * towards).astype(np.float32)


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
