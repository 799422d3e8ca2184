"""Training in several processes against one: `make bench WHAT=scale_train`.

`equal` trains HGCF and HGCH, base and HyperLLM, on a workspace in 1, 2 and 4 processes under torchrun, which share out
columns, or columns and the graph. It prints how far losses, validation metrics and points are apart, what a step hands
over, counted and by the formula, and what it takes. With `--double` each phase trains by itself in float64: what is
apart in float32 and not there is rounding. `ray` compares runs of the command instead, plain and `--ray`. `killed`
trains under Ray Train, ends one worker with SIGKILL in the middle, and compares what comes out with an undisturbed run.
All need a workspace with a split, a tag set and text vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from worlds import below, optimise

from hyperllm import artifacts
from hyperllm.backbones import BACKBONES
from hyperllm.experiments.workspace import Workspace
from hyperllm.frameworks import (
    Base,
    BaseConfig,
    HyperLLMConfig,
    Integration,
    SemanticExtraction,
    train_base,
    train_hyperllm,
)
from hyperllm.frameworks.base import Framework
from hyperllm.frameworks.crew import Alone
from hyperllm.frameworks.world import World
from hyperllm.graph import Graph
from hyperllm.scale.cost import Branch, Step
from hyperllm.serving.model import ScoreModel
from hyperllm.training.loop import FitConfig

LAYOUTS = {"1": (1, 1), "2": (2, 1), "4": (4, 1), "2 × 2, graph shared": (4, 2)}  # processes, replicas
ON_RAY = {
    "none": [],
    "1": ["--ray", "--workers", "1"],
    "2": ["--ray", "--workers", "2"],
    "4": ["--ray", "--workers", "4"],
    "2 × 2, graph shared": ["--ray", "--workers", "4", "--replicas", "2", "--share-graph"],
}
RUNS = [(name, kind) for name in ("hgcf", "hgch") for kind in ("base", "hyperllm")]
PHASES = [(name, kind) for name in ("hgcf", "hgch") for kind in ("base", "phase 1", "phase 2")]
HYPER = {"meta_epochs": 1, "experts": 4}
TIMED = 3  # steps


def inputs(workspace: Path, kind: str) -> dict[str, Any]:
    """What is trained on."""
    place = Workspace.opened(workspace)
    split = place.split()
    if kind == "base":
        return {"split": split}
    tags, texts = place.chosen("tags", None), place.chosen("semantics", None)
    return {"split": split, "tags": place.tags(tags), "semantics": place.semantics(texts, split)}


def trained(workspace: Path, name: str, kind: str, crew: Any, epochs: int) -> dict[str, Any]:
    """Epochs of every phase, and the points."""
    told, limits, backbone = inputs(workspace, kind), FitConfig(epochs=epochs), BACKBONES[name]()
    split = told.pop("split")
    if kind == "base":
        found = train_base(split, backbone=backbone, config=BaseConfig(), fit_config=limits, crew=crew)
    else:
        config = HyperLLMConfig(**HYPER)
        found = train_hyperllm(split, **told, backbone=backbone, config=config, fit_config=limits, crew=crew)
    phases = {phase: [(e.terms, e.metrics) for e in report.epochs] for phase, report in found.reports.items()}
    return {"phases": phases, "points": np.concatenate([found.users, found.items])}


def trained_twice_as_precisely(workspace: Path, name: str, kind: str, crew: Any, epochs: int) -> dict[str, Any]:
    """The same of one phase in float64."""
    told, backbone = inputs(workspace, kind), BACKBONES[name]()
    world = World.of(told.pop("split"), **told, laid=lambda *edges, **more: doubled(crew.graph(*edges, **more)))
    config = HyperLLMConfig(**HYPER)
    with crew.together():
        framework: Framework
        if kind == "base":
            framework = Base(world, backbone, BaseConfig())
        elif kind == "phase 1":
            framework = SemanticExtraction(world, backbone, config)
        else:
            framework = Integration(world, backbone, config)
        report = crew.fit(framework.double(), FitConfig(epochs=epochs))
        points = crew.whole(framework.encode().points, lead=backbone.manifold.lead).numpy()
    return {"phases": {kind: [(e.terms, e.metrics) for e in report.epochs]}, "points": points}


def doubled(graph: Graph) -> Graph:
    return replace(graph, operator=graph.operator.double(), transposed=graph.transposed.double())


def stepped(workspace: Path, name: str, kind: str, crew: Any) -> dict[str, Any]:
    """Seconds of a step of the last phase, numbers that it hands over in sums, and those of the formula."""
    told = inputs(workspace, kind)
    world = World.of(told.pop("split"), **told, laid=crew.graph)
    with crew.together():
        framework: Framework
        if kind == "base":
            framework = Base(world, BACKBONES[name](), BaseConfig())
        else:
            framework = Integration(world, BACKBONES[name](), HyperLLMConfig(**{**HYPER, "variant": "structural"}))
        if not isinstance(crew, Alone):
            crew.prepare(framework)
        processes = 1 if isinstance(crew, Alone) else crew.grid.world.size
        batches = framework.batches(1)
        began = before = 0.0
        paper: list[int] = []
        for number in range(1 + TIMED):
            if number == 1:  # the first one warms up
                began, before = time.monotonic(), sums(crew)
            batch = next(batches)
            optimise(framework, batch, processes=processes)
            paper.append(on_paper(framework, batch))
        spent, numbers = (time.monotonic() - began) / TIMED, (sums(crew) - before) / TIMED
    return {"step_s": spent, "numbers": numbers, "formula": sum(paper[1:]) / TIMED}


def sums(crew: Any) -> int:
    return 0 if isinstance(crew, Alone) else crew.grid.traffic.payload_bytes["sum"] // 4


def on_paper(framework: Framework, batch: Any) -> int:
    graph, hgch = framework.world.graph, type(framework.backbone).__name__ == "HGCH"
    branches, rows, contrast = [Branch(graph.nodes, len(batch.user_item))], graph.nodes, 0
    if isinstance(framework, Integration) and framework.tags is not None:
        branches.append(Branch(framework.tags.graph.nodes, len(batch.tag)))
        rows += framework.tags.graph.left
        contrast = framework.tags.graph.right if batch.drawn is None else len(batch.drawn)
    maps = 2 + 2 * framework.backbone.config.layers if hgch else 1
    return Step(tuple(branches), rows, contrast, maps=maps).numbers()  # while no point is far out


def take_part(given: argparse.Namespace) -> None:
    """All runs in one of the processes that torchrun started, or alone; the first writes what it found."""
    from hyperllm.scale import launch
    from hyperllm.scale.crew import SpreadCrew

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64 if given.double else torch.float32)
    if "RANK" not in os.environ:
        return written(given, Alone())
    with launch.joined("cpu", given.replicas) as grid:
        written(given, SpreadCrew(grid, share_graph=given.replicas > 1))
    return None


def written(given: argparse.Namespace, crew: Any) -> None:
    out = given.out
    for name, kind in PHASES if given.double else RUNS:
        found = {"numbers": 0, "formula": 0, "step_s": 0.0}
        if given.double:
            found |= trained_twice_as_precisely(given.workspace, name, kind, crew, given.epochs)
        else:
            found |= trained(given.workspace, name, kind, crew, given.epochs)
            found |= stepped(given.workspace, name, kind, crew)
        if crew.leads:
            np.save(out.with_name(f"{out.name}-{name}-{kind}.npy"), found.pop("points"))
            out.with_name(f"{out.name}-{name}-{kind}.json").write_text(json.dumps(found))


def equal(given: argparse.Namespace) -> None:
    """Start the processes and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        for layout, (size, replicas) in LAYOUTS.items():
            words = [str(Path(__file__).resolve()), "part", "--workspace", str(given.workspace)]
            words += ["--epochs", str(given.epochs), "--out", f"{folder}/{layout}", "--replicas", str(replicas)]
            words += ["--double"] if given.double else []
            start = ["-m", "torch.distributed.run", "--nproc-per-node", str(size), "--"] if size > 1 else []
            subprocess.run([sys.executable, *start, *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        print("| backbone | kind | processes | loss term | metric | point | numbers a step | formula | s a step |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name, kind in PHASES if given.double else RUNS:
            one = loaded(Path(folder), "1", name, kind)
            for layout in LAYOUTS:
                print(row(name, kind, layout, loaded(Path(folder), layout, name, kind), one))


def on_ray(given: argparse.Namespace) -> None:
    """Train by the command, in this process and in workers of Ray, and print the table of losses, metrics, points."""
    with tempfile.TemporaryDirectory() as folder:
        shadow = Path(folder) / "shop"
        shadow.mkdir()
        for part in given.workspace.iterdir():
            if part.name != "runs" and not part.name.startswith("."):
                (shadow / part.name).symlink_to(part.resolve())
        print("| backbone | kind | workers | loss term | metric | point | s |")
        print("|---|---|---|---|---|---|---|")
        for name, kind in RUNS:
            one: dict[str, Any] = {}
            for layout, workers in ON_RAY.items():
                began = time.monotonic()
                found = by_command(shadow, name, kind, f"{name}-{kind}-{'-'.join(workers)}", workers, given.epochs)
                one = one or found
                far = " | ".join(f"{value:.1e}" for value in apart(found, one))
                print(f"| {name} | {kind} | {layout} | {far} | {time.monotonic() - began:.0f} |", flush=True)


def by_command(shop: Path, name: str, kind: str, run: str, workers: list[str], epochs: int) -> dict[str, Any]:
    words = [
        sys.executable,
        "-m",
        "hyperllm",
        "train",
        str(shop),
        "--backbone",
        name,
        "--framework",
        kind,
        "--run",
        run,
    ]
    settings = {"epochs": epochs, **(HYPER if kind == "hyperllm" else {})}
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run([*words, *workers], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    folder = shop / "runs" / run
    phases: dict[str, Any] = {}
    for path in sorted(folder.glob("history-*.parquet")):
        rows = pl.read_parquet(path).drop("epoch", "elapsed_s").to_dicts()
        phases[path.stem] = [terms_and_metrics(row) for row in rows]
    model = ScoreModel.load(folder / "model")
    return {"phases": phases, "points": np.concatenate(sides(model))}


def terms_and_metrics(row: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    losses = {key: value for key, value in row.items() if key.startswith("loss/")}
    return losses, {key: value for key, value in row.items() if key not in losses}


def loaded(folder: Path, layout: str, name: str, kind: str) -> dict[str, Any]:
    found = json.loads((folder / f"{layout}-{name}-{kind}.json").read_text())
    return {**found, "points": np.load(folder / f"{layout}-{name}-{kind}.npy")}


def row(name: str, kind: str, layout: str, found: dict[str, Any], one: dict[str, Any]) -> str:
    term, metric, point = apart(found, one)
    numbers = f"{found['numbers']:,.0f} | {found['formula']:,.0f}" if layout != "1" else "0 | 0"
    return (
        f"| {name} | {kind} | {layout} | {term:.1e} | {metric:.1e} | {point:.1e} | {numbers} | {found['step_s']:.3f} |"
    )


def apart(found: dict[str, Any], one: dict[str, Any]) -> tuple[float, float, float]:
    """Largest differences: of a loss term (relative), a metric, a coordinate."""
    term = metric = 0.0
    for phase, epochs in one["phases"].items():
        for (terms, metrics), (ours, measured) in zip(epochs, found["phases"][phase], strict=True):
            term = max(term, *(abs(ours[k] - v) / max(1e-6, abs(v)) for k, v in terms.items()))
            metric = max(metric, *(abs(measured[k] - v) for k, v in metrics.items()))
    return term, metric, float(np.abs(found["points"] - one["points"]).max())


def killed(given: argparse.Namespace) -> None:
    """Undisturbed, then with a worker lost halfway."""
    workspace, epochs = given.workspace, given.epochs
    options = [f"epochs={epochs}", f"patience={epochs}", "checkpoint_every_s=0", "meta_epochs=1", "experts=4"]
    words = [sys.executable, "-m", "hyperllm", "train", str(workspace), "--ray", "--workers", "2"]
    words += ["--replicas", "2", "--share-graph"] if given.share_graph else []
    for option in options:
        words += ["--set", option]
    for run, lose in (("undisturbed", False), ("disturbed", True)):
        began = time.monotonic()
        process = subprocess.Popen([*words, "--run", run])
        if lose:
            reached = lost_one(process, workspace / "runs" / f".{run}.partial", epochs // 2)
            print(f"a worker was killed after epoch {reached}")
        if process.wait():
            sys.exit(f"{run} ended with {process.returncode}")
        print(f"{run}: {time.monotonic() - began:.0f} s")
    one, other = (ScoreModel.load(workspace / "runs" / run / "model") for run in ("undisturbed", "disturbed"))
    apart = max(float(np.abs(a - b).max()) for a, b in zip(sides(one), sides(other), strict=True))
    print(f"vectors of the two runs are {apart:.1e} apart")


def sides(model: ScoreModel) -> tuple[Any, Any]:
    return np.asarray(model.user_vectors), np.asarray(model.item_vectors)


def lost_one(process: subprocess.Popen[bytes], work: Path, wanted: int) -> int:
    """Kill one of the training workers below ``process`` once so many epochs are kept."""
    while process.poll() is None:
        kept = artifacts.peek(work / ".checkpoint-phase2")
        reached = 0 if kept is None else len(kept.facts["epochs"])
        if reached >= wanted:
            worker = max(below(process.pid, "TrainWorker"))
            os.kill(worker, signal.SIGKILL)
            return reached
        time.sleep(0.1)
    sys.exit("training ended before a worker could be killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("equal", "ray", "killed", "part"), default="equal")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--share-graph", action="store_true", help="for killed: two replicas that share the graph")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replicas", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    {"equal": equal, "ray": on_ray, "killed": killed, "part": take_part}[given.what](given)


if __name__ == "__main__":
    main()
