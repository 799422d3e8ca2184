"""Cold items and new users of `hyperllm.data.split`, over a log of kept events that were given their parts.

Knows that the draws and the order of pairs are those of the rules in memory. Does not know ids or files. New users'
events are drawn by a permutation of all of them, four bytes each. Shapes: n kept events, U users, I items.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperllm.data.prepare import ColdCounts, NewUserCounts
from hyperllm.data.split import GIVEN, draw, is_tested, too_little
from hyperllm.data.streaming.budget import Plan
from hyperllm.data.streaming.scratch import Buckets, Log, taken
from hyperllm.data.streaming.split import NONE, TEST, TRAIN, Parted, place_type
from hyperllm.ids import Rows

_PAIR = {"user": np.uint32, "item": np.uint32}


def without_items(
    whole: Parted, share: float, *, users: int, items: int, seed: int, plan: Plan, folder: Path
) -> tuple[Parted, ColdCounts]:
    """`hyperllm.data.split.without_items`; the array of parts is changed in place. Raises `DataError` as that does."""
    before = whole.total()
    cold = draw(items, share, np.random.default_rng(seed))
    is_cold, trained = _mask(items, cold), np.zeros(users, dtype=bool)
    for part, block in whole.blocks(plan.block):
        trained[block["user"][(part == TRAIN) & ~is_cold[block["item"]]]] = True
    test = Log(folder / "test", _PAIR)
    for number in range(NONE):  # in this order they stand in the part
        for part, block in whole.blocks(plan.block):
            chosen = (part == number) & is_cold[block["item"]] & trained[block["user"]]
            test.append(**taken(block, chosen))
    for part, block in whole.blocks(plan.block):
        part[(part == TEST) | is_cold[block["item"]]] = NONE
    split = replace(whole, drawn={"test": test})
    if not (train := split.counts()["train"]) or not len(test):
        raise too_little(f"{len(cold):,} cold items of {items:,}", train, len(test))
    return split, ColdCounts(items=len(cold), tested=len(test), left_out=before - split.total())


def without_users(
    whole: Parted, share: float, *, users: int, seed: int, plan: Plan, folder: Path
) -> tuple[Parted, NewUserCounts]:
    """`hyperllm.data.split.without_users`; the array of parts is changed in place. Raises `DataError` as that does."""
    before = whole.total()
    rng = np.random.default_rng(seed)
    new = draw(users, share, rng)
    is_new, count = _mask(users, new), np.zeros(users, dtype=np.int64)
    for part, block in whole.blocks(plan.block):
        count += np.bincount(block["user"][(part != NONE) & is_new[block["user"]]], minlength=users)
    buckets = _shuffled(whole, is_new, count, rng, plan, folder)
    for part, block in whole.blocks(plan.block):
        part[(part == TEST) | is_new[block["user"]]] = NONE
    logs = {name: Log(folder / name, _PAIR) for name in ("test", GIVEN)}
    given_to = 0
    for block in buckets:
        sequence = np.lexsort((block["order"], block["user"]))
        user, item = block["user"][sequence], block["item"][sequence]
        first = np.searchsorted(user, user)
        tested = is_tested(np.arange(len(user)) - first, count[user])
        for log, chosen in zip(logs.values(), (tested, ~tested), strict=True):
            log.append(user=user[chosen], item=item[chosen])
        given_to += len(np.unique(user[~tested]))
    split = replace(whole, drawn=logs)
    tested, given = len(logs["test"]), len(logs[GIVEN])
    if not (train := split.counts()["train"]) or not tested:
        raise too_little(f"{len(new):,} new users of {users:,}", train, tested)
    return split, NewUserCounts(given_to, given, tested, before - split.total() - given)


def _shuffled(
    whole: Parted, is_new: npt.NDArray[np.bool_], count: Rows, rng: np.random.Generator, plan: Plan, folder: Path
) -> Buckets:
    """New users' events in buckets of following users, with their places in a permutation of all of them."""
    drawn = int(count.sum())
    order = np.arange(drawn, dtype=place_type(drawn))
    rng.shuffle(order)  # the same swaps as permutation, in half the memory or less
    home = (np.cumsum(count) - count) // plan.bucket
    types = {**_PAIR, "order": order.dtype}
    buckets = Buckets(folder / "new", int(home.max(initial=0)) + 1, types, home=home)
    start = 0
    for number in range(NONE):  # in this order the rule in memory draws
        for part, block in whole.blocks(plan.block):
            block = taken(block, (part == number) & is_new[block["user"]])
            stop = start + len(block["user"])
            buckets.append(**block, order=order[start:stop])
            start = stop
    return buckets


def _mask(size: int, rows: Rows) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[rows] = True
    return mask
