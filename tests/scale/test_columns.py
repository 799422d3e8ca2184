"""Columns in several processes: the losses, gradients, metrics and lists of one, and the bytes of the formula."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.scale import apart

from hyperllm.frameworks.crew import Alone
from hyperllm.scale.columns import bounds

RELATIVE = 2e-5
"""Of loss terms and gradients, whose sums are made in another order; of metrics nothing differs."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What two and then four processes found, all of it in one start of four, also where tests run side by side."""
    side_by_side = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if side_by_side else base) / "apart"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second finds what the first one found
        return apart.found(folder) or apart.started(folder)


@pytest.fixture(scope="module")
def steps_alone() -> dict[str, Any]:
    return apart.steps(Alone())


def test_columns_are_shared_out_evenly_and_in_order() -> None:
    assert [(part.start, part.stop) for part in bounds(50, 4)] == [(0, 13), (13, 26), (26, 38), (38, 50)]


@pytest.mark.parametrize(("size", "name", "kind"), [(n, *one) for n in apart.SIZES for one in apart.TRAININGS[n]])
def test_training_is_that_of_one_process(size: int, name: str, kind: str, processes: dict[int, dict[str, Any]]) -> None:
    same_training(processes[size][f"{name} {kind}"], apart.trained(name, kind, Alone()))


@pytest.mark.parametrize("which", ["steps", "steps of replicas", "steps with a shared graph"])
def test_every_backbone_takes_the_step_of_one_process(
    which: str, processes: dict[int, dict[str, Any]], steps_alone: dict[str, Any]
) -> None:
    same_steps(processes[4][which], steps_alone)


def test_rivals_and_quirks_train_as_replicas_that_share_the_graph(processes: dict[int, dict[str, Any]]) -> None:
    same_steps(processes[4]["rivals"], apart.rivals(Alone()))


def test_a_rival_trains_and_goes_on_as_in_one_process(processes: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    same_training(processes[4]["rival"], apart.rival_trained(tmp_path / "rival", Alone()))


def test_training_over_a_shared_graph_is_that_of_one_process(processes: dict[int, dict[str, Any]]) -> None:
    same_training(processes[4]["shared hgch hyperllm"], apart.trained("hgch", "hyperllm", Alone()))


def same_steps(steps: dict[str, Any], of_one: dict[str, Any]) -> None:
    for name, alone in of_one.items():
        found = steps[name]
        whats = ("terms", "grads") if name == "far out" else ("terms", "grads", "weights")  # a step there is a leap
        for what in whats:
            assert found[what].keys() == alone[what].keys(), f"{name}: {what}"
            for key, expected in alone[what].items():
                close(found[what][key], expected, f"{name}: {what} of {key}")


@pytest.mark.parametrize("name", ["hgcf", "hgch", "flat adam", "far out"])
def test_a_step_sends_what_the_formula_says(name: str, processes: dict[int, dict[str, Any]]) -> None:
    found = processes[4]["steps"][name]
    assert found["numbers"]["sum"] == found["formula"]["sum"]
    shared = processes[4]["steps with a shared graph"][name]
    assert shared["numbers"]["rows"] == shared["formula"]["rows"]


def test_lists_from_blocks_of_items_are_those_of_all(processes: dict[int, dict[str, Any]]) -> None:
    for size in apart.SIZES:
        assert torch.equal(processes[size]["ranked"], apart.ranked(Alone()))


def test_a_checkpoint_is_continued_by_another_number_of_processes(
    processes: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    whole = apart.resumed(tmp_path / "whole", 4, Alone())
    same_training(processes[4]["resumed"], whole)
    phases = processes[2]["resumed"]["epochs"]
    assert len(phases["phase 2"]) == 2, "two processes were to end after two epochs"


def test_what_cannot_be_shared_out_is_refused(processes: dict[int, dict[str, Any]]) -> None:
    rival, narrow, published = processes[2]["refused"]
    assert "base and hyperllm" in rival
    assert "dim = 1" in narrow
    assert "--compat" in published


def same_training(found: dict[str, Any], alone: dict[str, Any]) -> None:
    assert found["epochs"].keys() == alone["epochs"].keys()
    for phase, epochs in alone["epochs"].items():
        assert len(found["epochs"][phase]) == len(epochs)
        for (terms, metrics), (expected, of_one) in zip(found["epochs"][phase], epochs, strict=True):
            assert terms == pytest.approx(expected, rel=RELATIVE, abs=1e-4), phase
            assert metrics == pytest.approx(of_one, abs=1e-9), phase
    for name, vectors in alone["vectors"].items():
        close(found["vectors"][name], vectors, name)


def close(found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """To `RELATIVE` of the largest number: rounding of a sum goes by its largest parts."""
    scale = max(1e-3, float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=RELATIVE * scale, msg=lambda text: f"{what}: {text}")
