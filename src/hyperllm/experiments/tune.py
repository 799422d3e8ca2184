"""The tune stage: a few candidate settings tried on validation, most of them for a few epochs only.

Every candidate trains for ``prune_at`` epochs of its last phase; the best of them go on until ``keep`` have reached
their end, and the best of those becomes the run. Knows what to try and to remember; what was trained once is not
trained again, and a search that was interrupted ends as one that was not. The test part is never read here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from hyperllm import artifacts
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments.train import Planned, TrainedRun, TrainRequest, keep_aside, planned, train
from hyperllm.frameworks.train import Progress
from hyperllm.training.report import SELECTION, Epoch, FitReport

MOST = 12
"""Candidates a search may have: the same budget for every model that is compared."""


@dataclass(frozen=True)
class Trial:
    """One candidate: its settings, and after every epoch of its last phase R@10 + R@20 + N@10 + N@20 on validation."""

    settings: Mapping[str, Any]
    made_from: str
    """Digest of the whole configuration and of the inputs' fingerprints."""
    ended: Literal["pruned", "patience", "epochs", "diverged"]
    elapsed_s: float
    scores: Sequence[float] = field(repr=False)

    @property
    def score(self) -> float:
        """The best so far; 0 before any."""
        return max(self.scores, default=0.0)

    @property
    def best_epoch(self) -> int:
        """The 1-based epoch of the best score, the later of equals; 0 before any."""
        return max(range(len(self.scores)), key=lambda n: (self.scores[n], n), default=-1) + 1

    @property
    def epochs(self) -> int:
        """How many it trained."""
        return len(self.scores)

    @property
    def finished(self) -> bool:
        """Whether it trained to its end."""
        return self.ended in ("patience", "epochs")

    def early(self, epochs: int) -> float:
        """The best score of its first epochs."""
        return max(self.scores[:epochs], default=0.0)

    def document(self) -> dict[str, Any]:
        """What a record keeps."""
        told = {"score": self.score, "best_epoch": self.best_epoch, "epochs": self.epochs}
        return {key: value for key, value in asdict(self).items() if key != "scores"} | told


class _Pruned(Exception):
    """Ends a training on purpose."""


@dataclass
class _Watch:
    """Hears of a training, remembers what its last phase reached, and ends it after ``prune_at`` epochs of that."""

    phase: str
    prune_at: int | None
    inner: Progress | None
    epochs: list[Epoch] = field(default_factory=list)

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Pass it on."""
        if self.inner is not None:
            self.inner.step(phase, epoch, step, steps)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Pass it on, and stop in time."""
        if self.inner is not None:
            self.inner.epoch(phase, epoch, report)
        if phase == self.phase:
            self.epochs = report.epochs
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
    """Try ``candidates``, settings that are put over the request's; all trials, the finished ones first, best first.

    Trials are kept in ``tunes/NAME.jsonl`` of the workspace and train as ``runs/NAME.try-DIGEST``; the best of them is
    then called ``runs/NAME``, and a run of other settings that had this name is kept aside. Raises `ConfigError` on
    none, equal or more than `MOST` candidates, and `TrainingDiverged` where all of them diverged.
    """
    if request.baseline is not None:
        raise ConfigError("a baseline has no epochs to prune; tune is for backbones")
    if not 1 <= len(candidates) <= MOST:
        raise ConfigError(f"a search has 1 to {MOST} candidates; found {len(candidates)}")
    requests = [replace(request, settings={**request.settings, **settings}) for settings in candidates]
    plans = [planned(workspace, r) for r in requests]
    search = _Search(workspace, plans[0].name, progress, on_trial)
    work = [_Work(*parts) for parts in zip(candidates, requests, plans, strict=True)]
    for number, one in enumerate(work):
        if (same := next((w for w in work[:number] if w.digest == one.digest), None)) is not None:
            raise ConfigError(f"two candidates come to the same: {same.settings} and {one.settings}")
    trials = {one.digest: search.trial(one, prune_at=prune_at) for one in work}
    finished: list[_Work] = []
    for one in sorted(work, key=lambda w: -trials[w.digest].early(prune_at)):
        if len(finished) < keep and trials[one.digest].ended != "diverged":
            trials[one.digest] = search.trial(one, prune_at=None)
            finished += [one] * trials[one.digest].finished
    order = sorted(trials.values(), key=lambda t: (not t.finished, t.ended == "diverged", -t.score))
    if not finished:
        raise TrainingDiverged(order[0].epochs + 1, "every candidate")
    search.settle(next(one for one in finished if one.digest == order[0].made_from))
    return order


@dataclass(frozen=True)
class _Work:
    settings: Mapping[str, Any]
    request: TrainRequest
    plan: Planned

    @property
    def digest(self) -> str:
        return artifacts.digest([self.plan.config, self.plan.inputs])

    @property
    def run(self) -> str:
        return f"{self.plan.name}.try-{self.digest[:8]}"

    @property
    def phase(self) -> str:
        """The phase that is judged, the last one."""
        if self.plan.config["framework"] == "base":
            return "base"
        return "phase 1" if self.plan.config["variant"] == "only-semantic" else "phase 2"


@dataclass(frozen=True)
class _Search:
    workspace: Path
    name: str
    progress: Progress | None
    on_trial: Callable[[Trial], None] | None

    def trial(self, work: _Work, *, prune_at: int | None) -> Trial:
        """The trial as remembered, or trained now, to its end without ``prune_at``."""
        known = self.remembered(work.digest)
        if known is not None and (known.ended != "pruned" or (prune_at is not None and known.epochs >= prune_at)):
            return known
        watch = _Watch(work.phase, prune_at, self.progress)
        try:
            found = _finished(work, train(self.workspace, replace(work.request, run=work.run), progress=watch))
        except _Pruned:
            found = _ended(work, "pruned", watch.epochs[:prune_at])
        except TrainingDiverged:
            found = _ended(work, "diverged", watch.epochs)
        self.remember(found)
        if self.on_trial is not None:
            self.on_trial(found)
        return found

    @property
    def book(self) -> Path:
        """Trials on disk, one JSON line each; the last of a digest counts."""
        return self.workspace / "tunes" / f"{self.name}.jsonl"

    def remembered(self, digest: str) -> Trial | None:
        found = None
        for line in self.book.read_text(encoding="utf-8").splitlines() if self.book.exists() else []:
            with suppress(ValueError, TypeError):  # a line that a kill cut short, or of another version
                trial = Trial(**json.loads(line))
                found = trial if trial.made_from == digest else found
        return found

    def remember(self, trial: Trial) -> None:
        self.book.parent.mkdir(parents=True, exist_ok=True)
        with self.book.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(asdict(trial)) + "\n")  # a line that a kill cut short stays alone
            stream.flush()
            os.fsync(stream.fileno())

    def settle(self, winner: _Work) -> None:
        """Give the winner its name, and drop what the other trials left."""
        runs, run = self.workspace / "runs", self.workspace / "runs" / winner.run
        if run.exists():
            keep_aside(runs / self.name, winner.plan.config)
            if (runs / self.name).exists():
                shutil.rmtree(runs / self.name)
            run.rename(runs / self.name)
        for left in [*runs.glob(f"{self.name}.try-*"), *runs.glob(f".{self.name}.try-*.partial")]:
            shutil.rmtree(left)


def _ended(work: _Work, ended: Any, epochs: Sequence[Epoch]) -> Trial:
    scores = [epoch.selection for epoch in epochs]
    return Trial(dict(work.settings), work.digest, ended, round(sum(e.elapsed_s for e in epochs), 1), scores)


def _finished(work: _Work, run: TrainedRun) -> Trial:
    """From what the run holds, since one that is found done tells its watch nothing."""
    facts = run.facts["phases"][work.phase]
    history = pl.read_parquet(run.folder / f"history-{work.phase.replace(' ', '')}.parquet")
    scores = history.select(pl.sum_horizontal(SELECTION)).to_series().to_list()
    return Trial(dict(work.settings), work.digest, facts["ended"], facts["elapsed_s"], scores)
