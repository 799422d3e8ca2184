"""The three rules of `hyperllm.data.split` over a log of kept events.

Knows row numbers and times, and gives a part to each event. `per-user` draws the very permutation that the rule in
memory draws, which takes four bytes an event while it is drawn; the others take one. Does not know ids or files.
Shapes: n events, m rows of a bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperllm.data.split import PARTS, Rule
from hyperllm.data.streaming.budget import Plan
from hyperllm.data.streaming.scratch import Block, Buckets, Log, taken
from hyperllm.errors import DataError
from hyperllm.ids import Rows

Parts = npt.NDArray[np.uint8]
"""(n,) 0, 1 and 2 for train, valid and test; 3 for none of them."""
TRAIN, VALID, TEST, NONE = range(4)
_DIGIT = 16


@dataclass(frozen=True)
class Parted:
    """Where each event of a log went; parts that were ``drawn`` instead have their pairs in a log of their own."""

    log: Log
    part: Parts
    drawn: Mapping[str, Log] = field(default_factory=dict)

    def blocks(self, rows: int) -> Iterator[tuple[Parts, Block]]:
        """The parts, which may be written to, and the pairs of a block."""
        start = 0
        for block in self.log.blocks(rows, "user", "item"):
            stop = start + len(block["user"])
            yield self.part[start:stop], block
            start = stop

    def counts(self) -> dict[str, int]:
        """Pairs a part, by name."""
        found = {name: int(np.count_nonzero(self.part == number)) for number, name in enumerate(PARTS)}
        return {name: len(self.drawn[name]) if name in self.drawn else found[name] for name in (*PARTS, *self.drawn)}

    def total(self) -> int:
        """Pairs in train, valid and test."""
        counts = self.counts()
        return sum(counts[name] for name in PARTS)

    def pairs(self, name: str, rows: int) -> Iterator[Block]:
        """The pairs of one part."""
        if name in self.drawn:
            yield from self.drawn[name].blocks(rows)
            return
        for part, block in self.blocks(rows):
            yield taken(block, part == PARTS.index(name))  # type: ignore[arg-type]


def parts(log: Log, rule: Rule, *, users: int, items: int, seed: int, plan: Plan, folder: Path) -> Parts:
    """The part of every event; ``log`` has row numbers below ``users`` and ``items``, and times where the rule asks."""
    if rule == "per-user":
        found = _held_out(_drawn(log, seed, plan, folder), len(log), tenths=True)
    elif "time" not in log:
        raise DataError(f"the split {rule!r} needs a time column; name it with --time-column, or use per-user")
    elif rule == "leave-one-out":
        found = _held_out(_dated(log, plan, folder), len(log), tenths=False)
    else:
        found = _by_time(log, users, items, plan)
    if not (found == 0).any():
        raise DataError("the split leaves no training interaction; use a milder filter")
    return found


def bytes_an_event(rule: Rule, events: int) -> int:
    """What is held of every event at once."""
    return place_type(events).itemsize if rule == "per-user" else 1


def place_type(events: int) -> np.dtype:
    """The smallest type of two that numbers so many events."""
    return np.dtype(np.uint32 if events < 2**32 else np.uint64)


def _drawn(log: Log, seed: int, plan: Plan, folder: Path) -> Buckets:
    """Events by user, with their places in the permutation that `np.random.Generator.permutation` gives."""
    place = place_type(len(log))
    drawn = np.arange(len(log), dtype=place)
    np.random.default_rng(seed).shuffle(drawn)  # the same swaps as permutation, in half the memory or less
    buckets = Buckets(folder, plan.buckets(len(log)), {"user": np.uint32, "order": place, "place": place})
    start = 0
    for block in log.blocks(plan.block, "user"):
        stop = start + len(block["user"])
        buckets.append(user=block["user"], order=drawn[start:stop], place=np.arange(start, stop, dtype=place))
        start = stop
    return buckets


def _dated(log: Log, plan: Plan, folder: Path) -> Buckets:
    """Events by user, with their times."""
    place = place_type(len(log))
    buckets = Buckets(folder, plan.buckets(len(log)), {"user": np.uint32, "order": np.float64, "place": place})
    start = 0
    for block in log.blocks(plan.block, "user", "time"):
        stop = start + len(block["user"])
        buckets.append(user=block["user"], order=block["time"], place=np.arange(start, stop, dtype=place))
        start = stop
    return buckets


def _held_out(buckets: Buckets, events: int, *, tenths: bool) -> Parts:
    """Of each user's last events by ``order``, a tenth each or one each for test and validation."""
    found = np.zeros(events, dtype=np.uint8)
    for block in buckets:
        user = block["user"]
        sequence = np.lexsort((block["order"], user))
        starts = np.flatnonzero(np.diff(user[sequence].astype(np.int64), prepend=-1))
        count = np.diff(starts, append=len(user))
        from_end = np.repeat(starts + count, count) - 1 - np.arange(len(user))
        held = np.maximum(1, count // 10) if tenths else np.ones_like(count)
        held = np.repeat(np.where(count >= 3, held, 0), count)
        part = np.where(from_end < held, 2, np.where(from_end < 2 * held, 1, 0))
        found[block["place"][sequence]] = part
    buckets.remove()
    return found


def _by_time(log: Log, users: int, items: int, plan: Plan) -> Parts:
    """Parts by rank in time: below 0.8 n, below 0.9 n, the rest, where training knows the user and the item."""
    n = len(log)
    trained, validated = (_Edge.at(log, int(np.ceil(share * n)), plan.block) for share in (0.8, 0.9))
    found = np.empty(n, dtype=np.uint8)
    known = np.zeros(users, dtype=bool), np.zeros(items, dtype=bool)
    start = 0
    for block in log.blocks(plan.block):
        time = block["time"]
        part = trained.reached(time).astype(np.uint8) + validated.reached(time)
        for mask, side in zip(known, ("user", "item"), strict=True):
            mask[block[side][part == 0]] = True
        found[start : start + len(part)] = part
        start += len(part)
    start = 0
    for block in log.blocks(plan.block, "user", "item"):
        part = found[start : start + len(block["user"])]
        part[(part > 0) & ~(known[0][block["user"]] & known[1][block["item"]])] = 3
        start += len(part)
    return found


class _Edge:
    """A rank in the order of time, equal times by position: events up to it come before, in passes from the start."""

    def __init__(self, time: float, equal: int) -> None:
        self.time, self.equal = time, equal

    @classmethod
    def at(cls, log: Log, rank: int, rows: int) -> _Edge:
        """The edge with ``rank`` events before it: the time of the event after them, digit by digit of its bits."""
        if rank >= len(log):
            return cls(np.inf, 0)
        prefix = before = 0
        for shift in range(64 - _DIGIT, -1, -_DIGIT):
            counts = np.zeros(2**_DIGIT, dtype=np.int64)
            for bits in _bits(log, rows):
                if shift + _DIGIT < 64:
                    bits = bits[bits >> np.uint64(shift + _DIGIT) == prefix]
                digit = (bits >> np.uint64(shift)).astype(np.int64) & (2**_DIGIT - 1)
                counts += np.bincount(digit, minlength=len(counts))
            ends = before + np.cumsum(counts)
            chosen = int(np.searchsorted(ends, rank, side="right"))
            before, prefix = int(ends[chosen] - counts[chosen]), prefix << _DIGIT | chosen
        return cls(_number(prefix), rank - before)

    def reached(self, time: Rows | npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of the next events are not before the edge; of those with its own time the first ones are."""
        equal = time == self.time
        late = (time > self.time) | (equal & (np.cumsum(equal) > self.equal))
        self.equal -= min(self.equal, int(equal.sum()))
        return late


def _bits(log: Log, rows: int) -> Iterator[npt.NDArray[np.uint64]]:
    """Times as whole numbers in the same order; −0 counts as 0."""
    for block in log.blocks(rows, "time"):
        bits = (block["time"] + 0.0).view(np.uint64)
        yield np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _number(bits: int) -> float:
    """The time that `_bits` made ``bits`` of."""
    raw = bits ^ (1 << 63) if bits >> 63 else bits ^ (2**64 - 1)
    return float(np.array([raw], dtype=np.uint64).view(np.float64)[0])
