"""The model that answers, and how another takes its place.

Knows one recommender behind one reference, the items added to it, and a folder to watch. Does not know requests: each
takes `Live.current` once and keeps it, so that it is answered by one model whatever happens meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hyperllm.evaluation.rank import NOTHING
from hyperllm.serving.http import opening
from hyperllm.serving.http.entries import Entries, encoded
from hyperllm.serving.http.finding import Finder
from hyperllm.serving.http.metrics import Metrics
from hyperllm.serving.http.tagtree import TagTree
from hyperllm.serving.recommender import Recommender

log = logging.getLogger(__name__)

Ranked = tuple[list[int], list[float]]
Report = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Served:
    """One recommender and what is made once of it; never changes."""

    recommender: Recommender
    run: str
    fingerprint: str
    added: int
    swaps: int
    report: Mapping[str, Any]

    @cached_property
    def version(self) -> str:
        """Changes with every other model and every added item."""
        return f"{self.fingerprint[:12]}.{self.added}"

    @cached_property
    def version_json(self) -> bytes:
        """The version as JSON."""
        return encoded(self.version)

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

    def is_added(self, item: int) -> bool:
        """Whether an item row joined after training; those come last."""
        return item >= len(self.recommender.items) - self.added

    def ranked(self, users: Sequence[int], k: int, *, seen: bool) -> list[Ranked]:
        """Item rows and shown scores of each user row, best first, as `Recommender.recommend` gives them."""
        model, rows = self.recommender.model, np.asarray(users, dtype=np.int64)
        found = model.topk(rows, k, mask=None if seen else model.seen)
        scores = model.shown_scores(rows, found)
        count = (found.items != NOTHING).sum(axis=1).tolist()
        lists = zip(found.items.tolist(), scores.tolist(), count, strict=True)
        return [(items[:n], values[:n]) for items, values, n in lists]

    def warm(self) -> Served:
        """Do once what would make the first request slow."""
        if len(self.recommender.users):
            self.ranked([0], 10, seen=False)
        _ = self.entries, self.users, self.items, self.tags
        return self


class Additions(Protocol):
    """Items that joined after training, kept beside the model."""

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep these rows of a catalogue."""
        ...

    def apply(self, recommender: Recommender) -> Recommender:
        """The recommender with all kept items that it does not know placed."""
        ...


class Live:
    """The current model of a folder. Reading `current` never waits; whoever changes it holds the lock."""

    def __init__(
        self,
        folder: Path,
        *,
        run: str | None = None,
        additions: Additions | None = None,
        report: Report | None = None,
        every_s: float = 1.0,
    ) -> None:
        """Load the model of ``folder``; raises an `ArtifactError` where there is none."""
        self.metrics = Metrics()
        self.started_s = time.time()
        self._folder, self._run = folder, run or folder.name
        self._additions, self._report = additions, report or dict
        self._every_s = every_s
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        opened = opening.load(folder)
        self._mark = opened.mark
        self._refused: opening.Mark | None = None
        self.current = self._served(opened, swaps=0)
        self._tell()

    def watch(self) -> None:
        """Look for a newly trained model every second, in a thread, until `stop`."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watching, name="watcher", daemon=True)
            self._watcher.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()

    def look(self) -> bool:
        """Take over a new model if there is one; whether it did.

        A folder that is just being replaced is left for the next look. A model that does not load is logged and counted
        once, and the old one goes on answering.
        """
        mark = opening.mark(self._folder)
        if mark is None or mark in (self._mark, self._refused):
            return False
        try:
            opened = opening.load(self._folder)
            if opened.fingerprint == self.current.fingerprint:
                self._mark = opened.mark
                return False
            self._swap(opened)
        except Exception:
            if opening.mark(self._folder) == mark:
                log.exception("the new model in %r cannot be used; the old one goes on", str(self._folder))
                self._refused = mark
                self.metrics.refused()
            return False
        return True

    def _swap(self, opened: opening.Opened) -> None:
        with self._lock:
            self.current = self._served(opened, swaps=self.current.swaps + 1)
            self._mark, self._refused = opened.mark, None
            self.metrics.swapped()
            self._tell()
        log.info("version %s answers from now on", self.current.version)

    def _served(self, opened: opening.Opened, *, swaps: int) -> Served:
        trained = opened.recommender
        whole = trained if self._additions is None else self._additions.apply(trained)
        added = len(whole.items) - len(trained.items)
        return Served(whole, self._run, opened.fingerprint, added, swaps, self._report()).warm()

    def _tell(self) -> None:
        self.metrics.serves(self.current.version, self.current.run, self.current.added)

    def _watching(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()
