"""One callback for metrics: every listener hears of each step and epoch.

A listener is anything with `step` and `epoch` (`frameworks.train.Progress`); `TensorBoard` is one, an MLflow or other
tracker is ten lines like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperllm.errors import ConfigError
from hyperllm.frameworks.train import Progress
from hyperllm.training.report import Epoch, FitReport


@dataclass(frozen=True)
class Listeners:
    """Passes everything on to each listener, in order."""

    all: Sequence[Progress]

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """A step is done."""
        for listener in self.all:
            listener.step(phase, epoch, step, steps)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """An epoch is done."""
        for listener in self.all:
            listener.epoch(phase, epoch, report)


class TensorBoard:
    """Writes loss terms, validation metrics and seconds of every epoch as TensorBoard scalars."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            raise ConfigError("tracking needs TensorBoard: pip install 'hyperllm[track]'") from None
        self._writer = SummaryWriter(str(folder))

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Steps are not written."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """Write one point a scalar."""
        del report
        values = {f"loss/{k}": v for k, v in epoch.terms.items()}
        values |= {f"valid/{k}": v for k, v in epoch.metrics.items()} | {"elapsed_s": epoch.elapsed_s}
        for name, value in values.items():
            self._writer.add_scalar(f"{phase.replace(' ', '')}/{name}", value, epoch.number)
        self._writer.flush()
