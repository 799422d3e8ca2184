"""Cost of one training step, as ratios taken in one run: `make bench WHAT=step`.

A catalogue of Beauty's size is drawn at random; times are medians over a few repetitions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.frameworks import Base, BaseConfig, HyperLLMConfig, Integration
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.ids import Vocabulary
from hyperllm.losses.contrastive import contrastive, contrastive_plain

USERS, ITEMS, TAGS, PAIRS, TAG_ITEMS, TAG_TAGS = 10_553, 6_086, 6_418, 70_614, 51_396, 16_739
REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """Median seconds of one call, after one to warm up."""
    work()
    times: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def world() -> World:
    """Random pairs of Beauty's size."""
    rng = np.random.default_rng(0)

    def vocabulary(size: int) -> Vocabulary:
        return Vocabulary(tuple(str(k) for k in range(size)))

    def edges(left: int, right: int, count: int) -> np.ndarray:
        return np.unique(np.stack([rng.integers(left, size=count), rng.integers(right, size=count)], axis=1), axis=0)

    clicks = edges(USERS, ITEMS, PAIRS)
    pairs = Pairs(clicks[:, 0], clicks[:, 1])
    split = Split(vocabulary(USERS), vocabulary(ITEMS), pairs, Pairs(pairs.user[:9], pairs.item[:9]), pairs)
    tags = TagGraph(
        vocabulary(TAGS),
        split.items,
        vocabulary(TAGS).ids,
        np.full(TAGS, -1),
        edges(TAGS, ITEMS, TAG_ITEMS),
        edges(TAGS, TAGS, TAG_TAGS),
        directed=False,
    )
    return World.of(split, tags=tags)


def step_of(framework: Base | Integration) -> Callable[[], None]:
    """One optimisation step on a fixed batch."""
    batch = next(iter(framework.batches(1)))

    def step() -> None:
        for optimizer in framework.optimizers:
            optimizer.zero_grad()
        sum(framework.losses(batch).values()).backward()  # type: ignore[union-attr]
        for optimizer in framework.optimizers:
            optimizer.step()

    return step


def main() -> None:
    """Print the table."""
    scene, dim = world(), 50
    points = [lorentz.expmap0(0.2 * torch.randn(ITEMS, dim)).requires_grad_() for _ in range(2)]
    a, b = (p.detach() for p in points)

    def products() -> None:
        (a @ b.T) @ b
        (b @ a.T) @ a  # four products of this shape; three are needed

    def backward(term: Callable[..., torch.Tensor], **options: object) -> Callable[[], object]:
        return lambda: torch.autograd.grad(term(*points, temperature=0.5, **options), points)

    def phase2(**settings: object) -> Callable[[], None]:
        config = HyperLLMConfig(variant="full", **settings)  # type: ignore[arg-type]
        start = 0.1 * torch.randn(scene.graph.nodes, dim)
        return step_of(Integration(scene, HGCF(), config, start=start))

    rows = {
        "three item x item products": lambda: None,
        "contrastive, plain": backward(contrastive_plain),
        "contrastive, fused": backward(contrastive),
        "contrastive, fused, 1024 anchors": backward(contrastive, anchors=torch.arange(1024)),
        "step, base, tangent tables": step_of(Base(scene, HGCF(), BaseConfig())),
        "step, base, manifold tables": step_of(Base(scene, HGCF(), BaseConfig(parametrisation="manifold"))),
        "step, full, all anchors": phase2(contrast_anchors=None),
        "step, full, 1024 anchors": phase2(contrast_anchors=1024),
        "step, full, manifold, 1024 anchors": phase2(contrast_anchors=1024, parametrisation="manifold"),
    }
    unit = 0.75 * seconds(products)
    print(f"{ITEMS:,} items, {dim} dims, {torch.get_num_threads()} threads")
    for name, work in rows.items():
        spent = unit if name == "three item x item products" else seconds(work)
        print(f"{name:40} {spent:8.3f} s {spent / unit:8.1f}x")


if __name__ == "__main__":
    main()
