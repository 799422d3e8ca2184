"""Score products and distances of points given as matrices.

Knows the two geometries of `model` as arithmetic: ⟨x, y⟩_L as a plain product whose left time coordinate is negated,
distances that keep their digits, cosines. Does not know users, titles or files. Shapes: ``b`` rows asked for, ``I``
items, ``d`` columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.ids import Rows

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
FLOATS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class ItemSide:
    """The item side of the product: vectors (I, d), which rows of them, and a factor an item for cosines.

    The first ``curved`` columns are points of the hyperboloid; 0 where all are Euclidean.
    """

    vectors: Floats
    curved: int
    chosen: Rows | None
    scale: Doubles | None
    turned: Floats | None

    @classmethod
    def of(
        cls,
        vectors: Floats,
        *,
        curved: int,
        sparse_left: bool = False,
        chosen: Rows | None = None,
        scale: Doubles | None = None,
    ) -> ItemSide:
        """Prepare; a sparse left factor wants the right one transposed, row by row."""
        turned = None
        if sparse_left:
            turned = np.ascontiguousarray((vectors if chosen is None else vectors[chosen]).T)
        return cls(vectors, curved, chosen, scale, turned)

    def __len__(self) -> int:
        return len(self.vectors) if self.chosen is None else len(self.chosen)

    def product(self, left: Doubles | sparse.csr_matrix) -> npt.NDArray[Any]:
        """Scores (b, I), converting so many item rows at a time that the copy stays small."""
        if not isinstance(left, np.ndarray):
            return np.asarray(left @ self.turned)
        scores = np.empty((len(left), len(self)))
        step = max(1, FLOATS_AT_ONCE // max(1, self.vectors.shape[1]))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            which = part if self.chosen is None else self.chosen[part]
            points = self.vectors[which].astype(np.float64)
            if self.curved:
                raised(points[:, : self.curved])
            elif self.scale is not None:
                points *= self.scale[which][:, None]
            np.matmul(left, points.T, out=scores[:, part])
        return settled(scores)


def settled(scores: Doubles) -> Doubles:
    """Round to 40 of 52 bits of the largest score, in place."""
    top = max(float(scores.max(initial=0.0)), -float(scores.min(initial=0.0)))
    if 0.0 < top < np.inf:
        anchor = 1.5 * 2.0 ** (np.ceil(np.log2(top)) + 12)
        scores += anchor
        scores -= anchor
    return scores


def raised(points: Doubles) -> Doubles:
    """Put rows exactly on the hyperboloid: x₀ = √(1 + |x|²) in float64, in place."""
    points[:, 0] = np.sqrt(1.0 + np.einsum("nd,nd->n", points[:, 1:], points[:, 1:]))
    return points


def flipped(points: Doubles) -> Doubles:
    """The left factor of ⟨·,·⟩_L: time coordinate negated, in place."""
    raised(points)[:, 0] *= -1.0
    return points


def minus_distance(left: Doubles, right: Doubles) -> Doubles:
    """−arcosh(−⟨x, y⟩_L) as −2 arsinh(√(|x−y|² − (x₀−y₀)²) / 2), which keeps its digits where x is near y."""
    x, y = left[..., 1:], right[..., 1:]
    x0, y0 = (np.sqrt(1.0 + (v * v).sum(axis=-1)) for v in (x, y))
    time = ((x - y) * (x + y)).sum(axis=-1) / (x0 + y0)
    chord = ((x - y) ** 2).sum(axis=-1) - time**2
    return -2.0 * np.arcsinh(np.sqrt(np.maximum(chord, 0.0)) / 2.0)


def cosine(left: Doubles, right: Doubles) -> Doubles:
    """x·y / (|x||y|) along the last axis, 0 where either is a zero vector."""
    size = np.sqrt((left * left).sum(axis=-1) * (right * right).sum(axis=-1))
    return np.divide((left * right).sum(axis=-1), size, out=np.zeros_like(size), where=size > 0)


def norms(vectors: Floats) -> Doubles:
    """Row lengths (I,), infinite for a zero row so that its cosine is 0."""
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return np.where(squares > 0, np.sqrt(squares), np.inf)
