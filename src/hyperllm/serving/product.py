"""Score products and distances of points given as matrices.

Knows the two geometries of `model` as arithmetic: ⟨x, y⟩_L as a plain product whose left time coordinate is negated,
the maps to and from the tangent space at the origin, distances that keep their digits, cosines. Does not know users,
titles or files. Shapes: ``b`` rows asked for, ``I`` items, ``d`` columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.ids import Rows

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
FLOATS_AT_ONCE = 2**22
FLOATS_IN_CACHE = 2**17


@dataclass(frozen=True, eq=False)
class ItemSide:
    """The item side of the product: vectors (I, d), which rows of them, and a factor an item for cosines.

    The first ``curved`` columns are points of the hyperboloid; 0 where all are Euclidean. ``slack`` (I,), times the
    length of a left row, plus ``least`` bounds how far `approximate` and `settled` `exact` scores lie apart; ``reach``
    is the length of the longest item, ``whole`` tells whether float32 holds such products at all.
    """

    vectors: Floats
    curved: int
    scale: Doubles | None
    slack: Doubles
    reach: float
    least: float
    whole: bool
    chosen: Rows | None = None

    @classmethod
    def of(cls, vectors: Floats, *, curved: int, scale: Doubles | None = None) -> ItemSide:
        """Prepare all items, which takes one look at each."""
        vectors = np.asarray(vectors)
        columns = vectors.shape[1]
        size, off = np.empty(len(vectors)), np.zeros(len(vectors))
        for part in _parts(len(vectors), columns):
            points = vectors[part].astype(np.float64)
            size[part] = sizes(points)
            if curved:
                off[part] = np.abs(raised(points[:, :curved])[:, 0] - vectors[part, 0])
        stretch = 1.0 if scale is None else max(1.0, float(scale.max(initial=0.0)))
        whole = stretch < 1e20 and float(size.max(initial=0.0)) < 1e30
        if scale is not None:
            size *= scale
        reach = float((size + off).max(initial=0.0))
        # d roundings of a float32 dot product and a few of its inputs; the time coordinate; what `settled` forgets.
        slack = 1.01 * (columns + 8) * 2.0**-24 * (size + off) + off + 2.0**-38 * reach
        least = 4.0 * columns * 2.0**-126 * stretch  # numbers too small for float32
        return cls(vectors, curved, scale, slack, reach, least, whole)

    def of_rows(self, rows: Rows) -> ItemSide:
        """These rows of it alone."""
        return replace(self, slack=self.slack[rows], chosen=rows)

    def taken(self, rows: Rows) -> ItemSide:
        """A copy of these rows alone, for use again and again."""
        scale = None if self.scale is None else self.scale[rows]
        return replace(self, vectors=self.vectors[rows], scale=scale, slack=self.slack[rows])

    def __len__(self) -> int:
        return len(self.slack)

    @cached_property
    def widest(self) -> float:
        """The largest slack."""
        return float(self.slack.max(initial=0.0))

    def approximate(self, left: Floats, part: slice, *, out: Floats) -> None:
        """Scores (b, w) of ``left`` (b, d) and the items of ``part``, in float32."""
        which = part if self.chosen is None else self.chosen[part]
        np.matmul(left, self.vectors[which].T, out=out)
        if self.scale is not None:
            out *= self.scale[which].astype(np.float32)

    def exact(self, left: Doubles, row: Rows, column: Rows) -> Doubles:
        """Scores (n,) of left rows and items taken pair by pair, which depend on nothing but the pair."""
        which = column if self.chosen is None else self.chosen[column]
        scores = np.empty(len(row))
        for part in _parts(len(row), self.vectors.shape[1]):
            points = self.vectors[which[part]].astype(np.float64)
            if self.curved:
                raised(points[:, : self.curved])
            elif self.scale is not None:
                points *= self.scale[which[part]][:, None]
            np.einsum("nd,nd->n", left[row[part]], points, out=scores[part])
        return scores


def _parts(count: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose float64 copy stays in the cache."""
    step = max(1, FLOATS_IN_CACHE // max(1, columns))
    return (slice(start, start + step) for start in range(0, count, step))


@dataclass(frozen=True, eq=False)
class SparseSide:
    """The item side of the product with sparse left rows, which read it column by column."""

    vectors: Floats

    def product(self, left: sparse.csr_matrix) -> Floats:
        """Scores (b, I); where few columns occur only those are read."""
        columns, place = np.unique(left.indices, return_inverse=True)
        if 8 * len(columns) > self.vectors.shape[1] or "_turned" in self.__dict__:
            return np.asarray(left @ self._turned)
        few = sparse.csr_matrix((left.data, place, left.indptr), shape=(len(left.indptr) - 1, len(columns)))
        return np.asarray(few @ np.ascontiguousarray(self.vectors[:, columns].T))

    @cached_property
    def _turned(self) -> Floats:
        return np.ascontiguousarray(self.vectors.T)


def settled(scores: Doubles, top: Doubles) -> Doubles:
    """Round scores (n,) to 40 of 52 bits of the largest they could be, ``top`` (n,), in place."""
    anchor = 1.5 * 2.0 ** (np.ceil(np.log2(np.maximum(top, np.finfo(np.float64).tiny))) + 12)
    scores += anchor
    scores -= anchor
    return scores


def sizes(vectors: Doubles) -> Doubles:
    """Row lengths (n,)."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors))


def raised(points: Doubles) -> Doubles:
    """Put rows exactly on the hyperboloid: x₀ = √(1 + |x|²) in float64, in place."""
    points[:, 0] = np.sqrt(1.0 + np.einsum("nd,nd->n", points[:, 1:], points[:, 1:]))
    return points


def flipped(points: Doubles) -> Doubles:
    """The left factor of ⟨·,·⟩_L: time coordinate negated, in place."""
    raised(points)[:, 0] *= -1.0
    return points


def tangents(points: npt.ArrayLike | sparse.csr_matrix, *, curved: bool) -> Doubles:
    """log₀ of points (n, 1 + d) of the unit hyperboloid as (n, d); vectors of a flat space as they are."""
    vectors = np.asarray(points, dtype=np.float64)
    if not curved:
        return vectors
    length = np.linalg.norm(vectors[:, 1:], axis=1, keepdims=True)
    return vectors[:, 1:] * np.where(length > 1e-12, np.arcsinh(length) / np.maximum(length, 1e-12), 1.0)


def expmap0(tangent: Doubles) -> Doubles:
    """exp₀ of tangent vectors (n, d): points (n, 1 + d) of the unit hyperboloid."""
    length = np.linalg.norm(tangent, axis=1, keepdims=True)
    stretch = np.where(length > 1e-12, np.sinh(length) / np.maximum(length, 1e-12), 1.0)
    return np.hstack([np.cosh(length), tangent * stretch])


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
