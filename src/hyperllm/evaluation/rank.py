"""The k best items of each user, exactly.

Knows a score matrix and which pairs are hidden. Does not know where the scores came from or what they will be used for.
Shapes: ``b`` users at a time, ``I`` items, ``k`` places. Order: score descending, ties by row number, also at place k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.ids import Rows

NOTHING = -1
_CROWD = 8  # a row with more than _CROWD * k candidates above its threshold is sorted out one by one
_Scores = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TopK:
    """``items`` (b, k) int64 row numbers, best first; ``scores`` (b, k) float32.

    Where a user has fewer than k candidates the rest is item −1 with score −inf.
    """

    items: Rows
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)


class Ranker(Protocol):
    """Anything that ranks: a bound method ``model.topk`` or a plain function of the same signature."""

    def __call__(self, user_rows: Rows, k: int, *, mask: sparse.csr_matrix | None = None) -> TopK:
        """The k best items of each row; ``mask`` (U, I) holds one row for *every* user and hides what is stored."""
        ...


def check_k(k: object) -> int:
    """``k`` as an int of at least 1; raises `ConfigError`."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(f"k is {k!r}; expected a whole number of at least 1.")
    return int(k)


def hide(scores: _Scores, mask: sparse.csr_matrix) -> None:
    """Set every pair stored in ``mask`` (b, I) to −inf, in place."""
    if cast(object, mask.shape) != scores.shape:
        raise MisalignedArrays(f"the mask has shape {mask.shape}; the scores have {scores.shape}. They must agree.")
    scores[np.repeat(np.arange(len(scores)), np.diff(mask.indptr)), mask.indices] = -np.inf


def topk(scores: _Scores, k: int, *, mask: sparse.csr_matrix | None = None) -> TopK:
    """The k best columns of each row of ``scores`` (b, I); pairs stored in ``mask`` (b, I) are never returned.

    The k-th largest of many column-group maxima bounds the k-th largest score from below, so whatever reaches that
    bound (about k candidates and all their ties) is all that has to be sorted. Raises `DataError` on NaN.
    """
    k = check_k(k)
    if scores.ndim != 2:
        raise MisalignedArrays(f"scores have shape {scores.shape}; expected (users, items)")
    if mask is not None:
        scores = scores.copy()
        hide(scores, mask)
    items = np.full((len(scores), k), NOTHING, dtype=np.int64)
    if scores.size:
        bound = _bound(scores, k)
        row, column = np.nonzero((scores >= bound[:, None]) & (scores > -np.inf))
        count = np.bincount(row, minlength=len(scores))
        crowded = count > max(_CROWD * k, 64)
        if crowded.any():
            for r in np.flatnonzero(crowded):
                _fill_crowded(items[r], scores[r], k)
            keep = ~crowded[row]
            row, column, count = row[keep], column[keep], np.where(crowded, 0, count)
        _fill(items, scores, row, column, count)
    return TopK(items, _take(scores, items))


def _bound(scores: _Scores, k: int) -> _Scores:
    """A value (b,) that at least min(k, I) scores of the row reach."""
    users, width = scores.shape
    depth = width // (4 * k)
    if depth < 2:
        maxima = scores
    else:
        groups = width // depth
        maxima = scores[:, : depth * groups].reshape(users, depth, groups).max(axis=1)
        if depth * groups < width:
            maxima = np.concatenate([maxima, scores[:, depth * groups :]], axis=1)
    if np.isnan(maxima).any():
        raise DataError("a score is not a number (NaN), so nothing can be ranked. Did training diverge?")
    if maxima.shape[1] <= k:
        return np.full(users, -np.inf)
    return np.partition(maxima, -k, axis=1)[:, -k]


def _fill(items: Rows, scores: _Scores, row: Rows, column: Rows, count: Rows) -> None:
    """Sort candidates within their rows; ``row`` and ``column`` come in row-major order."""
    order = np.lexsort((column, -scores[row, column], row))
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    kept = place < items.shape[1]
    items[row[kept], place[kept]] = column[order][kept]


def _fill_crowded(out: Rows, scores: _Scores, k: int) -> None:
    """One row (I,) with many ties: what beats the k-th best, then its equals from the left."""
    last = np.partition(scores, max(len(scores) - k, 0))[max(len(scores) - k, 0)]
    better = np.flatnonzero(scores > last)
    better = better[np.argsort(-scores[better], kind="stable")]
    equal = np.flatnonzero((scores == last) & (scores > -np.inf))[: k - len(better)]
    found = np.concatenate([better, equal])
    out[: len(found)] = found


def _take(scores: _Scores, items: Rows) -> npt.NDArray[np.float32]:
    if not scores.size:
        return np.full(items.shape, -np.inf, dtype=np.float32)
    taken = np.take_along_axis(scores, np.maximum(items, 0), axis=1).astype(np.float32)
    return np.where(items == NOTHING, np.float32(-np.inf), taken)
