"""The training loop.

Sees a small protocol, not a model class: batches, named loss terms, validation metrics. Does early stopping,
checkpoints, exact resume, divergence and progress; knows no model, no manifold and no data set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm.config import SETTINGS
from hyperllm.errors import TrainingDiverged
from hyperllm.training import checkpoint
from hyperllm.training.report import Epoch, FitReport

Batch = TypeVar("Batch")


class Task(Protocol, Generic[Batch]):
    """What `fit` trains."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def optimizers(self) -> Sequence[Optimizer]: ...

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of a 1-based epoch; the same ones however often it is asked."""
        ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms; their sum is minimised."""
        ...

    def validate(self) -> dict[str, float]:
        """Metrics on the validation part."""
        ...


@dataclass(frozen=True, config=SETTINGS)
class FitConfig:
    """When to stop and when to save."""

    epochs: PositiveInt = 500
    """Most passes over the training pairs."""
    patience: PositiveInt = 50
    """Stop after this many epochs without a better validation score."""
    checkpoint_every_s: NonNegativeFloat = 10.0
    """Seconds between checkpoints, taken at the end of an epoch; 0 saves after each."""


Callback = Callable[[Epoch, FitReport], None]
StepCallback = Callable[[int, int], None]


def fit(
    task: Task[Any],
    config: FitConfig,
    *,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    on_epoch: Sequence[Callback] = (),
    on_step: StepCallback | None = None,
) -> FitReport:
    """Train until patience or epochs run out; leaves the best weights in ``task.module``.

    ``folder`` holds the checkpoint; a checkpoint of the same ``identity`` is continued, and the result is bit for bit
    that of an uninterrupted run on the CPU. Raises `TrainingDiverged` with epoch and term.
    """
    report, best = FitReport(), _weights(task.module)
    if folder is not None:
        found = checkpoint.load(folder, module=task.module, optimizers=task.optimizers, config=identity or {})
        if found is not None:
            report, best = found
    saved_at = time.monotonic()

    def save() -> None:
        if folder is not None:
            checkpoint.save(
                folder, module=task.module, best=best, optimizers=task.optimizers, report=report, config=identity or {}
            )

    while not _finished(report, config):
        number = len(report.epochs) + 1
        report.epochs.append(_epoch(task, number, on_step))
        if report.best is report.epochs[-1]:
            best = _weights(task.module)
        if time.monotonic() - saved_at >= config.checkpoint_every_s:
            save()
            saved_at = time.monotonic()
        for callback in on_epoch:
            callback(report.epochs[-1], report)
    save()
    task.module.load_state_dict(best)
    return report


def _finished(report: FitReport, config: FitConfig) -> bool:
    best = report.best
    done = len(report.epochs)
    if best is not None and done - best.number >= config.patience:
        report.ended = "patience"
    elif done >= config.epochs:
        report.ended = "epochs"
    return bool(report.ended)


def _epoch(task: Task[Any], number: int, on_step: StepCallback | None) -> Epoch:
    began = time.monotonic()
    task.module.train()
    sums: dict[str, Tensor] = {}
    steps = 0
    for steps, batch in enumerate(task.batches(number), start=1):
        for optimizer in task.optimizers:
            optimizer.zero_grad(set_to_none=True)
        terms = task.losses(batch)
        torch.stack(list(terms.values())).sum().backward()
        for optimizer in task.optimizers:
            optimizer.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach()
        if on_step is not None:
            on_step(number, steps)
    means = {name: float(value) / max(1, steps) for name, value in sums.items()}
    for name, value in means.items():
        if not _finite(value):
            raise TrainingDiverged(number, name)
    task.module.eval()
    metrics = task.validate()
    return Epoch(number, means, metrics, time.monotonic() - began)


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
