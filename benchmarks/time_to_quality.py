"""Time to the published quality, against the published way: `make bench WHAT=time_to_quality`.

On Beauty, from the published phase-1 vectors: seconds of training and validating with the defaults until the sum of
Recall@10, Recall@20, NDCG@10 and NDCG@20 on the validation part reaches .4687, the published best. The published code
needs 79 epochs of 18 steps and an evaluation for it; a step and an evaluation written plainly are timed in the same
run. $HYPERLLM_DATA is the folder with the data.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import suppress
from pathlib import Path

import plain
import torch
from worlds import seconds, table

from hyperllm.backbones import HGCF
from hyperllm.config import build, parse_assignments
from hyperllm.data.sources.published import read_published
from hyperllm.data.split import Split
from hyperllm.frameworks import HyperLLMConfig, Integration
from hyperllm.frameworks.base import held_out_metrics
from hyperllm.frameworks.phase1 import Phase1Vectors
from hyperllm.frameworks.world import World
from hyperllm.training.allocator import keep_freed_memory
from hyperllm.training.loop import FitConfig, fit
from hyperllm.training.report import Epoch, FitReport

WANTED, PUBLISHED_EPOCHS, PUBLISHED_STEPS = 0.4687, 79, 18


class Reached(Exception):
    """The wanted quality is there."""


def main() -> None:
    """Print the table; ``KEY=VALUE`` arguments are settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    folder = Path(os.environ["HYPERLLM_DATA"]) / "amazon-beauty"
    raw = read_published(folder)
    split = raw.interactions
    assert isinstance(split, Split)
    backbone, config, limits = build((HGCF.config_class, HyperLLMConfig, FitConfig), parse_assignments(chosen.settings))
    vectors = Phase1Vectors.load(folder / "phase1_published.npz", users=split.users, items=split.items)
    world = World.of(split, tags=raw.tags)

    def model() -> Integration:
        start = vectors.start(user_radius=config.user_radius, item_radius=config.item_radius)
        return Integration(world, HGCF(backbone), config, start=start, seed=chosen.seed)

    def plain_validation() -> dict[str, float]:
        with torch.no_grad():
            points = plain.encode(plain.to_tangent(reference.nodes.weight.detach()), operator)
        top = plain.evaluation(points[: world.users], points[world.users :], world.seen(), 20)
        return held_out_metrics(top.numpy(), world)

    reference, operator = model(), plain.coo(world.graph)
    step, validation = seconds(plain.step_of(reference), repeats=5), seconds(plain_validation, repeats=2)
    published = PUBLISHED_EPOCHS * (PUBLISHED_STEPS * step + validation)

    def watch(epoch: Epoch, report: FitReport) -> None:
        del report
        curve.append((epoch.selection, time.perf_counter() - began))
        if epoch.selection >= WANTED:
            raise Reached

    keep_freed_memory()  # as training does; the plain step was timed without
    curve: list[tuple[float, float]] = []
    began = time.perf_counter()
    with suppress(Reached):
        fit(model(), limits, on_epoch=[watch])
    quality, spent = curve[-1]
    rows = [("plain, as published", PUBLISHED_EPOCHS, published, WANTED), ("ours", len(curve), spent, quality)]
    print(f"{torch.get_num_threads()} threads, seed {chosen.seed}")
    table(
        ["", "epochs", "s an epoch", "s", "validation sum", "times less"],
        [
            [name, f"{epochs}", f"{s / epochs:.2f}", f"{s:.1f}", f"{reached:.4f}", f"{published / s:.0f}"]
            for name, epochs, s, reached in rows
        ],
    )
    print(f"a plain step {step:.2f} s, a plain evaluation {validation:.2f} s")
    if quality < WANTED:
        raise SystemExit(f"{WANTED} was not reached")


if __name__ == "__main__":
    main()
