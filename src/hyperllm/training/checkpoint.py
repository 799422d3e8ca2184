"""Checkpoints: weights, best weights, optimiser state and history, without pickle.

A checkpoint is an artifact, so it is whole or absent. Randomness is keyed by epoch, so it needs no generator state.
Knows torch modules and optimisers by their state dicts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

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


@dataclass(frozen=True)
class Files:
    """All tensors of a checkpoint, by the stem of the file that holds them, and what its manifest tells.

    ``weights``, ``best`` and ``average`` go by names of parameters; ``optimizer0`` … by ROW/NAME, where a row is a
    parameter in the optimiser's order.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any]


class Store(Protocol):
    """How `training.loop` keeps what an interrupted fit has to remember; `Alone` where one process has it all."""

    def due(self, waited_s: float, every_s: float) -> bool:
        """Whether it is time to save."""
        ...

    def save(
        self,
        folder: Path,
        state: Checkpoint,
        *,
        module: nn.Module,
        optimizers: Sequence[Optimizer],
        config: Mapping[str, Any],
    ) -> None:
        """Write ``folder`` so that `load` puts everything back exactly."""
        ...

    def history(self, folder: Path, *, config: Mapping[str, Any]) -> FitReport | None:
        """The epochs that a checkpoint of this config has behind it; None where there is none."""
        ...

    def load(
        self, folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
    ) -> Checkpoint | None:
        """Restore module and optimisers in place and return the rest; None when there is no such checkpoint."""
        ...


class Alone:
    """One process has all tensors and writes them."""

    def due(self, waited_s: float, every_s: float) -> bool:
        """After so many seconds."""
        return waited_s >= every_s

    def save(
        self,
        folder: Path,
        state: Checkpoint,
        *,
        module: nn.Module,
        optimizers: Sequence[Optimizer],
        config: Mapping[str, Any],
    ) -> None:
        """Write it."""
        write(folder, files_of(state, module=module, optimizers=optimizers), config=config)

    def history(self, folder: Path, *, config: Mapping[str, Any]) -> FitReport | None:
        """From its manifest."""
        manifest = manifest_of(folder, config)
        return None if manifest is None else report_of(manifest.facts)

    def load(
        self, folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
    ) -> Checkpoint | None:
        """Read it."""
        manifest = manifest_of(folder, config)
        if manifest is None:
            return None
        tensors = {stem: load_file(folder / f"{stem}.safetensors") for stem in stems(optimizers)}
        return put(Files(tensors, manifest.facts), module=module, optimizers=optimizers)


def stems(optimizers: Sequence[Optimizer]) -> list[str]:
    """The files of a checkpoint."""
    return ["weights", "best", "average", *(f"optimizer{number}" for number in range(len(optimizers)))]


def files_of(state: Checkpoint, *, module: nn.Module, optimizers: Sequence[Optimizer]) -> Files:
    """What is to be written; the tensors are still those that learn."""
    states = [_flatten(optimizer.state_dict()["state"]) for optimizer in optimizers]
    tensors = dict(zip(stems(optimizers), [module.state_dict(), state.best, state.average, *states], strict=True))
    facts = {"epochs": [asdict(e) for e in state.report.epochs], "groups": [_groups(o) for o in optimizers]}
    return Files(tensors, facts)


def write(folder: Path, files: Files, *, config: Mapping[str, Any]) -> None:
    """The artifact ``folder``."""
    with artifacts.writing(folder, KIND, config=config, facts=dict(files.facts)) as work:
        for stem, tensors in files.tensors.items():
            save_file(_owned(tensors), work / f"{stem}.safetensors")


def put(files: Files, *, module: nn.Module, optimizers: Sequence[Optimizer]) -> Checkpoint:
    """Everything back in its place; what has none is returned."""
    module.load_state_dict(files.tensors["weights"])
    for number, optimizer in enumerate(optimizers):
        state = _unflatten(files.tensors[f"optimizer{number}"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        for group, values in zip(optimizer.param_groups, files.facts["groups"][number], strict=True):
            group.update(values)
    return Checkpoint(report_of(files.facts), files.tensors["best"], files.tensors["average"])


def manifest_of(folder: Path, config: Mapping[str, Any]) -> artifacts.Manifest | None:
    """The manifest of a whole checkpoint of this config, its files checked."""
    artifacts.recover(folder)
    manifest = artifacts.peek(folder)
    if manifest is None or not manifest.made_from(config, {}):
        return None
    return artifacts.read(folder, KIND)


def report_of(facts: Mapping[str, Any]) -> FitReport:
    """The epochs that a manifest tells of."""
    return FitReport([Epoch(**e) for e in facts["epochs"]])


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
