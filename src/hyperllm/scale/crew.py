"""The processes of a grid as the crew that trains: gradients, checkpoints and results of tables in columns.

Knows which parameters of a framework have columns, and that a checkpoint is the one that a single process writes: it is
continued by any number of processes. Does not know how processes are started.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm.errors import ConfigError
from hyperllm.frameworks import Base, Integration, SemanticExtraction
from hyperllm.frameworks.base import Batch, Framework
from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.frameworks.inputs import NodeTable
from hyperllm.geometry import columns
from hyperllm.geometry.manifold import ManifoldParameter
from hyperllm.graph import Graph
from hyperllm.scale.columns import Grid, Group, SpreadColumns, bounds
from hyperllm.scale.rows import SharedGraph
from hyperllm.training import checkpoint
from hyperllm.training.checkpoint import Checkpoint, Files
from hyperllm.training.loop import FitConfig, fit
from hyperllm.training.report import FitReport

T = TypeVar("T")
Where = Callable[[str], "Layout | None"]


@dataclass(frozen=True)
class Layout:
    """Where a parameter has its columns: behind ``lead`` others along axis 1, once axis 0 is cut into ``experts``."""

    lead: int = 0
    experts: int | None = None

    def unfolded(self, tensor: Tensor) -> Tensor:
        """(rows, lead + columns, …)."""
        return tensor if self.experts is None else tensor.unflatten(0, (self.experts, -1))

    def has_columns(self, tensor: Tensor) -> bool:
        """Not of what an optimiser keeps once for a row or for all."""
        return tensor.dim() > 0 and self.unfolded(tensor).shape[1] > self.lead

    def folded(self, tensor: Tensor) -> Tensor:
        """As the parameter is."""
        return tensor if self.experts is None else tensor.flatten(0, 1)


def layouts(module: nn.Module) -> dict[str, Layout]:
    """Of the parameters that have columns, by name; all others are the same in every process."""
    found: dict[str, Layout] = {}
    for name, part in module.named_modules():
        if isinstance(part, NodeTable):
            found[f"{name}.weight"] = Layout(lead=int(isinstance(part.weight, ManifoldParameter)))
        elif isinstance(part, MixtureOfExperts):
            found |= {f"{name}.expert_{kind}": Layout(experts=part.experts) for kind in ("weight", "bias")}
    return found


class SpreadCrew:
    """Trains a framework with the processes of a grid; `frameworks.crew.Crew`."""

    def __init__(self, grid: Grid, *, share_graph: bool = False) -> None:
        self.grid, self.columns, self.share_graph = grid, SpreadColumns(grid), share_graph

    @property
    def graph(self) -> Callable[..., Graph]:
        """Replicas share out its rows, where they are told to."""
        return partial(SharedGraph.shared, self.grid.replicas) if self.share_graph else Graph.of

    @property
    def leads(self) -> bool:
        """The first of all processes."""
        return self.grid.world.rank == 0

    def told(self, ask: Callable[[], T]) -> T:
        """What the first process finds."""
        return self.grid.world.tell(ask() if self.leads else None)

    @contextmanager
    def together(self) -> Generator[None]:
        """The columns are apart."""
        with columns.laid(self.columns):
            yield

    def fit(self, framework: Framework, limits: FitConfig, **told: Any) -> FitReport:
        """Each process trains its columns; validation and stopping are the same in all of them."""
        self.prepare(framework)
        return fit(_Share(framework, self.grid.world.size), limits, store=_Store(self), **told)

    def prepare(self, framework: Framework) -> None:
        """Let its optimisers add up gradients before each step; raises `ConfigError` where it cannot be shared out."""
        known = type(framework) in (Base, Integration, SemanticExtraction) and not framework.config.compat
        if self.grid.columns.size > 1 and not known:
            raise ConfigError(
                "columns are shared out of the frameworks base and hyperllm, without --compat; for others let every "
                "process be a replica"
            )
        if (most := framework.config.dim) < self.grid.columns.size:
            raise ConfigError(
                f"{self.grid.columns.size} processes cannot share out dim = {most} columns; use at most {most}, "
                "or more replicas"
            )
        _sum_gradients(framework, self.grid)

    def whole(self, rows: Tensor, *, lead: int) -> Tensor:
        """Through the first process's own crew; other replicas have the same."""
        rows = rows.detach().cpu()
        if self.grid.replicas.rank:
            return rows[:0]
        return self.columns.put_together(rows, lead=lead, owner=0)

    def weights(self, framework: Framework) -> dict[str, Tensor]:
        """Of all parameters."""
        found = self.gathered(framework.state_dict(), layouts(framework).get)
        return found if self.leads else {}

    def gathered(self, tensors: Mapping[str, Tensor], where: Where) -> dict[str, Tensor]:
        """The tensors with all columns, on the CPU where this process leads; those without a layout as they are."""
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            layout = where(name)
            if layout is None or not layout.has_columns(tensor):
                found[name] = tensor.detach().cpu()
            else:
                found[name] = layout.folded(self.whole(layout.unfolded(tensor), lead=layout.lead))
        return found

    def own(self, file: Path, where: Where) -> dict[str, Tensor]:
        """The tensors of a file, of those with a layout this process's columns."""
        found: dict[str, Tensor] = {}
        with safe_open(file, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118  # no mapping
                layout, shape = where(name), stored.get_slice(name).get_shape()
                if layout is None or not layout.has_columns(torch.empty(shape, device="meta")):
                    found[name] = stored.get_tensor(name)
                elif layout.experts is None:
                    mine = bounds(shape[1] - layout.lead, self.grid.columns.size)[self.grid.columns.rank]
                    part = stored.get_slice(name)
                    first = [part[:, : layout.lead]] if layout.lead else []
                    found[name] = torch.cat(
                        [*first, part[:, layout.lead + mine.start : layout.lead + mine.stop]], dim=1
                    )
                else:
                    found[name] = layout.folded(self.columns.own(layout.unfolded(stored.get_tensor(name)), axis=1))
        return found


@dataclass(frozen=True)
class _Share:
    """A framework in one of so many ``processes``, as a training loop's task: it answers for its share of the loss."""

    framework: Framework
    processes: int

    @property
    def module(self) -> nn.Module:
        return self.framework

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        return self.framework.optimizers

    def batches(self, epoch: int) -> Iterator[Batch]:
        return self.framework.batches(epoch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {name: _Shared.apply(term, self.processes) for name, term in self.framework.losses(batch).items()}

    def validate(self) -> dict[str, float]:
        return self.framework.validate()


class _Shared(torch.autograd.Function):
    """A number that every process has, for which each is charged its share."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, processes: int) -> Tensor:
        ctx.processes = processes
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] / ctx.processes, None


def _sum_gradients(framework: Framework, grid: Grid) -> None:
    """Before a step, add up what copies of a parameter are charged with: of columns over replicas, else over all."""
    apart = layouts(framework)
    names = {id(parameter): name for name, parameter in framework.named_parameters()}

    def summed(optimizer: Optimizer, *_: object) -> None:
        for parameter in _parameters(optimizer):
            if parameter.grad is not None:
                group: Group = grid.replicas if names[id(parameter)] in apart else grid.world
                group.sum_(parameter.grad)

    for optimizer in framework.optimizers:
        optimizer.register_step_pre_hook(summed)


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """In the order in which its state counts them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class _Store:
    """Checkpoints as a single process writes them: the first process writes, each reads its columns."""

    crew: SpreadCrew

    def due(self, waited_s: float, every_s: float) -> bool:
        """By the first process's clock."""
        return self.crew.told(lambda: waited_s >= every_s)

    def save(
        self,
        folder: Path,
        state: Checkpoint,
        *,
        module: nn.Module,
        optimizers: Sequence[Optimizer],
        config: Mapping[str, Any],
    ) -> None:
        """One tensor after the other comes together."""
        files = checkpoint.files_of(state, module=module, optimizers=optimizers)
        places = _places(module, optimizers)
        whole = {stem: self.crew.gathered(tensors, places[stem]) for stem, tensors in files.tensors.items()}
        if self.crew.leads:
            checkpoint.write(folder, Files(whole, files.facts), config=config)

    def history(self, folder: Path, *, config: Mapping[str, Any]) -> FitReport | None:
        """What the first process finds."""
        facts = self._facts(folder, config)
        return None if facts is None else checkpoint.report_of(facts)

    def load(
        self, folder: Path, *, module: nn.Module, optimizers: Sequence[Optimizer], config: Mapping[str, Any]
    ) -> Checkpoint | None:
        """Every process reads the files, of tables its own columns alone."""
        facts = self._facts(folder, config)
        if facts is None:
            return None
        places = _places(module, optimizers)
        tensors = {stem: self.crew.own(folder / f"{stem}.safetensors", where) for stem, where in places.items()}
        return checkpoint.put(Files(tensors, facts), module=module, optimizers=optimizers)

    def _facts(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
        def found() -> dict[str, Any] | None:
            manifest = checkpoint.manifest_of(folder, config)
            return None if manifest is None else manifest.facts

        return self.crew.told(found)


def _places(module: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Where]:
    """For each file of a checkpoint the layouts of its tensors, by their names in it."""
    apart = layouts(module)
    names = {id(parameter): name for name, parameter in module.named_parameters()}

    def of_states(optimizer: Optimizer) -> Where:
        in_order = [apart.get(names[id(parameter)]) for parameter in _parameters(optimizer)]
        return lambda key: in_order[int(key.split("/", 1)[0])]

    tables = dict.fromkeys(("weights", "best", "average"), apart.get)
    return {**tables, **{f"optimizer{n}": of_states(optimizer) for n, optimizer in enumerate(optimizers)}}
