"""The tune stage without a list of candidates: Optuna proposes settings from a space, and validation judges them.

A trial ends early where its best score is below the median of the finished ones at the same epoch. Ended trials are
kept in ``tunes/NAME.db`` by Optuna in SQLite, one transaction each: a kill cannot leave half of one, as it can leave
half a line in a journal. Of a trial that has not ended there is only its training's checkpoint: what is proposed
depends on the seed, the trial's number and the trials before it, so a repeated search proposes the same and goes on
there. The test part is never read here.

Where p trials train at once (`Pool`), trial n is proposed, and pruned, by what trials 0 … n − p came to, and without
what those between have so far; it starts when these have ended. So which of them is faster changes nothing, and with
p = 1 it is the search of one process.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hyperllm import artifacts
from hyperllm.errors import ConfigError, Corrupt
from hyperllm.experiments.spaces import Choice, Range, Space, chosen
from hyperllm.experiments.train import TrainRequest, planned, train
from hyperllm.experiments.trial import Here, Hopeless, Pool, Training, Trial, Work, ranked
from hyperllm.frameworks.train import Progress

try:
    import optuna
    from optuna import distributions, importance, pruners, samplers
    from optuna.exceptions import ExperimentalWarning
    from optuna.trial import FrozenTrial, TrialState, create_trial
    from sqlalchemy import URL
    from sqlalchemy.exc import DatabaseError

    from hyperllm.experiments import charts
except ImportError:
    raise ConfigError("a search needs Optuna and matplotlib: pip install 'hyperllm[paper]'") from None

STARTUP = 4
"""Trials that are drawn at random before TPE learns from them, and that finish before any is pruned."""


@dataclass(frozen=True)
class Found:
    """What a search found: its trials, the finished ones first, best first; the first became the run ``run``.

    ``searched`` names the settings of its space. ``importances`` are their shares of the variance of finished trials'
    scores (fANOVA), largest first; empty where ``remark`` says why. ``figures`` are the files that show all that.
    """

    run: str
    trials: Sequence[Trial]
    searched: Sequence[str]
    importances: Mapping[str, float]
    remark: str
    figures: Sequence[Path]

    def text(self) -> str:
        """The importances, largest first, or why there are none; and where the pictures are."""
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self.importances.items())
        told = f"importance of settings: {shares}" if shares else self.remark
        return f"{told}; pictures: {self.figures[0].parent}"

    def document(self) -> dict[str, Any]:
        """As a JSON object; ``settings`` are the winner's."""
        return {
            "run": self.run,
            "settings": dict(self.trials[0].settings),
            "trials": [trial.document() for trial in self.trials],
            "importances": dict(self.importances),
            "remark": self.remark,
            "figures": [str(path) for path in self.figures],
        }


def search(
    workspace: Path,
    request: TrainRequest,
    space: str | Mapping[str, Any] = "paper",
    *,
    trials: int = 12,
    sampler: str = "tpe",
    prune_at: int = 20,
    progress: Progress | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    pool: Pool | None = None,
) -> Found:
    """Search ``space`` (see `spaces.chosen`) until there are ``trials``, or it has no combination left.

    No trial is pruned before ``prune_at`` epochs of its last phase. The winner becomes ``runs/NAME``, and a run of
    other settings that had this name is kept aside; pictures go to ``tunes/NAME/``. Asked again, it trains only what
    is missing. Trials train in ``pool``; None is this process. Raises `ConfigError` on a wrong space or sampler, and
    `TrainingDiverged` where all trials diverged.
    """
    if trials < 1:
        raise ConfigError(f"a search has at least one trial; found {trials}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    proposer = _Proposer(chosen(request, space, sampler=sampler), sampler, request.seed, prune_at)
    plan = planned(workspace, request)
    request = replace(request, run=plan.name)
    fixed = {name: value for name, value in plan.config.items() if name not in proposer.space}
    ranges = {name: asdict(values) for name, values in proposer.space.items()}
    identity = artifacts.digest([fixed, plan.inputs, ranges, sampler, prune_at])

    pool = pool or Here(progress)

    def work(params: Mapping[str, Any]) -> Work:
        settings = proposer.plain(params)
        made = Work.of(workspace, request, settings)
        return replace(made, settings={name: made.plan.config[name] for name in {**request.settings, **settings}})

    def training(asked: optuna.Trial) -> Training:
        return partial(work(asked.params).train, workspace, _median(asked))

    with _opened(workspace / "tunes" / f"{plan.name}.db", f"{plan.name} {identity[:8]}") as book:
        filling = _Filling(book, proposer, training, pool.at_once, on_trial)
        pool.run(filling.trainings(trials), filling.ended)
        kept = book.trials
        importances = _importances(book)
    tried = [Trial(**each.user_attrs) for each in kept]
    order = ranked(tried)
    winner = work(kept[tried.index(order[0])].params)
    winner.settle(workspace)
    train(workspace, winner.request, progress=progress)  # found done, unless somebody took it away
    figures = _draw(tried, importances, workspace / "tunes" / plan.name)
    remark = "" if importances else "no importances: they need two finished trials with different scores"
    return Found(plan.name, order, list(proposer.space), importances, remark, figures)


@dataclass
class _Filling:
    """Fills the book up to so many trials, in the order of their numbers, while ``at_once`` of them train."""

    book: optuna.Study
    proposer: _Proposer
    training: Callable[[optuna.Trial], Training]
    at_once: int
    on_trial: Callable[[Trial], None] | None
    _asked: dict[int, optuna.Trial] = field(default_factory=dict[int, optuna.Trial])
    _numbers: dict[Training, int] = field(default_factory=dict[Training, int])
    _ended: dict[int, Trial] = field(default_factory=dict[int, Trial])

    def trainings(self, trials: int) -> Iterator[Training | None]:
        """Of those that are missing; None where the next depends on those under way."""
        wanted = min(trials, self.proposer.combinations)
        while (number := len(kept := self.book.trials) + len(self._asked)) < wanted:
            if len(self._asked) == self.at_once:
                yield None
                continue
            told = max(0, number - self.at_once + 1)
            pending = [*kept[told:], *(self._asked[n] for n in sorted(self._asked))]
            asked = self._asked[number] = self.proposer.ask(kept[:told], pending)
            training = self.training(asked)
            self._numbers[training] = number
            yield training

    def ended(self, training: Training, trial: Trial) -> None:
        """Keep a trial; it is written when those before it are."""
        self._ended[self._numbers.pop(training)] = trial
        if self.on_trial is not None:
            self.on_trial(trial)
        while (number := len(self.book.trials)) in self._ended:
            self.book.add_trial(_ended(self._asked.pop(number), self._ended.pop(number)))


@dataclass(frozen=True)
class _Proposer:
    """Turns ended trials into the next one; equal ones into an equal one."""

    space: Space
    sampler: str
    seed: int
    prune_at: int

    @property
    def combinations(self) -> float:
        """How many different trials there can be."""
        return math.prod(math.inf if v.values is None else len(v.values) for v in self.space.values())

    def plain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as they are trained and printed."""
        return {name: self.space[name].plain(value) for name, value in params.items()}

    def ask(self, kept: Sequence[FrozenTrial], pending: Sequence[optuna.Trial | FrozenTrial] = ()) -> optuna.Trial:
        """A trial with settings that none of ``kept`` has, in a study of its own that knows them.

        Of ``pending`` ones the settings alone are known, and taken for bad ones, so that the new trial is elsewhere.
        """
        known = [self.plain(trial.params) for trial in (*kept, *pending)]
        pruner = pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=self.prune_at)
        attempt = 0
        while True:
            sampler = self._sampler(len(known), attempt, others=bool(pending))
            study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
            study.add_trials([*kept, *map(_unended, pending)])
            asked = study.ask({name: _distribution(values) for name, values in self.space.items()})
            if self.plain(asked.params) not in known:
                return asked
            attempt += 1

    def _sampler(self, number: int, attempt: int, *, others: bool) -> samplers.BaseSampler:
        if self.sampler == "grid":
            return samplers.GridSampler({n: list(v.values or ()) for n, v in self.space.items()}, seed=self.seed)
        seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0])
        if self.sampler == "random" or attempt > 0:  # TPE may insist on what it has seen
            return samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=others)


def _distribution(values: Range | Choice) -> distributions.BaseDistribution:
    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.whole:
        low, high, step = int(values.low), int(values.high), int(values.step or 1)
        return distributions.IntDistribution(low, high, log=values.log, step=step)
    return distributions.FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _median(asked: optuna.Trial) -> Hopeless:
    """Tell Optuna each score, and hear what its pruner says."""

    def hopeless(epoch: int, score: float) -> bool:
        asked.report(score, epoch)
        return asked.should_prune()

    return hopeless


def _unended(trial: optuna.Trial | FrozenTrial) -> FrozenTrial:
    """One whose score nobody knows yet."""
    return create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)


def _ended(asked: optuna.Trial, trial: Trial) -> FrozenTrial:
    """As Optuna keeps it; one that diverged has no values, which TPE takes for the worst."""
    return create_trial(
        state=TrialState.COMPLETE if trial.finished else TrialState.PRUNED,
        value=trial.score if trial.finished else None,
        params=asked.params,
        distributions=asked.distributions,
        intermediate_values={} if trial.ended == "diverged" else dict(enumerate(trial.scores, start=1)),
        user_attrs=asdict(trial),
    )


@contextmanager
def _opened(path: Path, study: str) -> Generator[optuna.Study]:
    """The study of this name in a file of trials; raises `Corrupt` where the file is something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.RDBStorage(str(URL.create("sqlite", database=str(path))))
    except DatabaseError as error:
        raise Corrupt(f"{str(path)!r} does not hold the trials of a search: {error.orig}. Delete it.") from None
    try:
        yield optuna.create_study(study_name=study, storage=storage, direction="maximize", load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _importances(study: optuna.Study) -> dict[str, float]:
    """Of finished trials, largest first; none where their scores say nothing."""
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    if len({trial.value for trial in finished}) < 2:
        return {}
    found = importance.get_param_importances(study, evaluator=importance.FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _draw(tried: Sequence[Trial], importances: Mapping[str, float], folder: Path) -> list[Path]:
    for stale in folder.glob("importance.*"):
        stale.unlink()
    return charts.history(tried, folder) + (charts.importance(importances, folder) if importances else [])
