"""How much a training step holds: the arithmetic of docs/performance.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.frameworks import HyperLLMConfig, Integration
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.ids import Vocabulary
from hyperllm.losses.contrastive import contrastive, contrastive_plain
from hyperllm.testing import peak_bytes

TABLES_HELD = 4.5


def ids(size: int) -> Vocabulary:
    return Vocabulary(tuple(str(k) for k in range(size)))


def framework(users: int, items: int, tags: int) -> Integration:
    rng = np.random.default_rng(0)
    clicks = np.unique(rng.integers([users, items], size=(8 * users, 2)), axis=0)
    pairs = Pairs(clicks[:, 0], clicks[:, 1])
    split = Split(ids(users), ids(items), pairs, pairs, pairs)
    tag_items = np.unique(rng.integers([tags, items], size=(8 * items, 2)), axis=0)
    graph = TagGraph(ids(tags), split.items, ids(tags).ids, np.full(tags, -1), tag_items, tag_items[:0], directed=False)
    config = HyperLLMConfig(variant="structural", batch_size=len(clicks) // 200, contrast="sampled", contrast_sample=64)
    return Integration(World.of(split, tags=graph), HGCF(), config)


@pytest.mark.parametrize("size", [1, 4])
def test_a_step_holds_four_and_a_half_tables_beside_the_model(size: int) -> None:
    model = framework(2000 * size, 1000 * size, 1000 * size)
    batch = next(iter(model.batches(1)))
    assert model.tags is not None
    nodes = model.world.graph.nodes + model.tags.graph.nodes

    def step() -> None:
        for optimizer in model.optimizers:
            optimizer.zero_grad()
        torch.stack(list(model.losses(batch).values())).sum().backward()
        for optimizer in model.optimizers:
            optimizer.step()

    step()
    table = 4 * nodes * (model.config.dim + 1)
    assert 2 * table < peak_bytes(step) < TABLES_HELD * table


def test_the_contrastive_term_holds_less_than_a_quarter_of_the_plain_ones_memory() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = (lorentz.expmap0(0.2 * torch.randn(3000, 20, generator=rng)).requires_grad_() for _ in range(2))
    ours = peak_bytes(lambda: contrastive(a, b, temperature=0.5).backward())
    plain = peak_bytes(lambda: contrastive_plain(a, b, temperature=0.5).backward())
    assert plain > 4 * 3000**2
    assert ours < plain / 4
