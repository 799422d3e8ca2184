"""The k best items of each left factor, exactly, at the price of a float32 product.

Knows a product of two matrices whose answer is defined pair by pair in float64, and how far its float32 version can be
off: the first pass only says which few pairs can be among the k best, and those alone are scored again. Does not know
users, masks' meaning or geometry beyond what `product.ItemSide` says. Shapes: ``b`` left rows, ``I`` items, ``d``
columns, ``n`` pairs.

Let e be the most by which the two versions of ⟨q, x⟩ differ (`product.ItemSide.slack`, times |q|). If k items reach s
in the first pass then the k-th best truly reaches s − e, and an item below s − 2e is out. What lies between is scored
in float64, so neither the size of a block nor the company in it shows in an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from hyperllm.evaluation.rank import NOTHING, TopK, topk
from hyperllm.ids import Rows
from hyperllm.serving.product import Doubles, Floats, ItemSide, settled, sizes

SCORES_AT_ONCE = 2**19
_USERS_AT_ONCE = 256
_PAIRS_AT_ONCE = 2**20
_NARROWEST = 1024
_SAFE = 1e36  # above this a float32 product could overflow
_LOWEST = np.float32(-3e38)  # of what is not hidden


def users_at_once(k: int) -> int:
    """How many left rows to give `best` in one call."""
    return max(1, min(_USERS_AT_ONCE, _PAIRS_AT_ONCE // k))


def best(left: Doubles, right: ItemSide, k: int, *, hidden: sparse.csr_matrix | None = None) -> TopK:
    """The k best items for each row of ``left`` (b, d); pairs stored in ``hidden`` (b, I) are never returned.

    Items are places in ``right``. Order: score descending, ties by place.
    """
    scan = _Scan(left, right, k)
    veil = _Veil.of(hidden)
    if len(right) and scan.in_reach:
        step = max(_NARROWEST, SCORES_AT_ONCE // max(1, len(left)))
        room = np.empty(len(left) * min(step, len(right)), dtype=np.float32)
        for start in range(0, len(right), step):
            part = slice(start, min(start + step, len(right)))
            scores = room[: len(left) * (part.stop - start)].reshape(len(left), -1)
            right.approximate(scan.rough, part, out=scores)
            veil.draw(scores, start)
            scan.look(scores, start)
    return scan.answer(hidden)


def of_pairs(left: Doubles, right: ItemSide, k: int, *, row: Rows, column: Rows) -> TopK:
    """The k best for each row of ``left`` (b, d) among distinct pairs ``row``, ``column`` (n,), by exact scores."""
    score = right.exact(left, row, column)
    settled(score, (sizes(left) * right.reach)[row])
    items = np.full((len(left), k), NOTHING, dtype=np.int64)
    best = np.full(items.shape, -np.inf, dtype=np.float32)
    order = np.lexsort((column, -score, row))
    count = np.bincount(row, minlength=len(items))
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    kept = place < k
    where, row = order[kept], row[order[kept]]
    items[row, place[kept]], best[row, place[kept]] = column[where], score[where]
    return TopK(items, best)


@dataclass(frozen=True, eq=False)
class _Veil:
    """Pairs to hide, by column."""

    row: Rows
    column: Rows

    @classmethod
    def of(cls, hidden: sparse.csr_matrix | None) -> _Veil:
        if hidden is None:
            return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        row = np.repeat(np.arange(len(hidden.indptr) - 1), np.diff(hidden.indptr))
        order = np.argsort(hidden.indices, kind="stable")
        return cls(row[order], hidden.indices[order].astype(np.int64))

    def draw(self, scores: Floats, start: int) -> None:
        """Hide what lies in the columns from ``start`` on."""
        first, last = np.searchsorted(self.column, (start, start + scores.shape[1]))
        scores[self.row[first:last], self.column[first:last] - start] = -np.inf


@dataclass(eq=False)
class _Scan:
    """Candidates of one pass: parallel arrays (n,), and for each left row the score below which nothing matters."""

    left: Doubles
    right: ItemSide
    k: int
    rough: Floats = field(init=False)
    length: Doubles = field(init=False)
    floor: Floats = field(init=False)
    crowded: Rows = field(init=False)
    _found: list[tuple[Rows, Rows, Floats]] = field(init=False, default_factory=list)
    _fresh: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        count = len(self.left)
        self.length = sizes(self.left)
        self.floor = np.full(count, -np.inf, dtype=np.float32)
        self.crowded = np.zeros(count, dtype=bool)
        self.rough = self.left.astype(np.float32) if self.in_reach else np.empty((0, 0), dtype=np.float32)

    @property
    def in_reach(self) -> bool:
        """Whether float32 can hold the scores."""
        return self.right.whole and float(self.length.max(initial=0.0)) * max(1.0, self.right.reach) < _SAFE

    def look(self, scores: Floats, start: int) -> None:
        """Take up what a block (b, w) of the first pass, whose first column is ``start``, brings."""
        rows = np.flatnonzero(scores.max(axis=1) >= self.floor)
        if not len(rows):
            return
        near = scores if len(rows) == len(scores) else scores[rows]
        if self.floor[rows].min() < _LOWEST:
            self._raise(rows, near)
        row, column = _above(near, self.floor[rows])
        if len(row) > 4 * self.k * len(rows):
            self._raise(rows, near)
            row, column = _above(near, self.floor[rows])
        self._found.append((rows[row], column + start, near[row, column]))
        self._fresh += len(row)
        if self._fresh > self.k * len(scores):
            self._sift()

    def answer(self, hidden: sparse.csr_matrix | None) -> TopK:
        """The k best of the candidates by float64; a row with too many of them is scored as a whole."""
        everything = not self.in_reach
        items = np.full((len(self.left), self.k), NOTHING, dtype=np.int64)
        best = np.full(items.shape, -np.inf, dtype=np.float32)
        if self._found and not everything:
            if self._fresh:
                self._sift()
            row, column, _ = self._found[0]
            found = of_pairs(self.left, self.right, self.k, row=row, column=column)
            items, best = found.items, found.scores
        for one in range(len(items)) if everything else np.flatnonzero(self.crowded):
            whole = self._whole(int(one), hidden)
            items[one], best[one] = whole.items[0], whole.scores[0]
        return TopK(items, best)

    def _raise(self, rows: Rows, near: Floats) -> None:
        """Lift floors by what the k best of a block alone must reach."""
        width = near.shape[1]
        depth = max(1, width // (4 * self.k))
        groups = width // depth
        if groups < self.k:
            return
        peaks = near[:, : depth * groups].reshape(len(near), depth, groups).max(axis=1)
        reached = np.partition(peaks, groups - self.k, axis=1)[:, groups - self.k].astype(np.float64)
        reached -= 2.0 * (self.length[rows] * self.right.widest + self.right.least)
        self.floor[rows] = np.maximum(self.floor[rows], _down(reached))

    def _sift(self) -> None:
        """Drop candidates that k others certainly beat, and lift the floors to match."""
        row, column, score = (np.concatenate(part) for part in zip(*self._found, strict=True))
        doubt = self.length[row] * self.right.slack[column] + self.right.least
        low, high = score - doubt, score + doubt
        order = np.lexsort((-low, row))
        count = np.bincount(row, minlength=len(self.left))
        full = count >= self.k
        kth = np.full(len(count), -np.inf)
        kth[full] = low[order[(np.cumsum(count) - count)[full] + self.k - 1]]
        order = order[(high >= kth[row])[order]]
        count = np.bincount(row[order], minlength=len(self.left))
        self.crowded |= count > 32 * self.k + 256
        order = order[~self.crowded[row[order]]]
        lowest = kth - self.length * self.right.widest - self.right.least
        self.floor = np.maximum(self.floor, _down(lowest))
        self.floor[self.crowded] = np.inf
        self._found, self._fresh = [(row[order], column[order], score[order])], 0

    def _whole(self, one: int, hidden: sparse.csr_matrix | None) -> TopK:
        column = np.arange(len(self.right))
        score = np.zeros(len(column))
        if self.length[one]:
            score = self.right.exact(self.left, np.full(len(column), one), column)
            settled(score, np.full(len(column), self.length[one] * self.right.reach))
        return topk(score[None], self.k, mask=None if hidden is None else hidden[one])


def _above(scores: Floats, floor: Floats) -> tuple[Rows, Rows]:
    """Rows and columns of the scores that reach their row's floor, hidden ones never."""
    flat = np.flatnonzero(scores >= np.maximum(floor, _LOWEST)[:, None])
    row, column = np.divmod(flat, scores.shape[1])
    return row, column


def _down(values: Doubles) -> Floats:
    """Float32 numbers that are certainly not above ``values``."""
    return np.nextafter(np.maximum(values, _LOWEST).astype(np.float32), np.float32(-np.inf))
