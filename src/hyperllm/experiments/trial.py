"""One training of a search: what it is made from, where it runs, when it is given up, and what is remembered of it.

Does not know how settings are chosen or where trials are kept. The test part is never read here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl

from hyperllm import artifacts
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments.train import Planned, TrainedRun, TrainRequest, keep_aside, planned, train
from hyperllm.frameworks.train import Progress
from hyperllm.training.report import CLOSED_FORM, SELECTION, Epoch, FitReport

Hopeless = Callable[[int, float], bool]
"""Told each (1-based epoch, score) of the last phase once, in order: whether the training shall end there."""


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


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Finished ones first, diverged ones last, better before worse; raises `TrainingDiverged` where none finished."""
    order = sorted(trials, key=lambda t: (not t.finished, t.ended == "diverged", -t.score))
    if not order[0].finished:
        raise TrainingDiverged(order[0].epochs + 1, "every candidate")
    return order


@dataclass(frozen=True)
class Work:
    """A candidate's training: its own settings, the request they are part of, and what that comes to."""

    settings: Mapping[str, Any]
    request: TrainRequest
    plan: Planned

    @classmethod
    def of(cls, workspace: Path, request: TrainRequest, settings: Mapping[str, Any]) -> Work:
        """Put ``settings`` over the request's; raises `ConfigError` on a wrong one."""
        if request.baseline is not None:
            raise ConfigError("a baseline has no epochs to prune; tune is for backbones")
        own = replace(request, settings={**request.settings, **settings})
        plan = planned(workspace, own)
        if own.phase1 is not None and plan.config["variant"] == "only-semantic":
            raise ConfigError("--variant only-semantic trains nothing beside --phase1, so there is nothing to tune")
        return cls(dict(settings), own, plan)

    @property
    def digest(self) -> str:
        """Of the whole configuration and of the inputs' fingerprints: equal for equal trainings."""
        return artifacts.digest([self.plan.config, self.plan.inputs])

    @property
    def run(self) -> str:
        """The name of its run while the search lasts."""
        return f"{self.plan.name}.try-{self.digest[:8]}"

    def train(self, workspace: Path, hopeless: Hopeless, *, progress: Progress | None = None) -> Trial:
        """Train until the end or until it is hopeless; an interrupted training is continued, a finished one found."""
        watch = _Watch(self.judged, hopeless, progress)
        try:
            run = train(workspace, replace(self.request, run=self.run), progress=watch)
            return self._finished(run, watch)
        except _Hopeless:
            return self._ended("pruned", watch.epochs)
        except TrainingDiverged:
            return self._ended("diverged", watch.epochs)

    def judged(self, phase: str) -> bool:
        """Whether its epochs can be found hopeless: it is the last phase that trains."""
        if phase == "phase 1":
            return self.plan.config["variant"] == "only-semantic"
        return phase != CLOSED_FORM

    def _ended(self, ended: Any, epochs: Sequence[Epoch]) -> Trial:
        scores = [epoch.selection for epoch in epochs]
        return Trial(self.settings, self.digest, ended, round(sum(e.elapsed_s for e in epochs), 1), scores)

    def _finished(self, run: TrainedRun, watch: _Watch) -> Trial:
        """From what the run holds, since one that is found done, or ends as it is continued, tells its watch little."""
        phase = next(name for name in run.facts["phases"] if self.judged(name))
        facts = run.facts["phases"][phase]
        history = pl.read_parquet(run.folder / f"history-{phase.replace(' ', '')}.parquet")
        scores = history.select(pl.sum_horizontal(SELECTION)).to_series().to_list()
        for number in range(len(watch.epochs) + 1, len(scores) + 1):
            if watch.hopeless(number, scores[number - 1]):
                return Trial(self.settings, self.digest, "pruned", facts["elapsed_s"], scores[:number])
        if (fused := run.facts["phases"].get(CLOSED_FORM)) is not None:  # what is served, and so what counts
            scores.append(sum(fused["valid"][name] for name in SELECTION))
        return Trial(self.settings, self.digest, facts["ended"], facts["elapsed_s"], scores)

    def settle(self, workspace: Path) -> None:
        """Give this run the name that the search was for, and drop what the other trials left."""
        name, runs = self.plan.name, workspace / "runs"
        if (runs / self.run).exists():
            keep_aside(runs / name, self.plan.config)
            if (runs / name).exists():
                shutil.rmtree(runs / name)
            (runs / self.run).rename(runs / name)
        for left in [*runs.glob(f"{name}.try-*"), *runs.glob(f".{name}.try-*.partial")]:
            shutil.rmtree(left)


Training = Callable[..., Trial]
"""Trains one trial where it is called; ``progress``, where it is given, hears of that."""


class Pool(Protocol):
    """Where the trials of a search train: ``at_once`` of them at the same time."""

    @property
    def at_once(self) -> int:
        """How many train at the same time, at most."""
        ...

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        """Train all of them, and tell each end before the next is asked for.

        None means that the next one depends on those that train now.
        """
        ...


@dataclass(frozen=True)
class Here:
    """Trials train in this process, one after the other."""

    progress: Progress | None = None

    @property
    def at_once(self) -> int:
        """One."""
        return 1

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        """Train one, tell its end, go on."""
        for training in trainings:
            assert training is not None, "none trains that it could depend on"
            ended(training, training(progress=self.progress))


class _Hopeless(Exception):
    """Ends a training on purpose."""


@dataclass
class _Watch:
    """Hears of a training, remembers the epochs of its last phase, and ends it where it is hopeless."""

    judged: Callable[[str], bool]
    hopeless: Hopeless
    inner: Progress | None
    epochs: list[Epoch] = field(default_factory=list)

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Pass it on."""
        if self.inner is not None:
            self.inner.step(phase, epoch, step, steps)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Pass it on, and stop in time; after a continued training's first epoch, those before are heard too."""
        if self.inner is not None:
            self.inner.epoch(phase, epoch, report)
        if self.judged(phase):
            for heard in report.epochs[len(self.epochs) :]:
                self.epochs.append(heard)
                if self.hopeless(heard.number, heard.selection):
                    raise _Hopeless
