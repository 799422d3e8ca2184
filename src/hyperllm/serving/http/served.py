"""One recommender and what is made once of it.

Knows a model with the items that were added to it. Does not know what comes after it; see `state`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np

from hyperllm.evaluation.rank import NOTHING
from hyperllm.serving.http.entries import Entries, encoded
from hyperllm.serving.http.finding import Finder
from hyperllm.serving.http.tagtree import TagTree
from hyperllm.serving.recommender import Recommender

LIBRARY = version("hyperllm")
"""Its version: another one may answer the same differently."""

Ranked = tuple[list[int], list[float]]


@dataclass(frozen=True, eq=False)
class Served:
    """Never changes; ``added`` counts the items that joined after training, which come last."""

    recommender: Recommender
    run: str
    fingerprint: str
    added: int
    swaps: int

    @cached_property
    def version(self) -> str:
        """Changes with every other model, and with every item that is added or taken out."""
        if not self.added:
            return self.fingerprint[:12]
        newcomers = self.recommender.model.catalog.frame.tail(self.added).write_json().encode()
        return f"{self.fingerprint[:12]}-{self.added}-{hashlib.sha256(newcomers).hexdigest()[:6]}"

    @cached_property
    def version_json(self) -> bytes:
        """The version as JSON."""
        return encoded(self.version)

    @cached_property
    def etag(self) -> str:
        """One tag for all answers of a version, since an address says the rest."""
        return f'"{LIBRARY}.{self.version}"'

    @cached_property
    def entries(self) -> Entries:
        """How items look in lists."""
        return Entries(self.recommender.model.catalog)

    @cached_property
    def users(self) -> Finder:
        """Users by their ids, those with the most clicks first."""
        model = self.recommender.model
        return Finder.of(model.users.ids, model.users.ids, np.diff(model.seen.indptr))

    @cached_property
    def items(self) -> Finder:
        """Items by their ids and titles, the most clicked first."""
        model = self.recommender.model
        texts = [f"{item}\n{title or ''}" for item, title in zip(model.items.ids, model.titles, strict=True)]
        return Finder.of(model.items.ids, texts, model.clicks)

    @cached_property
    def tags(self) -> TagTree:
        """Tags above and below each other."""
        return TagTree.of(self.recommender.model.tags, self.recommender.model.clicks)

    @cached_property
    def disk_json(self) -> bytes:
        """The whole answer of ``GET /disk``, which takes a second to make."""
        return encoded({"version": self.version, **self.recommender.disk.document()})

    def is_added(self, item: int) -> bool:
        """Whether an item row joined after training."""
        return item >= len(self.recommender.items) - self.added

    def ranked(self, users: Sequence[int], k: int, *, seen: bool) -> list[Ranked]:
        """Item rows and shown scores of each user row, best first, as `Recommender.recommend` gives them."""
        model, rows = self.recommender.model, np.asarray(users, dtype=np.int64)
        found = self.recommender.ranked(rows, k, filter_seen=not seen)
        scores = model.shown_scores(rows, found)
        count = (found.items != NOTHING).sum(axis=1).tolist()
        lists = zip(found.items.tolist(), scores.tolist(), count, strict=True)
        return [(items[:n], values[:n]) for items, values, n in lists]

    def warm(self) -> Served:
        """Do once what would make the first lists and searches slow."""
        if len(self.recommender.users):
            self.ranked([0], 10, seen=False)
        _ = self.entries, self.users, self.items, self.tags
        return self

    def warm_through(self) -> None:
        """Do once what takes seconds: what a history means, reasons, the disk."""
        users, items = self.recommender.users.ids, self.recommender.items.ids
        if users and items:
            self.recommender.fold_in({"guest": items[:1]}, 1)
            self.recommender.explain(users[0], items[0])
        if self.recommender.model.curved:
            _ = self.disk_json
