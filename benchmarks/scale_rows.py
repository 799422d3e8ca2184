"""A graph in several processes: whole in each, or its rows shared out: `make bench WHAT=scale_rows`.

Under torchrun, HGCF base on a generated shop: what a process holds of the graph, its peak while the graph is laid out
and while it trains, a step's time, and what a step hands over, counted and by the formula. `crew × replicas` says who
shares what; with `1 at once` all columns go together, so nothing overlaps. Peaks are what a process holds beyond the
libraries and the split it has read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from worlds import ids, optimise, peak_mb, resident_mb, shop

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.frameworks import Base, BaseConfig
from hyperllm.frameworks.crew import Alone
from hyperllm.frameworks.world import World
from hyperllm.graph import Graph
from hyperllm.scale.cost import Branch, Step

LAYOUTS = (
    (1, 1, False, 1),
    (2, 1, False, 1),
    (1, 2, False, 1),
    (1, 2, True, 4),
    (1, 2, True, 1),
    (2, 2, False, 1),
    (2, 2, True, 4),
    (1, 4, True, 4),
)
TIMED = 3  # steps
HELD = ("graph", "laid", "trained")


def held(graph: Graph) -> int:
    """Bytes of an operator and its transpose; numbers that both refer to count once."""
    parts = [
        part for m in (graph.operator, graph.transposed) for part in (m.crow_indices(), m.col_indices(), m.values())
    ]
    return sum({part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}.values())


def measured(crew: Any, given: argparse.Namespace) -> dict[str, float]:
    pairs, held_out = np.load(given.pairs), Pairs(np.arange(given.users), np.arange(given.users) % given.items)
    split = Split(ids(given.users), ids(given.items), Pairs(pairs[:, 0], pairs[:, 1]), held_out, held_out)
    before_mb, _ = resident_mb(), peak_mb(forget=True)
    world = World.of(split, laid=crew.graph)
    laid_mb = peak_mb(forget=True) - before_mb
    with crew.together():
        framework = Base(world, HGCF(), BaseConfig(dim=given.dim, batch_size=given.batch))
        processes, grid = (1, None) if isinstance(crew, Alone) else (crew.grid.world.size, crew.grid)
        if grid is not None:
            crew.prepare(framework)
        batches, began, before = framework.batches(1), 0.0, 0
        for number in range(1 + TIMED):
            if number == 1:  # the first one warms up
                began, before = time.monotonic(), sent(grid)
            optimise(framework, next(batches), processes=processes)
        step_s, rows = (time.monotonic() - began) / TIMED, (sent(grid) - before) / TIMED
        own = crew.columns.own(torch.empty(1, given.dim)).shape[1] if grid is not None else given.dim
    paper = Step((Branch(world.graph.nodes, given.batch),), world.graph.nodes).rows_shared(own, HGCF().config.layers)
    mb = {"graph": held(world.graph) / 1e6, "laid": laid_mb, "trained": peak_mb() - before_mb}
    return {**mb, "step_s": step_s, "rows": rows, "paper": paper if type(world.graph) is not Graph else 0}


def sent(grid: Any) -> int:
    return 0 if grid is None else grid.traffic.payload_bytes["rows"] // 4


def take_part(given: argparse.Namespace) -> None:
    """One of the processes; the first writes what it found, with the largest peaks of all."""
    import torch.distributed as dist

    from hyperllm.scale import launch, rows
    from hyperllm.scale.crew import SpreadCrew

    torch.set_num_threads(1)
    rows.AT_ONCE = given.at_once
    if "RANK" not in os.environ:
        given.out.write_text(json.dumps(measured(Alone(), given)))
        return
    with launch.joined("cpu", given.replicas) as grid:
        found = measured(SpreadCrew(grid, share_graph=given.share), given)
        most = torch.tensor([found[what] for what in HELD], dtype=torch.float64)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        if grid.world.rank == 0:
            given.out.write_text(json.dumps({**found, **dict(zip(HELD, most.tolist(), strict=True))}))


def run(given: argparse.Namespace, crew: int, replicas: int, share: bool, at_once: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        words = [str(Path(__file__).resolve()), "--part", "--replicas", str(replicas), "--at-once", str(at_once)]
        for name in ("users", "items", "pairs", "dim", "batch"):
            words += [f"--{name}", str(getattr(given, name))]
        words += ["--out", f"{folder}/found", *(["--share"] if share else [])]
        size = crew * replicas
        start = ["-m", "torch.distributed.run", "--nproc-per-node", str(size), "--"] if size > 1 else []
        subprocess.run([sys.executable, *start, *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return json.loads(Path(f"{folder}/found").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--batch", type=int, default=10_000)
    for hidden, kind in (("--out", Path), ("--pairs", Path), ("--replicas", int), ("--at-once", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    for hidden in ("--part", "--share"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        take_part(given)
        return
    split, _ = shop(users=given.users, items=given.items, interactions=given.interactions, tags=2)
    with tempfile.TemporaryDirectory() as folder:
        given.pairs = Path(folder) / "pairs.npy"
        np.save(given.pairs, np.stack([split.train.user, split.train.item], axis=1))
        print("| crew × replicas | graph | of it held | laid out | trained | a step | rows handed over | formula |")
        print("|---|---|---|---|---|---|---|---|")
        for layout in LAYOUTS:
            print(row(*layout, run(given, *layout)), flush=True)


def row(crew: int, replicas: int, share: bool, at_once: int, found: dict[str, float]) -> str:
    graph, laid, trained = (f"{found[what]:,.0f} MB" for what in HELD)
    how = "whole" if not share else f"shared, {at_once} at once"
    counted = f"{found['rows']:,.0f} | {found['paper']:,.0f}"
    return f"| {crew} × {replicas} | {how} | {graph} | {laid} | {trained} | {found['step_s']:.2f} s | {counted} |"


if __name__ == "__main__":
    main()
