"""One callback for metrics: listeners all hear the same, and TensorBoard files hold what the report holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hyperllm.errors import ConfigError
from hyperllm.experiments.tracking import Listeners, TensorBoard
from hyperllm.frameworks import BaseConfig, train_base
from hyperllm.testing.worlds import checkerboard_world
from hyperllm.training.loop import FitConfig
from hyperllm.training.report import Epoch, FitReport


class Ear:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int, int]] = []
        self.epochs: list[tuple[str, int]] = []

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        self.steps.append((phase, epoch, step, steps))

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        assert report.epochs[-1] is epoch
        self.epochs.append((phase, epoch.number))


def test_every_listener_hears_every_step_and_epoch() -> None:
    ears = [Ear(), Ear()]
    config = BaseConfig(dim=2, batch_size=100)
    train_base(checkerboard_world(), config=config, fit_config=FitConfig(epochs=2), progress=Listeners(ears))
    first, second = ears
    assert first.epochs == second.epochs == [("base", 1), ("base", 2)]
    steps = first.steps[0][3]
    assert first.steps == second.steps == [("base", e, s, steps) for e in (1, 2) for s in range(1, steps + 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_files_hold_what_the_report_holds(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trained = train_base(
        checkerboard_world(),
        config=BaseConfig(dim=2),
        fit_config=FitConfig(epochs=3),
        progress=Listeners([TensorBoard(tmp_path)]),
    )
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    points = events.Scalars("base/valid/recall@20")
    epochs = trained.reports["base"].epochs
    assert [p.step for p in points] == [1, 2, 3]
    assert [p.value for p in points] == pytest.approx([e.metrics["recall@20"] for e in epochs])
    assert [p.value for p in events.Scalars("base/loss/rank")] == pytest.approx([e.terms["rank"] for e in epochs])


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(ConfigError, match=r"hyperllm\[track\]"):
        TensorBoard(tmp_path)
