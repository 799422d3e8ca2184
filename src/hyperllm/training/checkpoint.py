"""Checkpoints: weights, best weights, optimiser state and history, without pickle.

A checkpoint is an artifact, so it is whole or absent. Randomness is keyed by epoch, so it needs no generator state.
Knows torch modules and optimisers by their state dicts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm import artifacts
from hyperllm.training.report import Epoch, FitReport

KIND = "checkpoint"


def save(
    folder: Path,
    *,
    module: nn.Module,
    best: Mapping[str, Tensor],
    optimizers: Sequence[Optimizer],
    report: FitReport,
    config: Mapping[str, Any],
) -> None:
    """Write ``folder`` so that `load` puts everything back exactly."""
    states = [_flatten(o.state_dict()["state"]) for o in optimizers]
    facts = {"epochs": [asdict(e) for e in report.epochs], "groups": [_groups(o) for o in optimizers]}
    with artifacts.writing(folder, KIND, config=config, facts=facts) as work:
        save_file(_owned(module.state_dict()), work / "weights.safetensors")
        save_file(_owned(best), work / "best.safetensors")
        for number, state in enumerate(states):
            save_file(_owned(state), work / f"optimizer{number}.safetensors")


def load(
    folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
) -> tuple[FitReport, dict[str, Tensor]] | None:
    """Restore in place and return (report, best weights); None when there is no checkpoint of this config."""
    artifacts.recover(folder)
    manifest = artifacts.peek(folder)
    if manifest is None or not manifest.made_from(config, {}):
        return None
    artifacts.read(folder, KIND)
    module.load_state_dict(load_file(folder / "weights.safetensors"))
    for number, optimizer in enumerate(optimizers):
        state = _unflatten(load_file(folder / f"optimizer{number}.safetensors"))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        for group, values in zip(optimizer.param_groups, manifest.facts["groups"][number], strict=True):
            group.update(values)
    epochs = [Epoch(**e) for e in manifest.facts["epochs"]]
    return FitReport(epochs), load_file(folder / "best.safetensors")


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def _groups(optimizer: Optimizer) -> list[dict[str, float]]:
    """The learning rates, which a schedule may have changed."""
    return [{"lr": float(group["lr"])} for group in optimizer.param_groups]


def _flatten(state: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{row}/{name}": t for row, values in state.items() for name, t in values.items() if t is not None}


def _unflatten(flat: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        row, key = name.split("/", 1)
        state.setdefault(int(row), {})[key] = tensor
    return state
