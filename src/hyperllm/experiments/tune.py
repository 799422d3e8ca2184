"""The tune stage: a few candidate settings tried on validation, most of them for a few epochs only.

Every candidate trains for ``prune_at`` epochs of its last phase; the best of them go on until ``keep`` have reached
their end, and the best of those becomes the run. Knows what to try and to remember; what was trained once is not
trained again, and a search that was interrupted ends as one that was not. The test part is never read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.trial import Here, Pool, Training, Trial, Work, ranked
from hyperllm.frameworks.train import Progress

MOST = 12
"""Candidates a search may have: the same budget for every model that is compared."""


def tune(
    workspace: Path,
    request: TrainRequest,
    candidates: Sequence[Mapping[str, Any]],
    *,
    prune_at: int = 20,
    keep: int = 1,
    progress: Progress | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    pool: Pool | None = None,
) -> list[Trial]:
    """Try ``candidates``, settings that are put over the request's; all trials, the finished ones first, best first.

    Trials are kept in ``tunes/NAME.jsonl`` of the workspace and train as ``runs/NAME.try-DIGEST``; the best of them is
    then called ``runs/NAME``, and a run of other settings that had this name is kept aside. They train in ``pool``;
    None is this process. Raises `ConfigError` on none, equal or more than `MOST` candidates, and `TrainingDiverged`
    where all of them diverged.
    """
    if not 1 <= len(candidates) <= MOST:
        raise ConfigError(f"a search has 1 to {MOST} candidates; found {len(candidates)}")
    work = [Work.of(workspace, request, settings) for settings in candidates]
    for number, one in enumerate(work):
        if (same := next((w for w in work[:number] if w.digest == one.digest), None)) is not None:
            raise ConfigError(f"two candidates come to the same: {same.settings} and {one.settings}")
    race = _Race(workspace, work, on_trial)
    (pool or Here(progress)).run(race.trainings(prune_at, keep), race.ended)
    order = ranked(race.trials[one.digest] for one in work)
    next(one for one in work if one.digest == order[0].made_from).settle(workspace)
    return order


@dataclass
class _Race:
    """What is known of the candidates, by digest, and which of them train."""

    workspace: Path
    work: Sequence[Work]
    on_trial: Callable[[Trial], None] | None
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    _running: list[Training] = field(default_factory=list[Training])

    def trainings(self, prune_at: int, keep: int) -> Iterator[Training | None]:
        """Of all candidates for a while, then of the best to the end; None where the next depends on those under way.

        One goes on as soon as it would even if all those under way finished, so several at once train what one after
        the other would.
        """
        for one in self.work:
            yield from self._missing(one, prune_at)
        while self._running:
            yield None
        going: list[Work] = []
        for one in sorted(self.work, key=lambda w: -self.trials[w.digest].early(prune_at)):
            while (
                (finished := sum(self.trials[w.digest].finished for w in going)) < keep <= finished + len(self._running)
            ):
                yield None
            if finished < keep and self.trials[one.digest].ended != "diverged":
                going.append(one)
                yield from self._missing(one, None)

    def _missing(self, work: Work, prune_at: int | None) -> Iterator[Training]:
        """Its training, to its end without ``prune_at``, unless that is remembered."""
        known = self.remembered(work.digest)
        if known is not None and (known.ended != "pruned" or (prune_at is not None and known.epochs >= prune_at)):
            self.trials[work.digest] = known
            return
        training = partial(work.train, self.workspace, lambda epoch, _: prune_at is not None and epoch >= prune_at)
        self._running.append(training)
        yield training

    def ended(self, training: Training, trial: Trial) -> None:
        """Remember a trial."""
        self._running.remove(training)
        self.trials[trial.made_from] = trial
        self.remember(trial)
        if self.on_trial is not None:
            self.on_trial(trial)

    @property
    def book(self) -> Path:
        """Trials on disk, one JSON line each; the last of a digest counts."""
        return self.workspace / "tunes" / f"{self.work[0].plan.name}.jsonl"

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
