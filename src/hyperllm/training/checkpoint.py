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
    manifest = _manifest(folder, config)
    return None if manifest is None else _report(manifest)


def load(
    folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
) -> Checkpoint | None:
    """Restore module and optimisers in place and return the rest; None when there is no checkpoint of this config."""
    manifest = _manifest(folder, config)
    if manifest is None:
        return None
    module.load_state_dict(load_file(folder / "weights.safetensors"))
    for number, optimizer in enumerate(optimizers):
        state = _unflatten(load_file(folder / f"optimizer{number}.safetensors"))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        for group, values in zip(optimizer.param_groups, manifest.facts["groups"][number], strict=True):
            group.update(values)
    best, average = (load_file(folder / f"{name}.safetensors") for name in ("best", "average"))
    return Checkpoint(_report(manifest), best, average)


def _manifest(folder: Path, config: Mapping[str, Any]) -> artifacts.Manifest | None:
    """The manifest of a whole checkpoint of this config, its files checked."""
    artifacts.recover(folder)
    manifest = artifacts.peek(folder)
    if manifest is None or not manifest.made_from(config, {}):
        return None
    return artifacts.read(folder, KIND)


def _report(manifest: artifacts.Manifest) -> FitReport:
    return FitReport([Epoch(**e) for e in manifest.facts["epochs"]])


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
