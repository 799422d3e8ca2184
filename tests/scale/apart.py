"""What processes do that share out columns or the graph, for `test_columns`; each scenario also runs in one process.

Knows how four processes are started once and are first two, then four. A scenario gets the crew that does it.
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
from hyperllm.backbones.hypercl import HyperCL, HyperCLConfig
from hyperllm.errors import ConfigError
from hyperllm.frameworks import (
    FRAMEWORKS,
    Base,
    BaseConfig,
    HERec,
    HyperLLMConfig,
    Integration,
    RLMRecCon,
    Trained,
    train_base,
    train_framework,
    train_hyperllm,
)
from hyperllm.frameworks.base import Batch, Framework
from hyperllm.frameworks.crew import Crew
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz, ranking
from hyperllm.scale import rows
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
KINDS = ("sum", "rows")
RIVALS = [kind for kind in FRAMEWORKS.values() if kind not in (Base, Integration)]
TRAININGS = {2: [("hgcf", "base"), ("hgch", "hyperllm")], 4: [("hgch", "base"), ("hgcf", "hyperllm")]}
EXTRA: dict[str, dict[str, Any]] = {
    "softmax": {"ranking": "softmax"},
    "adam": {"optimizer": "adam"},
    "flat adam": {"optimizer": "adam", "parametrisation": "tangent"},
}
Result = dict[str, Any]


def trained(name: str, kind: str, crew: Crew) -> Result:
    """Two epochs a phase."""
    limits, backbone = FitConfig(epochs=2), BACKBONES[name]()
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


def world(crew: Crew) -> World:
    return World.of(PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics, laid=crew.graph)


def handed_over(crew: Crew, kind: str) -> int:
    return crew.grid.traffic.payload_bytes[kind] // 4 if isinstance(crew, SpreadCrew) else 0


def step(framework: Framework, crew: Crew) -> Result:
    """Loss terms of the first batch, their gradients, and the weights after the step."""
    with crew.together():
        batch = next(iter(framework.batches(1)))
        before = {kind: handed_over(crew, kind) for kind in KINDS}
        terms = framework.losses(batch)
        total = torch.stack(list(terms.values())).sum()
        (total / crew.grid.world.size if isinstance(crew, SpreadCrew) else total).backward()
        for optimizer in framework.optimizers:
            optimizer.step()
        numbers = {kind: handed_over(crew, kind) - before[kind] for kind in KINDS}
        grads = {name: p.grad for name, p in framework.named_parameters() if p.grad is not None}
        if isinstance(crew, SpreadCrew):
            grads = crew.gathered(grads, layouts(framework).get)
        found = {"terms": terms, "grads": grads, "weights": crew.weights(framework)}
        return {**found, "numbers": numbers, "formula": on_paper(framework, batch, crew)}


def on_paper(framework: Framework, batch: Batch, crew: Crew) -> dict[str, int]:
    """The formula's numbers, for the settings that it knows."""
    graph, config, hgch = framework.world.graph, framework.config, isinstance(framework.backbone, HGCH)
    branches, rows, contrast = [Branch(graph.nodes, len(batch.user_item), config.negatives)], graph.nodes, 0
    if isinstance(framework, Integration) and framework.tags is not None and batch.tag is not None:
        tags = framework.tags.graph
        branches.append(Branch(tags.nodes, len(batch.tag), config.negatives))
        rows += tags.left
        contrast = tags.right if batch.drawn is None else len(batch.drawn)
    step = Step(
        tuple(branches),
        rows,
        contrast,
        maps=2 + 2 * framework.backbone.config.layers if hgch else 1,
        manifold=config.parametrisation == "manifold",
        far_out=config.init_scale > 1,
    )
    own = crew.columns.own(torch.empty(1, config.dim)).shape[1] if isinstance(crew, SpreadCrew) else config.dim
    return {"sum": step.numbers(), "rows": step.rows_shared(own + int(hgch), framework.backbone.config.layers)}


def made(name: str, extra: dict[str, Any], crew: Crew, *, hyper: bool = False) -> Framework:
    with crew.together():
        if hyper:
            framework: Framework = Integration(world(crew), BACKBONES[name](), HyperLLMConfig(**{**HYPER, **extra}))
        else:
            framework = Base(world(crew), BACKBONES[name](), BaseConfig(**{**SMALL, **extra}))
    if isinstance(crew, SpreadCrew):
        crew.prepare(framework)
    return framework


def steps(crew: Crew) -> Result:
    """Every backbone, every rule, and the branches of phase 2."""
    found = {name: step(made(name, {}, crew), crew) for name in BACKBONES}
    found |= {what: step(made("hgcf", extra, crew), crew) for what, extra in EXTRA.items()}
    mean = {"contrast": "sampled", "contrast_sample": 7}
    found["no-meta"] = step(made("hgcf", {"variant": "no-meta", **mean}, crew, hyper=True), crew)
    found["flat"] = step(made("lightgcn", {"variant": "structural", "ranking": "softmax"}, crew, hyper=True), crew)
    found["far out"] = step(made("hgch", {"init_scale": 3.0}, crew), crew)
    return found


def rivals(crew: Crew) -> Result:
    """What processes do as replicas alone: rivals, and the published code's quirks."""
    with crew.together():
        found = _rivals(crew)
    if isinstance(crew, SpreadCrew):
        for framework in found.values():
            crew.prepare(framework)
    return {name: step(framework, crew) for name, framework in found.items()}


def _rivals(crew: Crew) -> dict[str, Framework]:
    quirks = Base(world(crew), BACKBONES["hgcf"](), BaseConfig(**{**SMALL, "compat": True}))
    views = Integration(world(crew), HyperCL(HyperCLConfig(tag_views=True)), HyperLLMConfig(**HYPER))
    made = {kind.__name__: kind(world(crew), BACKBONES["hgcf"](), kind.config_class(**SMALL)) for kind in RIVALS}
    return {"quirks": quirks, "views of tags": views, **made}


def rival_trained(folder: Path, crew: Crew) -> Result:
    """Two epochs with checkpoints, then two more."""
    for epochs in (2, 4):
        limits = FitConfig(epochs=epochs, checkpoint_every_s=0)
        config, texts = RLMRecCon.config_class(**SMALL), PLANTED.semantics
        more: dict[str, Any] = {"config": config, "fit_config": limits, "folder": folder, "crew": crew}
        found = train_framework(RLMRecCon, PLANTED.split, semantics=texts, backbone=BACKBONES["hgcf"](), **more)
    return told(found)


def ranked(crew: Crew) -> Tensor:
    """Lists of users among items that come in blocks of seven."""
    rng = torch.Generator().manual_seed(0)
    users, items = (
        lorentz.expmap0(torch.randn(n, DIM, generator=rng)) for n in (PLANTED.split.train.user.max() + 1, 36)
    )
    if isinstance(crew, SpreadCrew):
        users, items = (torch.cat([p[:, :1], crew.columns.own(p[:, 1:])], dim=1) for p in (users, items))
    with crew.together(), patch.object(ranking, "ITEMS", 7):
        return ranking.topk(lorentz.flip(users), items, 10, seen=world(crew).seen(), lead=1)


def resumed(folder: Path, epochs: int, crew: Crew) -> Result:
    """Train to so many epochs, or go on to them."""
    limits = FitConfig(epochs=epochs, checkpoint_every_s=0)
    common: dict[str, Any] = {"backbone": BACKBONES["hgch"](), "config": HyperLLMConfig(**HYPER), "fit_config": limits}
    found = train_hyperllm(
        PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics, **common, folder=folder, crew=crew
    )
    return told(found)


def refused(crew: SpreadCrew) -> list[str]:
    """What cannot be shared out, and what is said of it."""
    said: list[str] = []
    settings: list[tuple[type[Framework], dict[str, Any]]] = [(HERec, {}), (Base, {"dim": 1}), (Base, {"compat": True})]
    for kind, extra in settings:
        framework = kind(world(crew), BACKBONES["hgcf"](), kind.config_class(**{**SMALL, **extra}))
        try:
            crew.prepare(framework)
        except ConfigError as error:
            said.append(str(error))
    return said


def scenarios(folder: Path, size: int) -> dict[str, Callable[[SpreadCrew], Any]]:
    """By name; resuming goes from two processes to four."""
    found: dict[str, Callable[[SpreadCrew], Any]] = {
        f"{name} {kind}": partial(trained, name, kind) for name, kind in TRAININGS[size]
    }
    found["resumed"] = partial(resumed, folder / "run", size)
    found["ranked"] = ranked
    found |= {"steps": steps} if size == SIZES[-1] else {"refused": refused}
    return found


def take_part(rank: int, folder: Path) -> None:
    """All scenarios in one of the processes; the first writes what came out."""
    torch.set_num_threads(1)
    rows.COLUMNS = 1  # so that these few columns, too, go in parts
    warnings.filterwarnings("ignore", message=".*Sparse (CSR|invariant).*")
    for size in SIZES:
        if rank < size:
            dist.init_process_group("gloo", init_method=f"file://{folder}/join{size}", rank=rank, world_size=size)
            grids = {replicas: Grid.of(replicas, torch.device("cpu")) for replicas in (1, 2, size)}
            found = {name: work(SpreadCrew(grids[1])) for name, work in scenarios(folder, size).items()}
            if size == SIZES[-1]:
                found["steps of replicas"] = steps(SpreadCrew(grids[2]))
                found["steps with a shared graph"] = steps(SpreadCrew(grids[2], share_graph=True))
                found["rivals"] = rivals(SpreadCrew(grids[4], share_graph=True))
                found["rival"] = rival_trained(folder / "rival", SpreadCrew(grids[4], share_graph=True))
                found["shared hgch hyperllm"] = trained("hgch", "hyperllm", SpreadCrew(grids[4], share_graph=True))
            if rank == 0:
                torch.save(found, folder / f"{size}.pt")
            dist.barrier()
            dist.destroy_process_group()


def started(folder: Path) -> dict[int, dict[str, Any]]:
    """What came out, by number of processes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    processes.spawn(take_part, (folder,), nprocs=max(SIZES))
    return found(folder)


def found(folder: Path) -> dict[int, dict[str, Any]]:
    """What is there of that."""
    files = {size: folder / f"{size}.pt" for size in SIZES}
    return {size: torch.load(file, weights_only=False) for size, file in files.items() if file.exists()}
