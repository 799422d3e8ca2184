"""What the benchmarks train on: generated shops of a wanted size, and timing shared by all tables."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.frameworks import Base, Integration
from hyperllm.frameworks.base import Batch, Framework
from hyperllm.ids import Rows, Vocabulary
from hyperllm.training.average import WeightAverage

BEAUTY = {"users": 10_553, "items": 6_086, "interactions": 70_614, "tags": 6_418}


def power_law(size: int, count: int, rng: np.random.Generator, *, exponent: float = 0.7) -> Rows:
    """``count`` rows below ``size``, row r with probability ∝ (r + 1)^−exponent, by inverting the continuous law."""
    top = (size + 1.0) ** (1 - exponent) - 1
    drawn = (1 + top * rng.random(count)) ** (1 / (1 - exponent)) - 1
    return np.minimum(drawn.astype(np.int64), size - 1)


def distinct(left: Rows, right: Rows, count: int, rng: np.random.Generator) -> Rows:
    """``count`` of the distinct pairs (m, 2), or all if there are fewer."""
    keys = np.unique(left * (right.max() + 1) + right)
    keys = np.sort(rng.permutation(keys)[:count])
    return np.stack(np.divmod(keys, right.max() + 1), axis=1)


def shop(*, users: int, items: int, interactions: int, tags: int, seed: int = 0) -> tuple[Split, TagGraph]:
    """Power-law clicks on users and items, eight tags an item and two and a half tag–tag edges a tag."""
    rng = np.random.default_rng(seed)

    def pairs(left: int, right: int, count: int) -> Rows:
        drawn = int(1.3 * count)
        shuffled = rng.permutation(left)  # who is active has nothing to do with a row number
        return distinct(shuffled[power_law(left, drawn, rng)], power_law(right, drawn, rng), count, rng)

    clicks = pairs(users, items, interactions)
    held_out = Pairs(np.arange(users), rng.integers(items, size=users))
    split = Split(ids(users), ids(items), Pairs(clicks[:, 0], clicks[:, 1]), held_out, held_out)
    edges = rng.integers(tags, size=(5 * tags // 2, 2))
    edges = edges[edges[:, 0] != edges[:, 1]]
    graph = TagGraph(
        ids(tags), split.items, ids(tags).ids, np.full(tags, -1), pairs(tags, items, 8 * items), edges, directed=False
    )
    return split, graph


def ids(size: int) -> Vocabulary:
    """``size`` ids."""
    return Vocabulary(tuple(str(k) for k in range(size)))


def resident_mb() -> float:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb(*, forget: bool = False) -> float:
    """The most that the process held since it began, or since the peak was last forgotten."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    if forget:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return found


def below(root: int, words: str) -> list[int]:
    """The descendants of a process whose command line has these words; Ray writes there what a worker does."""
    parent: dict[int, int] = {}
    named: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if words.encode() in (folder / "cmdline").read_bytes():
                named.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue

    def ours(pid: int) -> bool:
        while pid > 1 and pid != root:
            pid = parent.get(pid, 0)
        return pid == root

    return [pid for pid in named if ours(pid)]


def seconds(work: Callable[[], object], *, repeats: int = 5) -> float:
    """Median seconds of one call, after one to warm up."""
    work()
    times: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def optimise(framework: Framework, batch: Batch, *, processes: int = 1) -> None:
    """One optimisation step, in one of so many processes, each of which answers for its share of the loss."""
    for optimizer in framework.optimizers:
        optimizer.zero_grad()
    (torch.stack(list(framework.losses(batch).values())).sum() / processes).backward()
    for optimizer in framework.optimizers:
        optimizer.step()


def stepper(framework: Base | Integration) -> Callable[[Batch], None]:
    """The same with the weight average."""
    average = WeightAverage(framework, decay=0.99)

    def step(batch: Batch) -> None:
        optimise(framework, batch)
        average.update()

    return step


def step_of(framework: Base | Integration) -> Callable[[], None]:
    """The same step again and again, on the first batch."""
    step, batch = stepper(framework), next(iter(framework.batches(1)))
    return lambda: step(batch)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the first flush left, the others flush right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        cells = [c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells), flush=True)
