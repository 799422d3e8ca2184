"""What the tests of the rivals share: small settings, a suite to inherit, and a world whose texts all differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from hyperllm.backbones import HGCF, HGCH
from hyperllm.backbones.base import Backbone, Encoded
from hyperllm.backbones.hgch import HGCHConfig
from hyperllm.frameworks import BaseConfig, Framework
from hyperllm.frameworks.base import Batch
from hyperllm.frameworks.world import World
from hyperllm.testing.framework import FrameworkContract
from hyperllm.testing.framework import world as small_world

SMALL: dict[str, Any] = {"dim": 6, "batch_size": 200, "learning_rate": 0.01, "margin": 1.0}


class RivalContract(FrameworkContract):
    base = BaseConfig(**SMALL)
    kind: type[Framework]
    told: BaseConfig
    off: BaseConfig | None = None
    backbone: type[Backbone] = HGCF

    def build(self, world: World, *, seed: int) -> Framework:
        return self.kind(world, self.backbone(), self.told, seed=seed)

    def neutral(self, world: World, *, seed: int) -> Framework | None:
        return None if self.off is None else self.kind(world, HGCF(), self.off, seed=seed)


def by_mean() -> HGCH:
    """A backbone whose ranking loss is a mean, where the others' are sums over the batch."""
    return HGCH(HGCHConfig(reduction="mean_active"))


def told_world() -> World:
    """The suite's world, each node with a text vector of its own that says nothing about the others'."""
    world, rng = small_world(), np.random.default_rng(0)
    users, items = (
        (rng.standard_normal((n, 8)) + middle).astype(np.float32) for n, middle in ((world.users, -1), (world.items, 1))
    )
    return with_texts(world, users, items)


def with_texts(world: World, users: np.ndarray, items: np.ndarray) -> World:
    """``world`` with other text vectors."""
    assert world.semantics is not None
    return replace(world, semantics=replace(world.semantics, user_vectors=users, item_vectors=items))


def texts_of(world: World) -> tuple[Tensor, Tensor]:
    """Text vectors of users and of items."""
    assert world.semantics is not None
    return torch.from_numpy(world.semantics.user_vectors), torch.from_numpy(world.semantics.item_vectors)


def first_step(framework: Framework) -> tuple[Batch, Encoded, dict[str, Tensor]]:
    """The first batch, what the backbone makes of it, and the losses."""
    batch = next(iter(framework.batches(1)))
    x, rng = framework.training_features(batch), framework.streams.torch("views", batch.epoch)
    encoded = framework.backbone(x, framework.world.graph, train=True, rng=rng)
    return batch, encoded, framework.losses(batch)


def found_among(rows: Tensor, candidates: Tensor, own: Tensor, temperature: float) -> Tensor:
    """InfoNCE on cosines by its definition, a mean over ``rows``."""
    return cross_entropy(normalize(rows) @ normalize(candidates).T / temperature, own)
