"""The filters of `hyperllm.data.filters` over logs: rating, core, repeated pairs.

Knows codes of users and items, a byte an event and a few bytes an id; everything else of an event stays on disk.
Whatever concerns a pair concerns one user, so events are divided by user and each bucket is settled by itself. Does not
know what was asked for, nor texts of ids. Shapes: n events of the log, U users, I items, m rows of a bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperllm.data.filters import Dropped, Keep
from hyperllm.data.streaming.budget import Plan
from hyperllm.data.streaming.events import Events
from hyperllm.data.streaming.scratch import Block, Buckets, Log, taken
from hyperllm.errors import DataError

Mask = npt.NDArray[np.bool_]
BYTES = 40
"""What an id costs while the core is counted: its numbers of partners, and those of a block beside them."""


@dataclass(frozen=True)
class Rated:
    """Events that reach the least rating, divided by user; ``place`` numbers the log's events."""

    buckets: Buckets
    events: int
    users: Mask
    """(U,) who has one of them."""
    items: Mask
    dropped: Dropped | None


@dataclass(frozen=True)
class Kept:
    """What passes all filters: ``stays`` (n,) says it of the log's events, ``users`` (U,) and ``items`` (I,) of ids."""

    stays: Mask
    users: Mask
    items: Mask
    dropped: tuple[Dropped, ...]


def rated(events: Events, threshold: float | None, keep: Keep, plan: Plan, folder: Path) -> Rated:
    """Divide the events that are rated at least ``threshold``, or all; raises `DataError` as `minimum_rating`."""
    log = events.log
    if threshold is not None and "rating" not in log:
        raise DataError(
            f"a minimum rating of {threshold:g} was asked for, but there is no rating column. "
            "Name it with --rating-column, or leave out --min-rating."
        )
    place = np.uint32 if len(log) < 2**32 else np.uint64
    needed = {name: dtype for name, dtype in log.dtypes.items() if name != "rating" or keep == "max"}
    buckets = Buckets(folder, plan.buckets(len(log)), {**needed, "place": place})
    users, items = np.zeros(len(events.users), dtype=bool), np.zeros(len(events.items), dtype=bool)
    low, high, kept = np.inf, -np.inf, 0
    for start, block in _numbered(log, plan.block):
        block["place"] = np.arange(start, start + len(block["user"]), dtype=place)
        if threshold is not None:
            rating = block["rating"]
            low, high = min(low, rating.min()), max(high, rating.max())
            block = taken(block, rating >= threshold)
        users[block["user"]] = True
        items[block["item"]] = True
        kept += len(block["user"])
        buckets.append(**block)
    if threshold is None:
        return Rated(buckets, kept, users, items, None)
    if len(log) and not kept:
        raise DataError(
            f"no rating reaches {threshold:g}; the {len(log):,} ratings run from {low:g} to {high:g}. "
            "Choose a lower --min-rating."
        )
    lost = len(log) - kept, int((~users).sum()), int((~items).sum())
    return Rated(buckets, kept, users, items, Dropped(f"rating >= {threshold:g}", *lost))


def kept(found: Rated, events: int, k: int, keep: Keep, plan: Plan, folder: Path) -> Kept:
    """The k-core of what is rated, then one event of each pair; ``events`` is the length of the log.

    Raises `DataError` where the core is empty.
    """
    users, items = found.users, found.items
    if k > 1:
        users, items = _core(_pairs(found.buckets, folder / "pairs"), users, items, k, plan, folder)
    stays = np.zeros(events, dtype=bool)
    left = pairs = 0
    for block in found.buckets:
        block = taken(block, users[block["user"]] & items[block["item"]])
        chosen = _chosen(block, keep)
        stays[block["place"][chosen]] = True
        left += len(chosen)
        pairs += int(chosen.sum())
    if not left:
        raise DataError(
            f"the {k}-core of the {found.events:,} interactions is empty: no group of users and items has "
            f"{k} partners each. Choose a lower --core or --min-rating."
        )
    gone = int(found.users.sum() - users.sum()), int(found.items.sum() - items.sum())
    core = Dropped(f"{k}-core", found.events - left, *gone)
    repeated = Dropped(f"repeated pairs (kept the {keep})", left - pairs, 0, 0)
    dropped = (core, repeated) if found.dropped is None else (found.dropped, core, repeated)
    return Kept(stays, users, items, dropped)


def _numbered(log: Log, rows: int) -> Iterator[tuple[int, Block]]:
    """Blocks with the number of their first row."""
    start = 0
    for block in log.blocks(rows):
        yield start, block
        start += len(block["user"])


def _keys(block: Block) -> npt.NDArray[np.uint64]:
    """One number a pair (m,)."""
    return (block["user"].astype(np.uint64) << np.uint64(32)) | block["item"].astype(np.uint64)


def _pairs(buckets: Buckets, path: Path) -> Log:
    """The distinct pairs of all buckets."""
    log = Log(path, {"user": np.uint32, "item": np.uint32})
    for block in buckets:
        key = np.unique(_keys(block))
        log.append(user=key >> np.uint64(32), item=key & np.uint64(2**32 - 1))
    return log


def _core(pairs: Log, users: Mask, items: Mask, k: int, plan: Plan, folder: Path) -> tuple[Mask, Mask]:
    """Who and what is in the k-core of distinct pairs: the log is passed over, and shrinks, until nothing falls out."""
    for number in range(len(users) + len(items) + 1):
        left = Log(folder / f"pairs-{number}", pairs.dtypes)
        of_user, of_item = (np.zeros(len(mask), dtype=np.int64) for mask in (users, items))
        for block in pairs.blocks(plan.block):
            block = taken(block, users[block["user"]] & items[block["item"]])
            of_user += np.bincount(block["user"], minlength=len(users))
            of_item += np.bincount(block["item"], minlength=len(items))
            left.append(**block)
        pairs.remove()
        settled = number and len(left) == len(pairs)
        pairs, users, items = left, of_user >= k, of_item >= k
        if settled:
            break
    pairs.remove()
    return users, items


def _chosen(block: Block, keep: Keep) -> Mask:
    """Which events (m,) stay of repeated pairs; the rule is that of `hyperllm.data.filters.deduplicate`."""
    key = _keys(block)
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    alone = np.ones(len(key), dtype=bool)
    alone[order[1:][same]] = False
    alone[order[:-1][same]] = False
    rows = np.flatnonzero(~alone)
    repeated = taken(block, ~alone)
    place = repeated["place"].astype(np.int64)
    time = repeated.get("time", place)
    rating = repeated["rating"] if keep == "max" and "rating" in repeated else np.zeros(len(rows))
    newest = -1 if keep == "last" else 1
    best = np.lexsort((newest * place, newest * time, -rating, key[rows]))
    first = np.ones(len(rows), dtype=bool)
    first[1:] = key[rows][best[1:]] != key[rows][best[:-1]]
    alone[rows[best[first]]] = True
    return alone
