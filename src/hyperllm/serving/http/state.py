"""The model that answers, and how another takes its place.

Knows one recommender behind one reference, the items added to it, and a folder to watch. Does not know requests: each
takes `Live.current` once and keeps it, so that it is answered by one model whatever happens meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperllm.data.catalog import Catalog
from hyperllm.errors import ArtifactError, MisalignedArrays, ProviderError
from hyperllm.serving.additions import Additions, Taken, recipe_of
from hyperllm.serving.http import opening
from hyperllm.serving.http.metrics import Metrics
from hyperllm.serving.http.served import Served
from hyperllm.serving.index import ApproximateIndex, place_of
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Encode, Placed, encoder_for, place
from hyperllm.serving.recommender import Recommender

log = logging.getLogger(__name__)

Report = Callable[[], Mapping[str, Any]]
EVERY_S = 1.0
_NO_ENCODER = "the text encoder is not to be had here, so new items are placed by their tags"


@dataclass
class Encoders:
    """Text encoders by recipe, each loaded once however many models use it."""

    known: dict[str | None, tuple[Encode | None, str | None]] = field(default_factory=dict)

    def place(self, model: ScoreModel, new: Catalog) -> tuple[Placed, list[str]]:
        """Place new items by their text, or by their tags where no encoder is to be had; and remarks."""
        recipe = recipe_of(model)
        if recipe not in self.known:
            self.known[recipe] = encoder_for(model, threads=1)
        encode, remark = self.known[recipe]
        try:
            placed = place(model, new, encode=encode)
        except ProviderError:
            log.exception("the text encoder failed")
            self.known[recipe] = None, _NO_ENCODER
            return self.place(model, new)
        return placed, [*([remark] if remark else []), *placed.notes]


@dataclass(frozen=True, eq=False)
class Joined:
    """What became of new items: they were placed among those of ``before``, and ``after`` answers now."""

    before: Served
    after: Served
    placed: Placed
    remarks: list[str]


class Live:
    """The current model of a folder. Reading `current` never waits; whoever changes it holds the lock."""

    def __init__(
        self, folder: Path, *, run: str | None = None, report: Report | None = None, approximate: bool = False
    ) -> None:
        """Load the model of ``folder``, and with ``approximate`` its index; raises an `ArtifactError` without one."""
        self.metrics = Metrics()
        self.started_s = time.time()
        self.report: Report = report or dict
        self._folder, self._run = opening.place(folder), run or folder.name
        self._additions, self._encoders = Additions.beside(folder), Encoders()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._refused: opening.Mark | None = None
        self._opened = opening.load(self._folder)
        self._indexed = place_of(self._folder) if approximate else None
        self._index = None if self._indexed is None else ApproximateIndex.load(self._indexed, self._opened.model)
        self._kept: opening.Stamp | None = opening.stamp(self._additions.path)
        self._warmed: Served | None = None
        self.current = self._made(self._additions.apply(self._opened.model), swaps=0)
        self._tell()

    def watch(self, every_s: float = EVERY_S) -> None:
        """Look for a newly trained model every second, in a thread, until `stop`."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watching, args=(every_s,), name="watcher", daemon=True)
            self._watcher.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()

    def place(self, new: Catalog, *, keep: bool) -> Joined:
        """Place new items; with ``keep`` they stay, beside the model and in it.

        Raises `Taken`, and `DataError` where an item is like nothing known.
        """
        if not keep:
            served = self.current
            return Joined(served, served, *self._placed(served, new))
        with self._lock:
            before = self.current
            placed, remarks = self._placed(before, new)
            self._additions.add(new, placed)
            self.current = self._made(placed.model, swaps=before.swaps)
            self._tell()
            return Joined(before, self.current, placed, remarks)

    def _placed(self, served: Served, new: Catalog) -> tuple[Placed, list[str]]:
        known = [item for item in new.items.ids if item in served.recommender.items]
        if known:
            raise Taken(f"the item {known[0]!r} is there already; a new item needs an id of its own.")
        return self._encoders.place(served.recommender.model, new)

    def look(self) -> bool:
        """Take over a new model or new items if there are any; whether it did.

        A folder that is just being replaced is left for the next look. A model that does not load is logged and counted
        once, and the old one goes on answering.
        """
        mark = opening.mark(self._folder)
        if mark is None or mark in (self._opened.mark, self._refused):
            return self._look_at_additions()
        try:
            opened = opening.load(self._folder)
            return self._swap(opened)
        except Exception:
            if opening.mark(self._folder) == mark:
                log.exception("the new model in %r cannot be used; the old one goes on", str(self._folder))
                self._refused = mark
                self.metrics.refused()
            return False

    def _swap(self, opened: opening.Opened) -> bool:
        """Let ``opened`` answer unless it is what answers already."""
        with self._lock:
            if opened.fingerprint == self._opened.fingerprint:
                self._opened = opening.Opened(self._opened.model, opened.fingerprint, opened.mark)
                return False
            before, self._opened = (self._opened, self._index), opened
            try:
                self._index = self._index_of(opened.model)
                made = self._made(self._whole(), swaps=self.current.swaps + 1)
                made.warm_through()
            except BaseException:
                self._opened, self._index = before
                raise
            self.current = self._warmed = made
            self._refused = None
            self.metrics.swapped()
            self._tell()
        log.info("version %s answers from now on", self.current.version)
        return True

    def _look_at_additions(self) -> bool:
        """Take in items that another program added or took out."""
        kept = opening.stamp(self._additions.path)
        if kept == self._kept:
            return False
        with self._lock:
            self._kept = kept
            made = self._made(self._additions.apply(self._opened.model), swaps=self.current.swaps)
            if made.version == self.current.version:
                return False
            self.current = made
            self._tell()
        return True

    def forget(self, item: str) -> Served:
        """Take an added item out again. Raises `UnknownId`, and `Taken` for one that was trained."""
        with self._lock:
            (row,) = self.current.recommender.items.rows([item], what="item")
            if not self.current.is_added(int(row)):
                raise Taken(f"the item {item!r} was trained; only added items can be taken out.")
            self._additions.forget([item])
            self.current = self._made(self._additions.apply(self._opened.model), swaps=self.current.swaps)
            self._tell()
            return self.current

    def _index_of(self, model: ScoreModel) -> ApproximateIndex | None:
        """The index of a newly trained model; without one it is ranked exactly, and said so in the log."""
        if self._indexed is None:
            return None
        try:
            return ApproximateIndex.load(self._indexed, model)
        except (ArtifactError, MisalignedArrays) as error:
            log.warning("the new model is ranked exactly: %s Run `hyperllm index` and start again.", error)
            return None

    def _whole(self) -> ScoreModel:
        """The trained model with the added items, or without them while their file cannot be read."""
        try:
            return self._additions.apply(self._opened.model)
        except ArtifactError:
            log.exception("the new model answers without the added items until their file can be read")
            self._kept = None
            return self._opened.model

    def _made(self, model: ScoreModel, *, swaps: int) -> Served:
        added = len(model.items) - len(self._opened.model.items)
        fingerprint = self._opened.fingerprint
        recommender = Recommender(model, None if self._index is None else self._index.of(model))
        return Served(recommender, self._run, fingerprint, added, swaps).warm()

    def _tell(self) -> None:
        self.metrics.serves(self.current.version, self.current.run, self.current.added)

    def _watching(self, every_s: float) -> None:
        while True:
            self._warm_through()
            if self._stopping.wait(every_s):
                return
            try:
                self.look()
            except Exception:
                log.exception("the added items cannot be read; those that are known stay")

    def _warm_through(self) -> None:
        """Prepare what takes seconds while the model answers already."""
        served = self.current
        if served is self._warmed:
            return
        self._warmed = served
        try:
            served.warm_through()
        except Exception:
            log.exception("something could not be prepared; it fails again when it is asked for")
