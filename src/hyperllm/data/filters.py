"""Which interactions count.

Knows the rating threshold, the k-core and what to do with repeated pairs; each returns what it kept and what it
dropped. Does not know files, texts or splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hyperllm.data.interactions import Interactions
from hyperllm.errors import ConfigError, DataError
from hyperllm.ids import Rows, Vocabulary

Keep = Literal["first", "last", "max"]
KEEPS: tuple[Keep, ...] = ("first", "last", "max")


@dataclass(frozen=True)
class Dropped:
    """How many interactions, users and items one filter took away."""

    filter: str
    interactions: int
    users: int
    items: int

    def __str__(self) -> str:
        return f"{self.filter}: {self.interactions:,} interactions, {self.users:,} users, {self.items:,} items dropped"


class Filtered(NamedTuple):
    """What a filter kept, and what it dropped."""

    interactions: Interactions
    dropped: Dropped


def minimum_rating(interactions: Interactions, threshold: float) -> Filtered:
    """Keep events rated at least ``threshold``; users and items left without an event go too.

    Raises `DataError` where there are no ratings, or none is high enough.
    """
    rating = interactions.rating
    if rating is None:
        raise DataError(
            f"a minimum rating of {threshold:g} was asked for, but there is no rating column. "
            "Name it with --rating-column, or leave out --min-rating."
        )
    if len(rating) and not (rating >= threshold).any():
        raise DataError(
            f"no rating reaches {threshold:g}; the {len(rating):,} ratings run from {rating.min():g} to "
            f"{rating.max():g}. Choose a lower --min-rating."
        )
    return _keep(interactions, rating >= threshold, f"rating >= {threshold:g}")


def deduplicate(interactions: Interactions, keep: Keep) -> Filtered:
    """Keep one event of each user–item pair: the first, the last, or the one rated highest.

    First and last go by time where there is one, else by position; ``max`` takes the earliest of equals. The
    remaining events keep their order.
    """
    if keep not in KEEPS:
        raise ConfigError(f"unknown rule for duplicates {keep!r}; choose one of {', '.join(KEEPS)}.")
    n = len(interactions)
    position = np.arange(n)
    time = position if interactions.time is None else interactions.time
    rating = np.zeros(n) if keep != "max" or interactions.rating is None else interactions.rating
    newest = -1 if keep == "last" else 1
    pair = _pairs(interactions)
    best = np.lexsort((newest * position, newest * time, -rating, pair))
    kept = np.zeros(n, dtype=bool)
    kept[best[np.diff(pair[best], prepend=-1) != 0]] = True
    return _keep(interactions, kept, f"repeated pairs (kept the {keep})")


def core(interactions: Interactions, k: int) -> Filtered:
    """Drop users and items with fewer than ``k`` distinct partners until none is left to drop.

    The result is the largest subset in which every user and item has at least ``k``; it does not depend on the order
    of dropping. ``k`` of 1 or less keeps all. Raises `DataError` when nothing remains.
    """
    pair = _pairs(interactions)
    first = np.unique(pair, return_index=True)[1]
    user, item = interactions.user[first], interactions.item[first]
    users = np.ones(len(interactions.users), dtype=bool)
    items = np.ones(len(interactions.items), dtype=bool)
    while k > 1:
        alive = users[user] & items[item]
        user, item = user[alive], item[alive]
        users = np.bincount(user, minlength=len(users)) >= k
        items = np.bincount(item, minlength=len(items)) >= k
        if (users[user] & items[item]).all():
            break
    kept = users[interactions.user] & items[interactions.item]
    if not kept.any():
        raise DataError(
            f"the {k}-core of the {len(interactions):,} interactions is empty: no group of users and items has "
            f"{k} partners each. Choose a lower --core or --min-rating."
        )
    return _keep(interactions, kept, f"{k}-core")


def _pairs(interactions: Interactions) -> Rows:
    """One number a user–item pair (n,)."""
    return interactions.user * np.int64(max(1, len(interactions.items))) + interactions.item


def _keep(interactions: Interactions, kept: npt.NDArray[np.bool_], name: str) -> Filtered:
    users, user = _compact(interactions.users, interactions.user[kept])
    items, item = _compact(interactions.items, interactions.item[kept])
    rating = None if interactions.rating is None else interactions.rating[kept]
    time = None if interactions.time is None else interactions.time[kept]
    dropped = Dropped(
        filter=name,
        interactions=len(interactions) - len(user),
        users=len(interactions.users) - len(users),
        items=len(interactions.items) - len(items),
    )
    return Filtered(Interactions(users, items, user, item, rating, time), dropped)


def _compact(vocabulary: Vocabulary, rows: Rows) -> tuple[Vocabulary, Rows]:
    """The ids that still occur, in their old order, and the rows renumbered."""
    used, renumbered = np.unique(rows, return_inverse=True)
    if len(used) == len(vocabulary):
        return vocabulary, rows
    return Vocabulary(vocabulary.texts.gather(used)), renumbered.astype(np.int64)
