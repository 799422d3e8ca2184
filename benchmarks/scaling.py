"""How time and memory grow with the graph: `make bench WHAT=scaling`.

Generated power-law shops of 10⁵ to 10⁷ interactions, a batch of 1/200 of them, every size in a process of its own. An
edge is a stored number of one propagation operator. Memory is what graphs, tables and steps add at their peak to what
the process held when the shop was there (Python, torch and the shop itself). `ratio` is to the row above, `in all` to
the first. `--most 6` stops at 10⁶.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from worlds import resident_mb, shop, stepper, table

from hyperllm.backbones import HGCF
from hyperllm.frameworks import HyperLLMConfig, Integration
from hyperllm.frameworks.world import World
from hyperllm.training.ahead import ahead
from hyperllm.training.allocator import keep_freed_memory

STEPS_A_PASS = 200


def peak_mb() -> float:
    """Most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(interactions: int, steps: int) -> dict[str, float]:
    """Train a few steps; seconds a step, and memory the model and its steps add to the training set."""
    keep_freed_memory()
    items = interactions // 16
    split, tags = shop(users=interactions // 8, items=items, interactions=interactions, tags=items)
    before = resident_mb()
    world = World.of(split, tags=tags)
    config = HyperLLMConfig(variant="structural", batch_size=len(world.train) // STEPS_A_PASS)
    framework = Integration(world, HGCF(), config)
    assert framework.tags is not None
    edges = sum(g.operator.values().numel() for g in (world.graph, framework.tags.graph))
    step = stepper(framework)
    times: list[float] = []
    began = time.perf_counter()
    batches = ahead(framework.batches(1))
    for _ in range(steps):
        step(next(batches))
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    batches.close()
    return {
        "interactions": len(world.train),
        "edges": edges,
        "step_s": sorted(times[1:])[len(times[1:]) // 2],
        "extra_mb": peak_mb() - before,
    }


def main() -> None:
    """Print the table; each size runs in a child process."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    rows = []
    for r, above in zip(found, [found[0], *found], strict=False):
        cells = [f"{r['interactions']:,}", f"{r['edges']:,}", f"{r['step_s']:.3f}", f"{STEPS_A_PASS * r['step_s']:.0f}"]
        for figure, unit in (("step_s", 1e9), ("extra_mb", 2**20)):
            each = [unit * x[figure] / x["edges"] for x in (r, above, found[0])]
            cells += [f"{each[0]:.0f}", f"{each[0] / each[1]:.2f}", f"{each[0] / each[2]:.2f}"]
        rows.append(cells)
    head = ["interactions", "edges", "s a step", "s a pass", "ns a step and edge", "ratio", "in all"]
    table([*head, "B an edge", "ratio", "in all"], rows)


if __name__ == "__main__":
    main()
