"""Train, validation and test.

Knows three rules that divide interactions, and how items are made cold and users new; each seeded or deterministic.
Does not know any model or metric.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm import artifacts
from hyperllm.data.interactions import Interactions, Pairs
from hyperllm.errors import ConfigError, DataError
from hyperllm.ids import Rows, Vocabulary

KIND = "split"
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
Rule = Literal["per-user", "leave-one-out", "time"]
NO_PAIRS = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
GIVEN = "given"


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of pairs over one pair of vocabularies.

    ``given`` are pairs of users in no other part but ``test``: what is told of them when the finished model meets them
    (`without_users`); empty in an ordinary split.
    """

    users: Vocabulary
    items: Vocabulary
    train: Pairs
    valid: Pairs
    test: Pairs
    given: Pairs = NO_PAIRS

    def told(self) -> Split:
        """The split once its new users were met: what was given of them counts as training."""
        sides = (np.concatenate([getattr(self.train, side), getattr(self.given, side)]) for side in ("user", "item"))
        return replace(self, train=Pairs(*sides), given=NO_PAIRS)

    def part(self, name: Part) -> Pairs:
        """The pairs of one part."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]

    def save(
        self, folder: Path, *, config: Mapping[str, Any], inputs: Mapping[str, str], facts: dict[str, Any] | None = None
    ) -> None:
        """Write the artifact ``folder``: ids and one Parquet table a part."""
        counts = {name: len(self.part(name)) for name in PARTS}
        ids = self.users.texts, self.items
        with self.writing(folder, *ids, counts, config=config, inputs=inputs, facts=facts) as work:
            for name, pairs in [*((name, self.part(name)) for name in PARTS), (GIVEN, self.given)]:
                if name == GIVEN and not len(pairs):
                    continue
                pl.DataFrame({"user": pairs.user, "item": pairs.item}).write_parquet(work / f"{name}.parquet")

    @staticmethod
    @contextmanager
    def writing(
        folder: Path,
        users: pl.Series,
        items: Vocabulary,
        counts: Mapping[str, int],
        *,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        facts: dict[str, Any] | None = None,
    ) -> Generator[Path]:
        """The artifact ``folder`` with its ids; who asked writes a Parquet table a part, ``counts`` are their rows."""
        facts = {**(facts or {}), **counts, "item_ids": items.fingerprint}
        with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
            pl.DataFrame({"user_id": users}).write_parquet(work / "users.parquet")
            pl.DataFrame({"item_id": items.texts}).write_parquet(work / "items.parquet")
            yield work

    @classmethod
    def load(cls, folder: Path) -> Split:
        """Read what `save` wrote."""
        artifacts.read(folder, KIND)
        parts: dict[str, Pairs] = {}
        for name in (*PARTS, *([GIVEN] if (folder / f"{GIVEN}.parquet").exists() else [])):
            frame = pl.read_parquet(folder / f"{name}.parquet")
            parts[name] = Pairs(frame["user"].to_numpy(), frame["item"].to_numpy())
        return cls(
            users=Vocabulary(pl.read_parquet(folder / "users.parquet")["user_id"]),
            items=Vocabulary(pl.read_parquet(folder / "items.parquet")["item_id"]),
            **parts,
        )


def split(interactions: Interactions, rule: Rule = "per-user", *, seed: int = 0) -> Split:
    """Divide interactions by one of the three rules.

    ``per-user``: of a user's n events, max(1, ⌊n/10⌋) each go to validation and test at random, the rest trains.
    ``leave-one-out``: the last event tests, the one before validates. ``time``: the first 80 % of all events train, the
    next 10 % validate, the rest test; held-out users and items without a training event are dropped there.
    Users with fewer than three events train whole.
    """
    if rule not in RULES:
        raise ConfigError(f"unknown split {rule!r}; choose one of {', '.join(RULES)}")
    part = RULES[rule](interactions, seed)
    chosen = [Pairs(interactions.user[part == k], interactions.item[part == k]) for k in range(3)]
    if not len(chosen[0]):
        raise DataError("the split leaves no training interaction; use a milder filter")
    return Split(interactions.users, interactions.items, *chosen)


def cold_items(split: Split, share: float, *, seed: int = 0) -> Rows:
    """The items (n,) that `without_items` takes away: round(share · I) of the I items, drawn, ascending."""
    return np.sort(draw(len(split.items), share, np.random.default_rng(seed)))


def draw(size: int, share: float, rng: np.random.Generator) -> Rows:
    """round(share · n) of n rows, in the order in which they are drawn."""
    return rng.permutation(size)[: round(share * size)]


def without_items(split: Split, share: float, *, seed: int = 0) -> Split:
    """Make `cold_items` new to every model: they leave ``train`` and ``valid``, and ``test`` is about them alone.

    ``test`` becomes their interactions, of whichever part, with users who still have a training interaction; warm test
    interactions are left out. The vocabularies stay. With ``share`` 0 nothing changes. Raises `DataError` where no item
    is drawn, or no interaction is left to train on or to test.
    """
    if not share:
        return split
    chosen = cold_items(split, share, seed=seed)
    held = {name: np.isin(split.part(name).item, chosen) for name in PARTS}
    train, valid = (split.part(name).take(~held[name]) for name in ("train", "valid"))
    cold = [split.part(name).take(held[name]) for name in PARTS]
    tested = Pairs(*(np.concatenate([getattr(pairs, side) for pairs in cold]) for side in ("user", "item")))
    tested = tested.take(np.isin(tested.user, train.user))
    if not len(train) or not len(tested):
        raise too_little(f"{len(chosen):,} cold items of {len(split.items):,}", len(train), len(tested))
    return Split(split.users, split.items, train, valid, tested)


def too_little(drawn: str, trained: int, tested: int) -> DataError:
    """What to say where what is ``drawn`` leaves no interaction to train on or to test."""
    return DataError(f"{drawn} leave {trained:,} interactions to train on and {tested:,} to test; take another share")


def without_users(split: Split, share: float, *, seed: int = 0) -> Split:
    """Make round(share · U) users, drawn by the seed, new to every model: no part but ``test`` is about them.

    Of a drawn user's n items, of whichever part, max(1, round(n / 5)) at random are the test and the others are
    ``given``; other users' test interactions are left out. The vocabularies stay. With ``share`` 0 nothing changes.
    Raises `DataError` where no user is drawn, or nothing is left to train on or to test.
    """
    if not share:
        return split
    rng = np.random.default_rng(seed)
    chosen = draw(len(split.users), share, rng)
    drawn = [split.part(name).take(np.isin(split.part(name).user, chosen)) for name in PARTS]
    user, item = (np.concatenate([getattr(pairs, side) for pairs in drawn]) for side in ("user", "item"))
    order = np.lexsort((rng.permutation(len(user)), user))
    user, item = user[order], item[order]
    count = np.bincount(user, minlength=len(split.users))
    place = np.arange(len(user)) - (np.cumsum(count) - count)[user]
    tested = is_tested(place, count[user])
    train, valid = (split.part(name).take(~np.isin(split.part(name).user, chosen)) for name in ("train", "valid"))
    if not len(train) or not tested.any():
        raise too_little(f"{len(chosen):,} new users of {len(split.users):,}", len(train), int(tested.sum()))
    held = Pairs(user, item)
    return Split(split.users, split.items, train, valid, held.take(tested), held.take(~tested))


def is_tested(place: Rows, count: Rows) -> npt.NDArray[np.bool_]:
    """(n,) whether a new user's interaction tests: by its ``place`` among the ``count`` of its user, shuffled."""
    return (place < np.maximum(1, np.round(count / 5))) & (count > 1)


def _rank_from_end(interactions: Interactions, order: Rows) -> tuple[Rows, Rows]:
    """(position from the end, events of the user) for every event, under ``order`` within each user."""
    sequence = np.lexsort((order, interactions.user))
    counts = np.bincount(interactions.user, minlength=len(interactions.users))
    ends = np.cumsum(counts)
    from_end = np.empty(len(interactions), dtype=np.int64)
    from_end[sequence] = np.repeat(ends, counts) - 1 - np.arange(len(interactions))
    return from_end, counts[interactions.user]


def _per_user(interactions: Interactions, seed: int) -> Rows:
    shuffled = np.random.default_rng(seed).permutation(len(interactions))
    from_end, count = _rank_from_end(interactions, shuffled)
    held = np.where(count >= 3, np.maximum(1, count // 10), 0)
    return np.where(from_end < held, 2, np.where(from_end < 2 * held, 1, 0))


def _time_order(interactions: Interactions, rule: str) -> Rows:
    if interactions.time is None:
        raise DataError(f"the split {rule!r} needs a time column; name it with --time-column, or use per-user")
    return np.argsort(np.argsort(interactions.time, kind="stable"), kind="stable")


def _leave_one_out(interactions: Interactions, seed: int) -> Rows:
    del seed
    from_end, count = _rank_from_end(interactions, _time_order(interactions, "leave-one-out"))
    return np.where(count < 3, 0, np.where(from_end == 0, 2, np.where(from_end == 1, 1, 0)))


def _by_time(interactions: Interactions, seed: int) -> Rows:
    del seed
    position = _time_order(interactions, "time")
    n = len(interactions)
    part = np.where(position < 0.8 * n, 0, np.where(position < 0.9 * n, 1, 2))
    trained_users = np.isin(interactions.user, interactions.user[part == 0])
    trained_items = np.isin(interactions.item, interactions.item[part == 0])
    return np.where((part > 0) & ~(trained_users & trained_items), 3, part)


RULES = {"per-user": _per_user, "leave-one-out": _leave_one_out, "time": _by_time}
