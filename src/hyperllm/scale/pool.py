"""Trials of a search on Ray Tune, which places them and starts those again whose process died.

Tune asks which trial comes next and tells how one ended; the answers are the search's own, made from what its record
holds. Tune is given functions, not settings, and what it writes down itself is dropped unread. Knows functions and what
they need. Does not know what is searched.
"""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperllm.errors import HyperLLMError
from hyperllm.experiments.trial import Training, Trial
from hyperllm.scale.cluster import Cluster
from hyperllm.training.report import Epoch, FitReport

AT_ONCE = 4
"""Trials that train at the same time where nobody says how many: more of them learn less from each other."""
RESTARTS = 8
"""How often a trial is started again whose process died; each time it goes on from its last checkpoint."""

PULSE_S = 3.0


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
        slots = cluster.gpus if gpus and cluster.gpus else cluster.cpus
        chosen = max(1, min(at_once or AT_ONCE, slots))
        return cls(workspace, chosen, max(1, cluster.cpus // chosen), 1 if gpus and cluster.gpus else 0)

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        """Train all of them; raises what a trial raised, and `HyperLLMError` where its process died too often."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray import tune

            logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what it has to say is raised too
            asked = _searcher(trainings, ended)
            with _scratch(self.workspace) as folder, _own_handler():
                tune.run(
                    _work,
                    search_alg=asked,
                    num_samples=-1,
                    resources_per_trial={"cpu": self.cpus, "gpu": self.gpus},
                    reuse_actors=True,
                    max_failures=RESTARTS,
                    storage_path=str(folder),
                    verbose=0,
                    _remote=False,  # also behind ray://: the record is here
                )
        if not asked.over:
            raise KeyboardInterrupt  # which Tune took for itself


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """In a worker: train; what no restart can heal is returned, not raised."""
    try:
        return {"trial": config["training"](progress=_Pulse())}
    except HyperLLMError as error:
        return {"error": error}
    except Exception:
        return {"error": RuntimeError(f"a trial failed\n{traceback.format_exc()}")}


@dataclass
class _Pulse:
    """Lets Tune in between epochs: a worker that trains hears nothing, not even that it shall end."""

    last: float = field(default_factory=time.monotonic)

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Nothing."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Report one every few seconds; Tune answers within tenths of a second, for which the training waits."""
        from ray import tune

        if time.monotonic() - self.last > PULSE_S:
            tune.report({"epoch": epoch.number})
            self.last = time.monotonic()


def _searcher(trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> Any:
    """What Tune asks.

    All answers are made while it asks for a trial, since there an error ends Tune and reaches its caller as it is. It
    does so all the time: the end is told when nothing runs any more.
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
def _scratch(workspace: Path) -> Generator[Path]:
    """A folder that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix=".ray-", dir=workspace.resolve())
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_handler() -> Generator[None]:
    """Tune's handler of Ctrl-C stays in place when it ends; put back what was there."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
