"""The training loop.

Sees a small protocol, not a model class: batches, named loss terms, validation metrics. Does early stopping,
checkpoints, exact resume, divergence and progress; knows no model, no manifold and no data set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm.config import SETTINGS
from hyperllm.errors import TrainingDiverged
from hyperllm.training import checkpoint
from hyperllm.training.ahead import ahead
from hyperllm.training.average import WeightAverage
from hyperllm.training.report import Epoch, FitReport

Batch = TypeVar("Batch")


class Task(Protocol, Generic[Batch]):
    """What `fit` trains."""

    @property
    def module(self) -> nn.Module:
        """What is checkpointed."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """They cover every parameter that learns, once."""
        ...

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
    average: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """Validate and keep a moving average of the weights, with this much of the old a step; 0 for no average."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """What training's dense matrix products read of their inputs, where the processor has faster units for less;
    Eq. 16 takes its distances from such products; evaluation stays float32."""
    checkpoint_every_s: NonNegativeFloat = 10.0
    """Seconds between checkpoints, taken at the end of an epoch; 0 saves after each."""


_PRECISIONS = {"float32": "highest", "tf32": "high", "bf16": "medium"}


@contextmanager
def multiplying(precision: str) -> Generator[None]:
    """Inside, dense products of float32 matrices may use this precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(_PRECISIONS[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
    store: checkpoint.Store | None = None,
) -> FitReport:
    """Train until patience or epochs run out; leaves the best weights in ``task.module``.

    ``folder`` holds the checkpoint; a checkpoint of the same ``identity`` is continued, and the result is bit for bit
    that of an uninterrupted run on the CPU. ``store`` is how it is kept. Raises `TrainingDiverged` with epoch and term.
    """
    known = {**(identity or {}), "average": config.average, "precision": config.precision}
    state = _State(task, config, folder, known, store or checkpoint.Alone())
    state.restore()
    saved_at = time.monotonic()
    while not _finished(state.report, config):
        state.advance(on_step)
        if state.store.due(time.monotonic() - saved_at, config.checkpoint_every_s):
            state.save()
            saved_at = time.monotonic()
        for callback in on_epoch:
            callback(state.report.epochs[-1], state.report)
    state.save()
    task.module.load_state_dict(state.best)
    return state.report


class _State:
    """All that an interrupted fit has to remember."""

    def __init__(
        self,
        task: Task[Any],
        config: FitConfig,
        folder: Path | None,
        identity: Mapping[str, Any],
        store: checkpoint.Store,
    ) -> None:
        self.task, self.folder, self.identity, self.limits, self.store = task, folder, identity, config, store
        self.average = WeightAverage(task.module, decay=config.average)
        self.report, self.best = FitReport(), _weights(task.module)

    def restore(self) -> None:
        if self.folder is None:
            return
        behind = self.store.history(self.folder, config=self.identity)
        if behind is None or _overran(behind, self.limits):
            return
        found = self.store.load(
            self.folder, module=self.task.module, optimizers=self.task.optimizers, config=self.identity
        )
        if found is not None:
            self.report, self.best = found.report, found.best
            self.average.restore(found.average)

    def save(self) -> None:
        if self.folder is None:
            return
        self.store.save(
            self.folder,
            checkpoint.Checkpoint(self.report, self.best, self.average.state()),
            module=self.task.module,
            optimizers=self.task.optimizers,
            config=self.identity,
        )

    def advance(self, on_step: StepCallback | None) -> None:
        """One epoch."""
        began = time.monotonic()
        number = len(self.report.epochs) + 1
        with multiplying(self.limits.precision):
            terms = _pass(self.task, number, self.average, on_step)
        with self.average.applied():
            self.task.module.eval()
            with multiplying("float32"):
                metrics = self.task.validate()
            self.report.epochs.append(Epoch(number, terms, metrics, time.monotonic() - began))
            if self.report.best is self.report.epochs[-1]:
                self.best = _weights(self.task.module)


def _finished(report: FitReport, config: FitConfig) -> bool:
    best = report.best
    done = len(report.epochs)
    if best is not None and done - report.reached(best.selection) >= config.patience:
        report.ended = "patience"
    elif done >= config.epochs:
        report.ended = "epochs"
    return bool(report.ended)


def _overran(report: FitReport, config: FitConfig) -> bool:
    """Whether these limits would have ended the fit before its last epoch: it cannot be continued under them."""
    return any(_finished(FitReport(report.epochs[:n]), config) for n in range(1, len(report.epochs)))


def _pass(task: Task[Any], number: int, average: WeightAverage, on_step: StepCallback | None) -> dict[str, float]:
    """Train on every batch of an epoch; the mean of each loss term a step."""
    task.module.train()
    sums: dict[str, Tensor] = {}
    steps = 0
    with closing(ahead(task.batches(number))) as batches:
        for steps, batch in enumerate(batches, start=1):
            for optimizer in task.optimizers:
                optimizer.zero_grad(set_to_none=True)
            terms = task.losses(batch)
            torch.stack(list(terms.values())).sum().backward()  # Eq. 15
            for optimizer in task.optimizers:
                optimizer.step()
            average.update()
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach()
            if on_step is not None:
                on_step(number, steps)
    means = {name: float(value) / max(1, steps) for name, value in sums.items()}
    for name, value in means.items():
        if not math.isfinite(value):
            raise TrainingDiverged(number, name)
    return means


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
