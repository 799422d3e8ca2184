"""Training on Ray Train: it starts the processes, and starts them again when one is lost.

Knows how a request goes to workers, how they are watched, and what comes back. Does not know how they train
(`scale.launch`). What is resumed is the run's own checkpoint in the workspace, which every machine must therefore see.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError, HyperLLMError
from hyperllm.experiments.train import TrainedRun, TrainRequest, planned
from hyperllm.frameworks.train import Progress
from hyperllm.scale import launch
from hyperllm.scale.cluster import joined, scratch
from hyperllm.scale.launch import Division
from hyperllm.training.report import Epoch, FitReport

RESTARTS = 8
"""How often lost workers are started again; each time all of them go on from the last checkpoint."""
_LOOK_S = 0.5


def train(
    workspace: Path,
    request: TrainRequest,
    *,
    workers: int | None = None,
    division: Division | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> TrainedRun:
    """`scale.launch.train` in workers of a Ray at ``address``, or of one that is started here.

    Without a number of ``workers`` there is one a processor or GPU.
    """
    how = division or Division()
    how.check(request, workers or how.replicas)
    planned(workspace, request)  # what the workspace lacks is said before anything is started
    with joined(address, cpus=workers) as cluster:
        on_gpus = bool(cluster.gpus) and request.device != "cpu"
        count = workers or (cluster.gpus if on_gpus else cluster.cpus)
        how.check(request, count)
        with _watched(progress) as board:
            told = {"workspace": workspace.resolve(), "request": request, "division": how, "board": board}
            ended = _run(told, count, on_gpus=on_gpus)
    if isinstance(ended, _Failed):
        raise (ConfigError if ended.asked_wrongly else HyperLLMError)(ended.text)
    return ended


@dataclass(frozen=True)
class _Failed:
    """What no restart can heal."""

    text: str
    asked_wrongly: bool


def _run(told: dict[str, Any], count: int, *, on_gpus: bool) -> TrainedRun | _Failed:
    """What the first worker returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    with scratch(told["workspace"]) as folder:
        trainer = TorchTrainer(
            _work,
            train_loop_config=told,
            torch_config=TorchConfig(backend="nccl" if on_gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=count, use_gpu=on_gpus),
            run_config=RunConfig(storage_path=str(folder), failure_config=FailureConfig(max_failures=RESTARTS)),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ended: Any = trainer.fit().return_value
            return ended


def _work(told: dict[str, Any]) -> TrainedRun | _Failed:
    """In a worker: train; what no restart can heal is returned, not raised."""
    import torch

    torch.set_num_threads(1)
    progress = None if told["board"] is None else _Noted(told["board"])
    try:
        return launch.train(told["workspace"], told["request"], division=told["division"], progress=progress)
    except HyperLLMError as error:
        return _Failed(str(error), isinstance(error, ConfigError))


class _Board:
    """An actor on which the first worker notes how far it is; steps that nobody looked at are overwritten."""

    def __init__(self) -> None:
        self._epochs: list[tuple[Any, ...]] = []
        self._step: tuple[Any, ...] | None = None

    def epoch(self, *note: Any) -> None:
        """An epoch is done."""
        self._epochs.append(note)

    def step(self, *note: Any) -> None:
        """A step is done."""
        self._step = note

    def taken(self) -> tuple[list[tuple[Any, ...]], tuple[Any, ...] | None]:
        """What is new."""
        found = self._epochs, self._step
        self._epochs, self._step = [], None
        return found


@dataclass(frozen=True)
class _Noted:
    """A `Progress` that writes on the board."""

    board: Any

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        self.board.step.remote(phase, epoch, step, steps)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        self.board.epoch.remote(phase, epoch, report)


@contextmanager
def _watched(progress: Progress | None) -> Generator[Any]:
    """A board whose notes ``progress`` hears of; None where nobody listens."""
    if progress is None:
        yield None
        return
    import ray

    actor: Any = ray.remote(_Board)
    board, over = actor.options(num_cpus=0).remote(), threading.Event()

    def look() -> None:
        epochs, step = ray.get(board.taken.remote())
        for note in epochs:
            progress.epoch(*note)
        if step is not None:
            progress.step(*step)

    def watch() -> None:
        while not over.wait(_LOOK_S):
            look()
        look()

    watcher = threading.Thread(target=watch, name="watching", daemon=True)
    watcher.start()
    try:
        yield board
    finally:
        over.set()
        watcher.join()
