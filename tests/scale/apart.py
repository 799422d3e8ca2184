"""What processes do that share out columns, for `test_columns`; each scenario also runs in one process.

Knows how four processes are started once and are first two, then four. A scenario gets a grid, or None where it is
alone.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor

from hyperllm.backbones import BACKBONES, HGCH
from hyperllm.errors import ConfigError
from hyperllm.frameworks import (
    Base,
    BaseConfig,
    HERec,
    HyperLLMConfig,
    Integration,
    Trained,
    train_base,
    train_hyperllm,
)
from hyperllm.frameworks.base import Batch, Framework
from hyperllm.frameworks.crew import Alone, Crew
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz, ranking
from hyperllm.scale.columns import Grid
from hyperllm.scale.cost import Branch, Step
from hyperllm.scale.crew import SpreadCrew, layouts
from hyperllm.testing import tree_world
from hyperllm.training.loop import FitConfig

PLANTED = tree_world(depth=2, seed=1)
DIM = 6  # on four processes 2, 2, 1 and 1 columns
SMALL: dict[str, Any] = {"dim": DIM, "batch_size": 128, "negatives": 2, "learning_rate": 0.01}
HYPER: dict[str, Any] = {**SMALL, "experts": 3, "text_dim": 8, "meta_epochs": 2, "contrast_weight": 0.1}
SIZES = (2, 4)
TRAININGS = {2: [("hgcf", "base"), ("hgch", "hyperllm")], 4: [("hgch", "base"), ("hgcf", "hyperllm")]}
EXTRA: dict[str, dict[str, Any]] = {
    "softmax": {"ranking": "softmax"},
    "adam": {"optimizer": "adam"},
    "flat adam": {"optimizer": "adam", "parametrisation": "tangent"},
}
Result = dict[str, Any]


def crew_of(grid: Grid | None) -> Crew:
    return Alone() if grid is None else SpreadCrew(grid)


def trained(name: str, kind: str, grid: Grid | None) -> Result:
    """Two epochs a phase."""
    limits, backbone, crew = FitConfig(epochs=2), BACKBONES[name](), crew_of(grid)
    if kind == "base":
        found = train_base(PLANTED.split, backbone=backbone, config=BaseConfig(**SMALL), fit_config=limits, crew=crew)
    else:
        texts = {"tags": PLANTED.tags, "semantics": PLANTED.semantics}
        config = HyperLLMConfig(**HYPER)
        found = train_hyperllm(PLANTED.split, **texts, backbone=backbone, config=config, fit_config=limits, crew=crew)
    return told(found)


def told(found: Trained) -> Result:
    epochs = {phase: [(e.terms, e.metrics) for e in report.epochs] for phase, report in found.reports.items()}
    vectors = {"users": torch.from_numpy(found.users), "items": torch.from_numpy(found.items), **found.weights}
    if found.phase1 is not None:
        vectors["phase 1"] = torch.from_numpy(found.phase1.users)
    return {"epochs": epochs, "vectors": vectors}


def world() -> World:
    return World.of(PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics)


def step(framework: Framework, grid: Grid | None) -> Result:
    """Loss terms of the first batch, their gradients, and the weights after the step."""
    crew = crew_of(grid)
    with crew.together():
        batch = next(iter(framework.batches(1)))
        before = 0 if grid is None else grid.traffic.payload_bytes["sum"] // 4
        terms = framework.losses(batch)
        total = torch.stack(list(terms.values())).sum()
        (total if grid is None else total / grid.world.size).backward()
        for optimizer in framework.optimizers:
            optimizer.step()
        numbers = 0 if grid is None else grid.traffic.payload_bytes["sum"] // 4 - before
        grads = {name: p.grad for name, p in framework.named_parameters() if p.grad is not None}
        if isinstance(crew, SpreadCrew):
            grads = crew.gathered(grads, layouts(framework).get)
        found = {"terms": terms, "grads": grads, "weights": crew.weights(framework)}
        return {**found, "numbers": numbers, "formula": on_paper(framework, batch)}


def on_paper(framework: Framework, batch: Batch) -> int:
    """The formula's numbers, for the settings that it knows."""
    graph, config, hgch = framework.world.graph, framework.config, isinstance(framework.backbone, HGCH)
    branches, rows, contrast = [Branch(graph.nodes, len(batch.user_item), config.negatives)], graph.nodes, 0
    if isinstance(framework, Integration) and framework.tags is not None and batch.tag is not None:
        tags = framework.tags.graph
        branches.append(Branch(tags.nodes, len(batch.tag), config.negatives))
        rows += tags.left
        contrast = tags.right if batch.drawn is None else len(batch.drawn)
    return Step(
        tuple(branches),
        rows,
        contrast,
        maps=2 + 2 * framework.backbone.config.layers if hgch else 1,
        manifold=config.parametrisation == "manifold",
        far_out=config.init_scale > 1,
    ).numbers()


def made(name: str, extra: dict[str, Any], grid: Grid | None, *, hyper: bool = False) -> Framework:
    crew = crew_of(grid)
    with crew.together():
        if hyper:
            framework: Framework = Integration(world(), BACKBONES[name](), HyperLLMConfig(**{**HYPER, **extra}))
        else:
            framework = Base(world(), BACKBONES[name](), BaseConfig(**{**SMALL, **extra}))
    if isinstance(crew, SpreadCrew):
        crew.prepare(framework)
    return framework


def steps(grid: Grid | None) -> Result:
    """Every backbone, every rule, and the branches of phase 2."""
    found = {name: step(made(name, {}, grid), grid) for name in BACKBONES}
    found |= {what: step(made("hgcf", extra, grid), grid) for what, extra in EXTRA.items()}
    mean = {"contrast": "sampled", "contrast_sample": 7}
    found["no-meta"] = step(made("hgcf", {"variant": "no-meta", **mean}, grid, hyper=True), grid)
    found["flat"] = step(made("lightgcn", {"variant": "structural", "ranking": "softmax"}, grid, hyper=True), grid)
    found["far out"] = step(made("hgch", {"init_scale": 3.0}, grid), grid)
    return found


def ranked(grid: Grid | None) -> Tensor:
    """Lists of users among items that come in blocks of seven."""
    rng = torch.Generator().manual_seed(0)
    users, items = (
        lorentz.expmap0(torch.randn(n, DIM, generator=rng)) for n in (PLANTED.split.train.user.max() + 1, 36)
    )
    crew = crew_of(grid)
    if isinstance(crew, SpreadCrew):
        users, items = (torch.cat([p[:, :1], crew.columns.own(p[:, 1:])], dim=1) for p in (users, items))
    with crew.together(), patch.object(ranking, "ITEMS", 7):
        return ranking.topk(lorentz.flip(users), items, 10, seen=world().seen(), lead=1)


def resumed(folder: Path, epochs: int, grid: Grid | None) -> Result:
    """Train to so many epochs, or go on to them."""
    limits = FitConfig(epochs=epochs, checkpoint_every_s=0)
    common: dict[str, Any] = {"backbone": BACKBONES["hgch"](), "config": HyperLLMConfig(**HYPER), "fit_config": limits}
    found = train_hyperllm(
        PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics, **common, folder=folder, crew=crew_of(grid)
    )
    return told(found)


def refused(grid: Grid) -> list[str]:
    """What cannot be shared out, and what is said of it."""
    said: list[str] = []
    settings: list[tuple[type[Framework], dict[str, Any]]] = [(HERec, {}), (Base, {"dim": 1}), (Base, {"compat": True})]
    for kind, extra in settings:
        framework = kind(world(), BACKBONES["hgcf"](), kind.config_class(**{**SMALL, **extra}))
        try:
            SpreadCrew(grid).prepare(framework)
        except ConfigError as error:
            said.append(str(error))
    return said


def scenarios(folder: Path, size: int) -> dict[str, Callable[[Grid], Any]]:
    """By name; resuming goes from two processes to four."""
    found: dict[str, Callable[[Grid], Any]] = {
        f"{name} {kind}": partial(trained, name, kind) for name, kind in TRAININGS[size]
    }
    found["resumed"] = partial(resumed, folder / "run", size)
    found["ranked"] = ranked
    found |= {"steps": steps} if size == SIZES[-1] else {"refused": refused}
    return found


def take_part(rank: int, folder: Path) -> None:
    """All scenarios in one of the processes; the first writes what came out."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*Sparse (CSR|invariant).*")
    for size in SIZES:
        if rank < size:
            dist.init_process_group("gloo", init_method=f"file://{folder}/join{size}", rank=rank, world_size=size)
            grids = {1: Grid.of(1, torch.device("cpu")), 2: Grid.of(2, torch.device("cpu"))}
            found = {name: work(grids[1]) for name, work in scenarios(folder, size).items()}
            if size == SIZES[-1]:
                found["steps of replicas"] = steps(grids[2])
            if rank == 0:
                torch.save(found, folder / f"{size}.pt")
            dist.barrier()
            dist.destroy_process_group()


def started(folder: Path) -> dict[int, dict[str, Any]]:
    """What came out, by number of processes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    processes.spawn(take_part, (folder,), nprocs=max(SIZES))
    return {size: torch.load(folder / f"{size}.pt", weights_only=False) for size in SIZES}
