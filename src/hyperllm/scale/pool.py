"""Trials of a search on Ray Tune, which places them and starts those again whose process died.

Tune asks which trial comes next and tells how one ended; the answers are the search's own, made from what its record
holds. Tune is given functions, not settings, and what it writes down itself is dropped unread. Knows functions and what
they need. Does not know what is searched.
"""

from __future__ import annotations

import logging
import signal
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError, HyperLLMError
from hyperllm.experiments.trial import Training, Trial
from hyperllm.scale.cluster import Cluster, scratch
from hyperllm.training.report import Epoch, FitReport

AT_ONCE = 4
"""Trials that train at the same time where nobody says how many: more of them learn less from each other."""
RESTARTS = 8
"""How often a trial is started again whose process died; each time it goes on from its last checkpoint."""


@dataclass(frozen=True)
class RayPool:
    """Trains ``at_once`` trials at the same time, each on its share of the cluster; see `experiments.trial.Pool`.

    Every machine must see ``workspace``, which holds a scratch folder of Tune's for the time of a search.
    """

    workspace: Path
    at_once: int
    cpus: int
    gpus: int = 0

    @classmethod
    def of(cls, workspace: Path, cluster: Cluster, at_once: int | None = None, *, gpus: bool = True) -> RayPool:
        """At most one a processor, or one a GPU where the cluster has some and they are wanted."""
        each = 1 if gpus and cluster.gpus else 0
        chosen = max(1, min(at_once or AT_ONCE, cluster.gpus if each else cluster.cpus))
        return cls(workspace, chosen, cluster.share(chosen, gpus=each), each)

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        """Train all of them.

        Raises what a trial raised, `HyperLLMError` where its process died too often, and `ConfigError` on a Ray that
        was joined from outside (``ray://``), where Tune runs away from the record.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray import tune
            from ray.util.client import ray as outside

            if outside.is_connected():
                raise ConfigError("trials train on Ray Tune, which ray:// cannot carry; on the cluster, say --ray auto")
            logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what it has to say is raised too
            if (first := next(trainings, None)) is None:
                return  # and Tune, which would look for its own record, is not asked
            asked = _searcher(chain([first], trainings), ended)
            with scratch(self.workspace) as folder, _own_handlers():
                tune.run(
                    _work,
                    search_alg=asked,
                    num_samples=-1,
                    max_concurrent_trials=self.at_once,
                    resources_per_trial={"cpu": self.cpus, "gpu": self.gpus},
                    reuse_actors=True,
                    max_failures=RESTARTS,
                    storage_path=str(folder),
                    verbose=0,
                )
        if not asked.over:
            raise KeyboardInterrupt  # which Tune took for itself


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """In a worker: train; what no restart can heal is returned, not raised."""
    try:
        return {"trial": config["training"](progress=_Reported())}
    except HyperLLMError as error:
        return {"error": error}
    except Exception:
        return {"error": RuntimeError(f"a trial failed\n{traceback.format_exc()}")}


class _Reported:
    """Tells Tune each epoch's score, and so hears in between that it shall end; a report takes milliseconds."""

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Nothing."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Report it."""
        from ray import tune

        tune.report({"phase": phase, "epoch": epoch.number, "score": epoch.selection})


def _searcher(trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> Any:
    """What Tune asks.

    All answers are made while it asks for a trial, since there an error ends Tune and reaches its caller as it is. It
    asks whenever a place is free, and until it is told that this was the last one.
    """
    from ray.tune.search import Searcher

    class Asked(Searcher):
        def __init__(self) -> None:
            super().__init__()
            self.over = False
            self._running: dict[str, Training] = {}
            self._ended: list[tuple[Training, dict[str, Any] | None]] = []

        def suggest(self, trial_id: str) -> Any:
            while self._ended:
                training, result = self._ended.pop(0)
                ended(training, _trial(result))
            training = next(trainings, None)
            if training is None:
                self.over = not self._running
                return self.FINISHED if self.over else None
            self._running[trial_id] = training
            return {"training": training}

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            self._ended.append((self._running.pop(trial_id), None if error else result))

    return Asked()


def _trial(result: dict[str, Any] | None) -> Trial:
    """What a worker returned, or an error."""
    if result is None:
        raise HyperLLMError(
            f"the process of a trial died {RESTARTS + 1} times, perhaps of too little memory; what it has trained is "
            "kept, and the same command goes on there"
        )
    if "error" in result:
        raise result["error"]
    return result["trial"]


@contextmanager
def _own_handlers() -> Generator[None]:
    """Tune's handlers of signals stay in place when it ends; put back what was there."""
    before = {kind: signal.getsignal(kind) for kind in signal.valid_signals()}
    try:
        yield
    finally:
        for kind, handler in before.items():
            if signal.getsignal(kind) is not handler:
                signal.signal(kind, handler)
