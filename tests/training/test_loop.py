"""Stopping, choosing, diverging and resuming, on a task one can see through."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.toy import Toy
from torch import Tensor

from hyperllm.errors import Corrupt, TrainingDiverged
from hyperllm.training.loop import FitConfig, fit
from hyperllm.training.report import Epoch, FitReport


def limits(epochs: int = 10, patience: int = 50, average: float = 0.9) -> FitConfig:
    return FitConfig(epochs=epochs, patience=patience, average=average, checkpoint_every_s=0)


def outcome(task: Toy, report: FitReport) -> tuple[dict[str, Tensor], list[Any]]:
    weights = {name: value.clone() for name, value in task.module.state_dict().items()}
    return weights, [(e.number, e.terms, e.metrics) for e in report.epochs]


def same(one: tuple[dict[str, Tensor], list[Any]], other: tuple[dict[str, Tensor], list[Any]]) -> bool:
    return one[1] == other[1] and all(torch.equal(one[0][name], other[0][name]) for name in one[0])


def test_the_best_epochs_weights_are_left_and_the_later_wins_a_tie() -> None:
    task = Toy([0.1, 0.5, 0.2, 0.5, 0.3])
    report = fit(task, limits(5))
    assert report.best is report.epochs[3]
    assert torch.equal(task.module.weight, task.validated[3])
    assert report.ended == "epochs"


def test_patience_counts_epochs_since_the_best() -> None:
    report = fit(Toy([0.3, 0.1, 0.1, 0.1, 0.9]), limits(5, patience=3))
    assert (len(report.epochs), report.ended) == (4, "patience")
    assert report.best is not None
    assert report.best.number == 1


def test_without_average_what_is_validated_is_what_was_trained() -> None:
    task = Toy([0.1, 0.2])
    fit(task, limits(2, average=0))
    by_hand = Toy([0.1, 0.2])
    for epoch in (1, 2):
        for batch in by_hand.batches(epoch):
            for optimizer in by_hand.optimizers:
                optimizer.zero_grad()
            sum(by_hand.losses(batch).values()).backward()  # type: ignore[union-attr]
            for optimizer in by_hand.optimizers:
                optimizer.step()
    assert torch.equal(task.module.weight, by_hand.module.weight)
    assert torch.equal(task.validated[1], by_hand.module.weight)


def test_terms_are_means_over_the_epochs_steps() -> None:
    task = Toy([0.1])
    report = fit(task, limits(1))
    first = Toy([0.1], lr=1e-9)
    expected = sum(float(first.losses(batch)["pull"].detach()) for batch in first.batches(1)) / 3
    assert report.epochs[0].terms["pull"] == pytest.approx(expected, rel=0.5)
    assert set(report.epochs[0].terms) == {"pull", "bias"}
    assert report.epochs[0].elapsed_s > 0


def test_no_gradient_is_left_when_a_step_starts() -> None:
    task = Toy()
    fit(task, limits(3))
    assert task.gradients_at_start == [False] * 9


@pytest.mark.parametrize("term", ["pull", "bias"])
def test_divergence_names_epoch_and_term(term: str) -> None:
    with pytest.raises(TrainingDiverged, match=rf"epoch 3.*'{term}'") as caught:
        fit(Toy(poison=(3, term)), limits())
    assert (caught.value.epoch, caught.value.term) == (3, term)


def test_callbacks_hear_of_every_step_and_epoch() -> None:
    steps: list[tuple[int, int]] = []
    epochs: list[tuple[int, int]] = []

    def heard(epoch: Epoch, report: FitReport) -> None:
        epochs.append((epoch.number, len(report.epochs)))

    fit(Toy(), limits(2), on_epoch=[heard], on_step=lambda *step: steps.append(step))
    assert steps == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert epochs == [(1, 1), (2, 2)]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("after", [1, 2, 5, 6])
def test_interrupted_after_any_epoch_it_goes_on_bit_for_bit(tmp_path: Path, after: int, average: float) -> None:
    whole = Toy()
    expected = outcome(whole, fit(whole, limits(6, average=average)))

    def stop(epoch: Epoch, report: FitReport) -> None:
        if epoch.number == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(Toy(), limits(6, average=average), folder=tmp_path / "c", identity={"a": 1}, on_epoch=[stop])
    task = Toy()
    seen: list[int] = []
    report = fit(
        task,
        limits(6, average=average),
        folder=tmp_path / "c",
        identity={"a": 1},
        on_epoch=[lambda e, r: seen.append(e.number)],
    )
    assert seen == list(range(after + 1, 7))
    assert same(outcome(task, report), expected)


def test_interrupted_within_an_epoch_it_repeats_that_epoch(tmp_path: Path) -> None:
    whole = Toy()
    expected = outcome(whole, fit(whole, limits(4)))

    def stop(epoch: int, step: int) -> None:
        if (epoch, step) == (3, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Toy(), limits(4), folder=tmp_path / "c", on_step=stop)
    task = Toy()
    assert same(outcome(task, fit(task, limits(4), folder=tmp_path / "c")), expected)


KILLED = """
import os, signal, sys
from pathlib import Path
from hyperllm.training.loop import FitConfig, fit
from tests.training.toy import Toy

def stop(epoch, step):
    if (epoch, step) == (4, 2):
        os.kill(os.getpid(), signal.SIGKILL)

fit(Toy(), FitConfig(epochs=6, average=0.9, checkpoint_every_s=0), folder=Path(sys.argv[1]), on_step=stop)
"""


def test_killed_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "c")], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    whole, task = Toy(), Toy()
    expected = outcome(whole, fit(whole, limits(6)))
    assert same(outcome(task, fit(task, limits(6), folder=tmp_path / "c")), expected)


def test_a_finished_fit_is_found_done_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    task = Toy()
    first = outcome(task, fit(task, limits(3), folder=tmp_path / "c"))
    again = Toy()
    assert same(outcome(again, fit(again, limits(3), folder=tmp_path / "c")), first)
    assert again.gradients_at_start == []
    longer, whole = Toy(), Toy()
    report = fit(longer, limits(5), folder=tmp_path / "c")
    assert same(outcome(longer, report), outcome(whole, fit(whole, limits(5))))
    assert len(longer.validated) == 2


@pytest.mark.parametrize("change", [{"identity": {"a": 2}}, {"average": 0.5}])
def test_a_checkpoint_of_another_config_is_not_continued(tmp_path: Path, change: dict[str, Any]) -> None:
    fit(Toy(), limits(3), folder=tmp_path / "c", identity={"a": 1})
    task = Toy()
    fit(
        task,
        limits(3, average=change.get("average", 0.9)),
        folder=tmp_path / "c",
        identity=change.get("identity", {"a": 1}),
    )
    assert len(task.validated) == 3


def test_a_harmed_checkpoint_says_so(tmp_path: Path) -> None:
    fit(Toy(), limits(2), folder=tmp_path / "c")
    path = tmp_path / "c" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Corrupt, match=r"weights\.safetensors"):
        fit(Toy(), limits(3), folder=tmp_path / "c")


def test_a_changed_learning_rate_is_remembered(tmp_path: Path) -> None:
    task = Toy()
    task.optimizers[0].param_groups[0]["lr"] = 0.025
    fit(task, limits(2), folder=tmp_path / "c")
    again = Toy()
    fit(again, limits(3), folder=tmp_path / "c")
    assert again.optimizers[0].param_groups[0]["lr"] == 0.025


def test_checkpoints_hold_no_pickle(tmp_path: Path) -> None:
    fit(Toy(), limits(1), folder=tmp_path / "c")
    assert {p.suffix for p in (tmp_path / "c").iterdir()} == {".safetensors", ".json"}


def test_a_report_is_a_table(tmp_path: Path) -> None:
    import polars as pl

    report = fit(Toy(), limits(2))
    report.write(tmp_path / "history.parquet")
    table = pl.read_parquet(tmp_path / "history.parquet")
    assert table["epoch"].to_list() == [1, 2]
    assert {"loss/pull", "loss/bias", "recall@10", "elapsed_s"} <= set(table.columns)
    assert report.elapsed_s == pytest.approx(table["elapsed_s"].sum())


def test_selection_is_the_sum_of_the_four_validation_metrics() -> None:
    epoch = Epoch(1, {}, {"recall@10": 0.1, "recall@20": 0.2, "ndcg@10": 0.3, "ndcg@20": 0.4, "saturated": 5.0}, 0.0)
    assert math.isclose(epoch.selection, 1.0)
    assert FitReport().best is None


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_precision_holds_while_training_and_not_while_validating(precision: str) -> None:
    wanted = {"float32": "highest", "tf32": "high", "bf16": "medium"}[precision]
    seen: list[str] = []

    class Watched(Toy):
        def losses(self, batch: Tensor) -> dict[str, Tensor]:
            seen.append(torch.get_float32_matmul_precision())
            return super().losses(batch)

        def validate(self) -> dict[str, float]:
            assert torch.get_float32_matmul_precision() == "highest"
            return super().validate()

    fit(Watched([0.1]), FitConfig(epochs=1, precision=precision))  # type: ignore[arg-type]
    assert set(seen) == {wanted}
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_checkpoint_of_another_precision_is_not_continued(tmp_path: Path) -> None:
    fit(Toy([0.1, 0.2, 0.3]), FitConfig(epochs=2, precision="bf16", checkpoint_every_s=0), folder=tmp_path / "c")
    task = Toy([0.1, 0.2, 0.3])
    fit(task, FitConfig(epochs=3, checkpoint_every_s=0), folder=tmp_path / "c")
    assert len(task.validated) == 3
