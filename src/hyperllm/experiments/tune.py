"""The tune stage: a few candidate settings tried on validation, most of them for a few epochs only.

Every candidate trains for ``prune_at`` epochs of its last phase; the ``keep`` best go on to their end, and the best of
those becomes the run. Knows what to try and to remember; a trial that was finished once is not trained again. The test
part is never read here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hyperllm import artifacts
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments.train import TrainRequest, planned, train
from hyperllm.frameworks.train import Progress
from hyperllm.training.report import Epoch, FitReport

MOST = 12
"""Candidates a search may have: the same budget for every model that is compared."""


@dataclass(frozen=True)
class Trial:
    """One candidate: its settings, validation ``score`` (R@10 + R@20 + N@10 + N@20) at ``best_epoch`` of ``epochs``."""

    settings: Mapping[str, Any]
    made_from: str
    """Digest of the whole configuration and of the inputs' fingerprints."""
    score: float
    best_epoch: int
    epochs: int
    ended: Literal["pruned", "patience", "epochs", "diverged"]
    elapsed_s: float


class _Pruned(Exception):
    """Ends a training on purpose."""


@dataclass
class _Watch:
    """Hears of a training, remembers where its last phase stands, and ends it after ``prune_at`` epochs of that."""

    prune_at: int | None
    inner: Progress | None
    report: FitReport | None = None

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Pass it on."""
        if self.inner is not None:
            self.inner.step(phase, epoch, step, steps)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Pass it on, and stop in time."""
        if self.inner is not None:
            self.inner.epoch(phase, epoch, report)
        if phase != "phase 1":
            self.report = report
            if self.prune_at is not None and epoch.number >= self.prune_at:
                raise _Pruned


def tune(
    workspace: Path,
    request: TrainRequest,
    candidates: Sequence[Mapping[str, Any]],
    *,
    prune_at: int = 20,
    keep: int = 1,
    progress: Progress | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Try ``candidates``, settings that are put over the request's; returns all trials, the best finished one first.

    Trials are kept in ``tunes/NAME.jsonl`` of the workspace and train as ``runs/NAME.try-DIGEST``; the best of them is
    then called ``runs/NAME``, if no run has that name. Raises `ConfigError` on no or more than `MOST` candidates.
    """
    if not 1 <= len(candidates) <= MOST:
        raise ConfigError(f"a search has 1 to {MOST} candidates; found {len(candidates)}")
    requests = [replace(request, settings={**request.settings, **settings}) for settings in candidates]
    plans = [planned(workspace, r) for r in requests]
    book = _Book(workspace / "tunes" / f"{plans[0].name}.jsonl")
    search = _Search(workspace, book, progress, on_trial)
    digests = [artifacts.digest([plan.config, plan.inputs]) for plan in plans]
    names = [f"{plan.name}.try-{digest[:8]}" for plan, digest in zip(plans, digests, strict=True)]
    work = [
        (settings, replace(r, run=name), digest)
        for settings, r, name, digest in zip(candidates, requests, names, digests, strict=True)
    ]
    first = [search.trial(*one, prune_at=prune_at) for one in work]
    order = sorted(range(len(work)), key=lambda n: -first[n].score)
    kept = {n: search.trial(*work[n], prune_at=None) for n in order[:keep] if first[n].ended != "diverged"}
    best = sorted(kept, key=lambda n: -kept[n].score)
    runs = workspace / "runs"
    if best and (runs / names[best[0]]).exists() and not (runs / plans[0].name).exists():
        (runs / names[best[0]]).rename(runs / plans[0].name)
    for name in names:
        shutil.rmtree(artifacts.partial(runs / name), ignore_errors=True)
    return [kept[n] for n in best] + [first[n] for n in order if n not in kept]


@dataclass(frozen=True)
class _Search:
    workspace: Path
    book: _Book
    progress: Progress | None
    on_trial: Callable[[Trial], None] | None

    def trial(
        self, settings: Mapping[str, Any], request: TrainRequest, made_from: str, *, prune_at: int | None
    ) -> Trial:
        """The trial as remembered, or trained now, to its end without ``prune_at``."""
        known = self.book.find(made_from, finished=prune_at is None)
        if known is not None:
            return known
        watch = _Watch(prune_at, self.progress)
        ended: Any = "pruned"
        try:
            train(self.workspace, request, progress=watch)
            ended = watch.report.ended if watch.report is not None else "epochs"
        except _Pruned:
            pass
        except TrainingDiverged:
            ended = "diverged"
        found = _trial(settings, made_from, watch.report, ended)
        self.book.add(found)
        if self.on_trial is not None:
            self.on_trial(found)
        return found


def _trial(settings: Mapping[str, Any], made_from: str, report: FitReport | None, ended: Any) -> Trial:
    best = None if report is None else report.best
    if report is None or best is None:
        return Trial(dict(settings), made_from, 0.0, 0, 0, ended, 0.0)
    return Trial(
        dict(settings), made_from, best.selection, best.number, len(report.epochs), ended, round(report.elapsed_s, 1)
    )


@dataclass(frozen=True)
class _Book:
    """Trials on disk, one JSON line each."""

    path: Path

    def find(self, made_from: str, *, finished: bool) -> Trial | None:
        """The last trial of this digest; a pruned one only where that will do."""
        if not self.path.exists():
            return None
        found = None
        for line in self.path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError):  # a line that a kill cut short, or of another version
                trial = Trial(**json.loads(line))
                if trial.made_from == made_from and not (finished and trial.ended == "pruned"):
                    found = trial
        return found

    def add(self, trial: Trial) -> None:
        """Append; on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(asdict(trial)) + "\n")  # a line that a kill cut short stays alone
            stream.flush()
            os.fsync(stream.fileno())
