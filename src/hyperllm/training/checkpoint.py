"""Checkpoints: weights, best weights, optimiser state and history, without pickle.

A checkpoint is an artifact, so it is whole or absent. Randomness is keyed by epoch, so it needs no generator state.
Knows torch modules and optimisers by their state dicts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm import artifacts
from hyperllm.training.report import Epoch, FitReport

KIND = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """Beside weights and optimisers: the epochs so far, the best weights, and the state of the weight average."""

    report: FitReport
    best: Mapping[str, Tensor]
    average: Mapping[str, Tensor]


def save(
    folder: Path,
    state: Checkpoint,
    *,
    module: nn.Module,
    optimizers: Sequence[Optimizer],
    config: Mapping[str, Any],
) -> None:
    """Write ``folder`` so that `load` puts everything back exactly."""
    facts = {"epochs": [asdict(e) for e in state.report.epochs], "groups": [_groups(o) for o in optimizers]}
    with artifacts.writing(folder, KIND, config=config, facts=facts) as work:
        save_file(_owned(module.state_dict()), work / "weights.safetensors")
        save_file(_owned(state.best), work / "best.safetensors")
        save_file(_owned(state.average), work / "average.safetensors")
        for number, optimizer in enumerate(optimizers):
            save_file(_owned(_flatten(optimizer.state_dict()["state"])), work / f"optimizer{number}.safetensors")


def history(folder: Path, *, config: Mapping[str, Any]) -> FitReport | None:
    """The epochs that a checkpoint of this config has behind it; None where there is none."""
    artifacts.recover(folder)
    manifest = artifacts.peek(folder)
    if manifest is None or not manifest.made_from(config, {}):
        return None
    return FitReport([Epoch(**e) for e in artifacts.read(folder, KIND).facts["epochs"]])


def load(
    folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
) -> Checkpoint | None:
    """Restore module and optimisers in place and return the rest; None when there is no checkpoint of this config."""
    report = history(folder, config=config)
    if report is None:
        return None
    groups = artifacts.read(folder, KIND).facts["groups"]
    module.load_state_dict(load_file(folder / "weights.safetensors"))
    for number, optimizer in enumerate(optimizers):
        state = _unflatten(load_file(folder / f"optimizer{number}.safetensors"))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        for group, values in zip(optimizer.param_groups, groups[number], strict=True):
            group.update(values)
    return Checkpoint(report, load_file(folder / "best.safetensors"), load_file(folder / "average.safetensors"))


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def _groups(optimizer: Optimizer) -> list[dict[str, float]]:
    """The learning rates, which a schedule may have changed."""
    return [{"lr": float(group["lr"])} for group in optimizer.param_groups]


def _flatten(state: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{row}/{name}": t for row, values in state.items() for name, t in values.items()}


def _unflatten(flat: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        row, key = name.split("/", 1)
        state.setdefault(int(row), {})[key] = tensor
    return state
