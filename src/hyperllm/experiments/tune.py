"""The tune stage: a few candidate settings tried on validation, most of them for a few epochs only.

Every candidate trains for ``prune_at`` epochs of its last phase; the best of them go on until ``keep`` have reached
their end, and the best of those becomes the run. Knows what to try and to remember; what was trained once is not
trained again, and a search that was interrupted ends as one that was not. The test part is never read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.trial import Trial, Work, ranked
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
) -> list[Trial]:
    """Try ``candidates``, settings that are put over the request's; all trials, the finished ones first, best first.

    Trials are kept in ``tunes/NAME.jsonl`` of the workspace and train as ``runs/NAME.try-DIGEST``; the best of them is
    then called ``runs/NAME``, and a run of other settings that had this name is kept aside. Raises `ConfigError` on
    none, equal or more than `MOST` candidates, and `TrainingDiverged` where all of them diverged.
    """
    if not 1 <= len(candidates) <= MOST:
        raise ConfigError(f"a search has 1 to {MOST} candidates; found {len(candidates)}")
    work = [Work.of(workspace, request, settings) for settings in candidates]
    search = _Search(workspace, work[0].plan.name, progress, on_trial)
    for number, one in enumerate(work):
        if (same := next((w for w in work[:number] if w.digest == one.digest), None)) is not None:
            raise ConfigError(f"two candidates come to the same: {same.settings} and {one.settings}")
    trials = {one.digest: search.trial(one, prune_at=prune_at) for one in work}
    finished = 0
    for one in sorted(work, key=lambda w: -trials[w.digest].early(prune_at)):
        if finished < keep and trials[one.digest].ended != "diverged":
            trials[one.digest] = search.trial(one, prune_at=None)
            finished += trials[one.digest].finished
    order = ranked(trials.values())
    next(one for one in work if one.digest == order[0].made_from).settle(workspace)
    return order


@dataclass(frozen=True)
class _Search:
    workspace: Path
    name: str
    progress: Progress | None
    on_trial: Callable[[Trial], None] | None

    def trial(self, work: Work, *, prune_at: int | None) -> Trial:
        """The trial as remembered, or trained now, to its end without ``prune_at``."""
        known = self.remembered(work.digest)
        if known is not None and (known.ended != "pruned" or (prune_at is not None and known.epochs >= prune_at)):
            return known
        found = work.train(
            self.workspace, lambda epoch, _: prune_at is not None and epoch >= prune_at, progress=self.progress
        )
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
