"""The contract of a framework, and the plain one.

A framework decides which node features go into a backbone (`features`, the input seam) and which extra terms come out
(`extra_losses`, the output seam). It knows no geometry. Shapes: n = u + i nodes, d dims.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm.backbones.base import Backbone, Encoded
from hyperllm.errors import DataError
from hyperllm.evaluation.metrics import METRICS
from hyperllm.frameworks.config import BaseConfig
from hyperllm.frameworks.inputs import NodeTable, uniform_start
from hyperllm.frameworks.world import World
from hyperllm.geometry import ranking
from hyperllm.geometry.optim import RiemannianAdam, RiemannianSGD
from hyperllm.graph import Triplets, sent
from hyperllm.training.compat import CompatSampler
from hyperllm.training.sampling import PositivePairs, TripletSampler
from hyperllm.training.streams import Streams

CUTOFFS = (10, 20)


@dataclass(frozen=True)
class Batch:
    """One step's work in a 1-based epoch: user–item triplets, and what a framework adds.

    ``tag`` are the tag branch's triplets, ``drawn`` the rows an extra term takes: items of Eq. 16, masked nodes; None
    without, or for all.
    """

    epoch: int
    user_item: Triplets
    tag: Triplets | None = None
    drawn: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same work on another device."""
        tag = None if self.tag is None else self.tag.to(device)
        return Batch(self.epoch, self.user_item.to(device), tag, sent(self.drawn, device))


class Framework(nn.Module):
    """Trains ``backbone`` on ``world``; subclasses fill the two seams."""

    config_class: ClassVar[type[BaseConfig]] = BaseConfig
    uses_text: ClassVar[bool] = False
    """Whether the world must have text vectors."""

    def __init__(self, world: World, backbone: Backbone, config: BaseConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.world, self.backbone, self.config = world, deepcopy(backbone), config
        self.streams = Streams(seed)
        self.backbone.start(self.streams.torch("backbone"))
        self.margin: float = config.margin
        self.optimizers: Sequence[Optimizer] = ()
        self._seen = world.seen()
        pairs = PositivePairs(world.train, world.items, 0, world.users)
        self.steps = math.ceil(len(pairs) / config.batch_size)
        self._sampler: TripletSampler = TripletSampler(pairs, negatives=config.negatives)
        if not len(self._sampler):
            raise DataError("every user has every item: there is nothing to rank against")
        if config.compat:
            self.steps = len(pairs) // config.batch_size + 1
            self._sampler = CompatSampler(
                pairs, batch_size=config.batch_size, streams=self.streams, name="user-item", negatives=config.negatives
            )

    @property
    def module(self) -> nn.Module:
        """What is checkpointed."""
        return self

    def features(self) -> Tensor:
        """Tangent vectors (n, d) of all users, then all items."""
        raise NotImplementedError

    def training_features(self, batch: Batch) -> Tensor:
        """What goes in at a step, where that differs from `features`."""
        del batch
        return self.features()

    def extra_losses(self, x: Tensor, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Named, weighted terms beside the backbone's own; ``x`` are the features that were encoded."""
        del x, encoded, batch
        return {}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """All terms of one step (Eqs. 11, 13); a backbone that drops edges drops the same ones all through an epoch."""
        x = self.training_features(batch)
        encoded = self.backbone(x, self.world.graph, train=True, rng=self.streams.torch("views", batch.epoch))
        return {**self.ranking_losses(encoded, batch.user_item), **self.extra_losses(x, encoded, batch)}

    def ranking_losses(self, encoded: Encoded, triplets: Triplets) -> dict[str, Tensor]:
        """The backbone's terms of user–item triplets; ``rank`` among them by the rule that the config names."""
        backbone, config = self.backbone, self.config
        terms = backbone.losses(encoded, triplets, margin=self.margin)
        if config.ranking == "softmax":
            temperature, negatives = config.softmax_temperature, min(config.softmax_negatives, self.world.items)
            value = backbone.softmax(encoded.points, triplets, temperature=temperature, negatives=negatives)
            terms["rank"] = value * (backbone.batch_weight(triplets) / len(triplets.anchor))
        return terms

    @torch.no_grad()
    def encode(self) -> Encoded:
        """The finished view of the current features."""
        return self.backbone(self.features(), self.world.graph)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The epoch's batches, on the device."""
        for batch in self.drawn(epoch):
            yield batch.to(self.world.device)

    def drawn(self, epoch: int) -> Iterator[Batch]:
        """The epoch's batches, where they were drawn."""
        for triplets in epoch_of(self._sampler, epoch, self.steps, self.streams, "user-item"):
            yield Batch(epoch, triplets)

    def points(self) -> tuple[Tensor, Tensor]:
        """Final points of users (u, d+1) and items (i, d+1)."""
        points = self.encode().points
        return points[: self.world.users], points[self.world.users :]

    def validate(self) -> dict[str, float]:
        """Recall and NDCG at 10 and 20 on the validation pairs, training items masked; also the saturated share."""
        encoded = self.encode()
        users, items = encoded.points[: self.world.users], encoded.points[self.world.users :]
        queries, k = self.backbone.manifold.queries(users), min(max(CUTOFFS), len(items))
        top = ranking.topk(queries, items, k, seen=self._seen, lead=self.backbone.manifold.lead).cpu().numpy()
        return {**held_out_metrics(top, self.world), "saturated": float(self.backbone.saturated(encoded))}


class Base(Framework):
    """The backbone alone on free node tables."""

    def __init__(self, world: World, backbone: Backbone, config: BaseConfig, *, seed: int = 0) -> None:
        super().__init__(world, backbone, config, seed=seed)
        self.nodes = NodeTable(self.start(), manifold=config.parametrisation == "manifold").to(world.device)
        self.optimizers = [table_optimizer([self.nodes.weight], config), *backbone_optimizers(self.backbone, config)]

    def start(self) -> Tensor:
        """Tangent vectors (n, d) where the tables begin: noise."""
        generator, config = self.streams.torch("init"), self.config
        return uniform_start(self.world.graph.nodes, config.dim, scale=config.init_scale, generator=generator)

    def learning(self, modules: nn.Module, rate: float) -> None:
        """Train Euclidean ``modules`` along with the tables, by Adam."""
        modules.to(self.world.device)
        self.optimizers = [*self.optimizers, torch.optim.Adam(modules.parameters(), lr=rate)]

    def features(self) -> Tensor:
        """The table."""
        return self.nodes()


def epoch_of(sampler: TripletSampler, epoch: int, steps: int, streams: Streams, name: str) -> Iterator[Triplets]:
    """One epoch of a sampler in ``steps`` batches, from the named stream."""
    if isinstance(sampler, CompatSampler):
        return sampler.steps((epoch - 1) * steps, steps)
    return sampler.epoch(streams.numpy(name, epoch), steps=steps)


def table_optimizer(parameters: Sequence[nn.Parameter], config: BaseConfig) -> Optimizer:
    """The rule the config names; points of a manifold get its Riemannian form."""
    if config.parametrisation == "manifold":
        if config.optimizer == "adam":
            return RiemannianAdam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        return RiemannianSGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            raw_first_step=config.compat,
        )
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def backbone_optimizers(backbone: Backbone, config: BaseConfig) -> list[Optimizer]:
    """Adam at the tables' step size over the backbone's own weights; none where it has none."""
    weights = list(backbone.parameters())
    return [torch.optim.Adam(weights, lr=config.learning_rate)] if weights else []


def held_out_metrics(top: np.ndarray, world: World) -> dict[str, float]:
    """Mean recall and NDCG at 10 and 20 of ranked item rows (u, k) over users with a validation item."""
    relevant = np.bincount(world.valid[:, 0], minlength=world.users)
    keys = np.sort(world.valid[:, 0] * world.items + world.valid[:, 1])
    wanted = np.arange(world.users)[:, None] * world.items + top
    place = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    hits = keys[place] == wanted if len(keys) else np.zeros_like(wanted, dtype=bool)
    judged = relevant > 0
    return {
        f"{name}@{k}": float(METRICS[name](hits[judged][:, :k], relevant[judged]).mean()) if judged.any() else 0.0
        for k in CUTOFFS
        for name in ("recall", "ndcg")
    }
