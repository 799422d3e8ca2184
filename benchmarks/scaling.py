"""How time and memory grow with the graph: `make bench WHAT=scaling`.

Generated power-law shops of 10⁵ to 10⁷ interactions, a batch of 1/200 of them, every size in a process of its own so
that its peak memory is its own. An edge is a stored number of one propagation operator. The training set itself is
made before the peak is taken as a base. `--most 6` stops at 10⁶.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from worlds import shop, table

from hyperllm.backbones import HGCF
from hyperllm.frameworks import HyperLLMConfig, Integration
from hyperllm.frameworks.world import World
from hyperllm.training.ahead import ahead
from hyperllm.training.allocator import keep_freed_memory
from hyperllm.training.average import WeightAverage

STEPS_A_PASS = 200


def peak_mb() -> float:
    """Most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(interactions: int, steps: int) -> dict[str, float]:
    """Train a few steps; seconds a step, and memory the model and its steps add to the training set."""
    items = interactions // 16
    split, tags = shop(users=interactions // 8, items=items, interactions=interactions, tags=items)
    before = peak_mb()
    world = World.of(split, tags=tags)
    config = HyperLLMConfig(variant="structural", batch_size=len(world.train) // STEPS_A_PASS)
    framework = Integration(world, HGCF(), config)
    assert framework.tags is not None
    edges = sum(g.operator.values().numel() for g in (world.graph, framework.tags.graph))
    average = WeightAverage(framework, decay=0.99)
    times: list[float] = []
    began = time.perf_counter()
    keep_freed_memory()
    batches = ahead(framework.batches(1))
    for _ in range(steps):
        batch = next(batches)
        for optimizer in framework.optimizers:
            optimizer.zero_grad()
        sum(framework.losses(batch).values()).backward()  # type: ignore[union-attr]
        for optimizer in framework.optimizers:
            optimizer.step()
        average.update()
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    batches.close()
    return {
        "interactions": len(world.train),
        "edges": edges,
        "step_s": sorted(times[1:])[len(times[1:]) // 2],
        "extra_mb": peak_mb() - before,
        "peak_mb": peak_mb(),
    }


def main() -> None:
    """Print the table; each size runs in a child process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", type=int)
    parser.add_argument("--most", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(chosen.one, steps=12)))
        return
    found = []
    for power in range(5, chosen.most + 1):
        out = subprocess.run([sys.executable, __file__, "--one", str(10**power)], check=True, capture_output=True)
        found.append(json.loads(out.stdout))
    print(f"full model without text, 50 dims, {torch.get_num_threads()} threads, {STEPS_A_PASS} steps a pass")
    first = found[0]
    table(
        ["interactions", "edges", "s a step", "ns a step and edge", "ratio", "peak B an edge", "ratio", "s a pass"],
        [
            [
                f"{r['interactions']:,}",
                f"{r['edges']:,}",
                f"{r['step_s']:.3f}",
                f"{1e9 * r['step_s'] / r['edges']:.0f}",
                f"{r['step_s'] / r['edges'] / (first['step_s'] / first['edges']):.2f}",
                f"{2**20 * r['peak_mb'] / r['edges']:.0f}",
                f"{r['peak_mb'] / r['edges'] / (first['peak_mb'] / first['edges']):.2f}",
                f"{STEPS_A_PASS * r['step_s']:.0f}",
            ]
            for r in found
        ],
    )


if __name__ == "__main__":
    main()
