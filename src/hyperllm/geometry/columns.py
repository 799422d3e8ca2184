"""Where the columns of vectors are: all here, or some of them in each of several processes.

Propagation mixes rows and never columns, so processes can share out the columns of every table; what mixes columns are
sums along a row: lengths, inner products, distances. Each such sum over coordinates goes through this module. A point's
time coordinate is no column in this sense: it follows from the row's length, and every process has it. Knows how a
process says which columns it has. Does not know processes: here all columns are in one, and every function gives back
what it got; `hyperllm.scale.columns` has the form that adds up.

One rule makes every gradient right: the processes together minimise the sum of their losses. What each computes for its
own copy of a number counts for that copy alone, so the backward pass of a sum over processes is again one.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor


class Columns:
    """All columns are here."""

    @property
    def apart(self) -> bool:
        """Whether other processes have some; then they take part in every sum, in the same order."""
        return False

    def totals(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Sums over this process's columns, made into sums over all; of one shape, so that they travel together."""
        return parts

    def total_(self, part: Tensor) -> Tensor:
        """The same in place and without a gradient."""
        return part

    def agreed(self, flags: Tensor) -> bool:
        """Whether a flag is set in any process: a question that all of them must answer alike."""
        return bool(flags.any())

    def squares(self, v: Tensor) -> Tensor:
        """‖v‖² (n, 1) of rows (n, d)."""
        return torch.linalg.vector_norm(v, dim=1, keepdim=True).square_()

    def lengths(self, v: Tensor) -> Tensor:
        """‖v‖ (n,) of rows (n, d); its gradient at 0 is 0."""
        return v.norm(dim=-1)

    def once(self, points: Tensor) -> Tensor:
        """Points (…, d+1) whose columns can be summed over: in all processes but one the time coordinate is 0."""
        return points

    def own(self, whole: Tensor, axis: int = -1) -> Tensor:
        """This process's columns of all of them."""
        return whole

    def width(self, own: int) -> int:
        """How many columns there are, where ``own`` are here."""
        return own

    def share(self, count: int) -> slice:
        """Which of ``count`` rows of a batch are this process's to work on."""
        return slice(0, count)

    def over_batch(self, part: Tensor) -> Tensor:
        """A sum over this process's rows of a batch, made into that over all."""
        return part

    def dealt(self, rows: Tensor, *, lead: int) -> tuple[slice, Tensor]:
        """Some of the rows (n, lead + d), whole; each process gets others. ``lead`` columns are in every process."""
        raise NotImplementedError

    def whole(self, rows: Tensor, *, lead: int) -> Tensor:
        """These few rows with all their columns, in every process."""
        raise NotImplementedError

    def collected(self, rows: Tensor, count: int) -> Tensor:
        """``count`` rows of which each process has those that it was dealt."""
        raise NotImplementedError


_now = Columns()


def now() -> Columns:
    """How the columns are at present."""
    return _now


@contextmanager
def laid(columns: Columns) -> Generator[None]:
    """Inside, the columns of all vectors are as ``columns`` says, for the whole process."""
    global _now
    before, _now = _now, columns
    try:
        yield
    finally:
        _now = before


def total(part: Tensor) -> Tensor:
    """A sum over this process's columns, made into that over all."""
    return _now.totals(part)[0]
