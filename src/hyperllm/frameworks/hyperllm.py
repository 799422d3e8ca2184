"""HyperLLM: semantic extraction (phase 1, §4.2), then structural and semantic integration (phase 2, §4.3).

Both phases are frameworks over one backbone. Phase 1 trains a Mixture of Experts over frozen text vectors through the
backbone with margin m₁. Phase 2 starts the node tables from its output, adds the tag graph with margin m₃ and aligns
the two views of every item. Shapes: u users, i items, t tags, d dims, d₁ text dims.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hyperllm.backbones.base import Backbone, Encoded
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError
from hyperllm.frameworks.base import Batch, Framework, backbone_optimizers, epoch_of, table_optimizer
from hyperllm.frameworks.config import HyperLLMConfig
from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.frameworks.inputs import NodeTable, SemanticInputs, uniform_start
from hyperllm.frameworks.text import text_features
from hyperllm.frameworks.whitening import Whitening
from hyperllm.frameworks.world import World
from hyperllm.geometry import columns
from hyperllm.graph import Triplets
from hyperllm.serving.content import Experts
from hyperllm.training.compat import CompatSampler, half_of_nonzeros
from hyperllm.training.sampling import PositivePairs, TripletSampler, join
from hyperllm.training.streams import Streams


def expert_inputs(
    world: World, config: HyperLLMConfig, streams: Streams, *, dim: int, trainable: bool
) -> SemanticInputs:
    """A fresh Mixture of Experts over the world's text vectors, with outputs of ``dim`` columns."""
    vectors = text_features(world, config.text_dim)
    experts = MixtureOfExperts(vectors.shape[1], dim, experts=config.experts, generator=streams.torch("experts"))
    return SemanticInputs(experts, vectors, trainable=trainable).to(world.device)


def expert_optimizer(parameters: Sequence[nn.Parameter], config: HyperLLMConfig) -> torch.optim.Optimizer:
    """The rule for the experts."""
    if config.meta_optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.meta_learning_rate)
    return torch.optim.SGD(
        parameters, lr=config.meta_learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


class SemanticExtraction(Framework):
    """Phase 1: only the experts train (Eqs. 8–11); a backbone's own weights stay as they are drawn."""

    config_class = HyperLLMConfig
    config: HyperLLMConfig

    def __init__(self, world: World, backbone: Backbone, config: HyperLLMConfig, *, seed: int = 0) -> None:
        super().__init__(world, backbone, config, seed=seed)
        self.margin = config.meta_margin  # m₁
        self.backbone.requires_grad_(False)
        dim = config.dim + int(config.compat)  # compat keeps the time coordinate as column 0
        self.nodes = expert_inputs(world, config, self.streams, dim=dim, trainable=False)
        self.optimizers = [expert_optimizer(list(self.nodes.experts.parameters()), config)]

    def features(self) -> Tensor:
        """x_u, x_i of Eq. 8."""
        return self.nodes()

    def served_experts(self, weights: Mapping[str, Tensor]) -> Experts | None:
        """The experts of these ``weights``, the whole of this module's, as plain arrays for texts that come later.

        None where they read texts unwhitened (`compat`).
        """
        if self.world.semantics is None or self.config.text_dim is None:
            return None
        step = Whitening.fit(self.world.semantics.item_vectors, dim=self.config.text_dim)
        learned = {name: weights[f"nodes.experts.{name}"].numpy() for name, _ in self.nodes.experts.named_parameters()}
        return Experts(step.mean, step.projection, **learned)


class Integration(Framework):
    """Phase 2: tables started from phase 1 (Eqs. 12, 13), tag branch (Eq. 14), contrastive term (Eq. 16), sum (Eq. 15).

    ``start`` (u + i, d) are phase 1's tangent vectors, of their columns those that are here; None starts from uniform
    noise (``structural``). In ``no-meta`` the tables give way to live experts.
    """

    config_class = HyperLLMConfig
    config: HyperLLMConfig

    def __init__(
        self,
        world: World,
        backbone: Backbone,
        config: HyperLLMConfig,
        *,
        start: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(world, backbone, config, seed=seed)
        self.nodes, dim, optimizer = self._inputs(start)
        self.optimizers = [optimizer, *backbone_optimizers(self.backbone, config)]
        self.tags: TagBranch | None = None
        if config.uses_tags:
            self.tags = TagBranch(world, config, self.streams, dim=dim, steps=self.steps)
            self.optimizers.append(table_optimizer([self.tags.nodes.weight], config))

    def _inputs(self, start: Tensor | None) -> tuple[nn.Module, int, torch.optim.Optimizer]:
        config, world = self.config, self.world
        if config.variant == "no-meta":
            live = expert_inputs(world, config, self.streams, dim=config.dim, trainable=config.semantics_trainable)
            learned = [p for p in live.parameters() if p.requires_grad]
            return live, config.dim, expert_optimizer(learned, config)
        if start is None:
            generator = self.streams.torch("init")
            start = uniform_start(world.graph.nodes, config.dim, scale=config.init_scale, generator=generator)
        table = NodeTable(start, manifold=config.parametrisation == "manifold").to(world.device)
        return table, columns.now().width(start.shape[1]), table_optimizer([table.weight], config)

    def features(self) -> Tensor:
        """e_u, e_i of Eq. 12."""
        return self.nodes()

    def drawn(self, epoch: int) -> Iterator[Batch]:
        """User–item triplets, with their share of the tag triplets and the items drawn for Eq. 16."""
        if self.tags is None:
            yield from super().drawn(epoch)
            return
        rng = self.streams.numpy("contrast", epoch)
        for batch, tag in zip(super().drawn(epoch), self.tags.batches(epoch), strict=True):
            yield Batch(epoch, batch.user_item, tag, self._contrasted(rng))

    def _contrasted(self, rng: np.random.Generator) -> Tensor | None:
        wanted = self.config.contrast_drawn(self.world.items) if self.config.uses_contrast else None
        if wanted is None:
            return None
        return torch.from_numpy(rng.choice(self.world.items, wanted, replace=False, shuffle=False))

    def extra_losses(self, x: Tensor, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """L_tag and w·L_cl.  # Eq. 15"""
        if self.tags is None or batch.tag is None:
            return {}
        other = self.tags.encode(self.backbone, x[self.world.users :], epoch=batch.epoch)
        terms = self.backbone.losses(other, batch.tag, margin=self.config.tag_margin)  # Eq. 14
        terms = {f"tag_{name}": value for name, value in terms.items()}
        if self.config.uses_contrast:
            drawn, users, tags = batch.drawn, self.world.users, self.tags.graph.left
            if drawn is None:
                views = encoded.points[users:], other.points[tags:]
            else:
                views = encoded.points.index_select(0, users + drawn), other.points.index_select(0, tags + drawn)
            temperature, population = self.config.contrast_temperature, self.world.items
            value = self.backbone.contrast(*views, temperature=temperature, population=population)
            terms["contrast"] = self.config.contrast_weight * value
        return terms


class TagBranch(nn.Module):
    """Tag table, tag graph (tags left, items right) and its samplers; the items' features are lent at every step."""

    def __init__(self, world: World, config: HyperLLMConfig, streams: Streams, *, dim: int, steps: int) -> None:
        super().__init__()
        tags = world.tags
        if tags is None or not len(tags.tag_items):
            raise DataError("this variant needs tags; run `hyperllm extract` first, or use --variant semantic")
        graph = world.laid(
            len(tags.tags), world.items, tags.tag_items, among_left=tags.tag_edges, left_weight=config.tag_edge_weight
        )
        self.graph = graph.to(world.device)
        self.steps, self.streams = steps, streams
        start = uniform_start(len(tags.tags), dim, scale=config.init_scale, generator=streams.torch("tags"))
        self.nodes = NodeTable(start, manifold=config.parametrisation == "manifold").to(world.device)
        self.samplers = tag_samplers(tags, config, streams, steps)

    def encode(self, backbone: Backbone, items: Tensor, *, epoch: int) -> Encoded:
        """h_t and h′_i: the same backbone on the tag graph.  # Eq. 14"""
        rng = self.streams.torch("tag views", epoch)
        return backbone(torch.cat([self.nodes(), items]), self.graph, train=True, rng=rng)

    def batches(self, epoch: int) -> Iterator[Triplets]:
        """Tag–item and tag–tag triplets together; anchors are tags."""
        parts = [epoch_of(sampler, epoch, self.steps, self.streams, name) for name, sampler in self.samplers.items()]
        for step in zip(*parts, strict=True):
            yield join(*step)


def tag_samplers(tags: TagGraph, config: HyperLLMConfig, streams: Streams, steps: int) -> dict[str, TripletSampler]:
    """Tag–item pairs against all items; each tag–tag edge from both ends against all tags but the anchor."""
    count = len(tags.tags)
    tag_items = PositivePairs(np.unique(tags.tag_items, axis=0), len(tags.items), 0, count)
    edges = tags.tag_edges[tags.tag_edges[:, 0] != tags.tag_edges[:, 1]]
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    tag_tags = PositivePairs(both, count, exclude_anchor=not config.compat)
    plain = {"tag-item": tag_items, "tag-tag": tag_tags}
    samplers = {name: TripletSampler(pairs, negatives=config.negatives) for name, pairs in plain.items()}
    useful = {name: sampler for name, sampler in samplers.items() if len(sampler)}
    if not useful:
        raise DataError("the tags tell no items apart: every tag is on every item; use --variant semantic")
    if not config.compat:
        return useful
    seen = {"tag-item": 2 * len(tag_items), "tag-tag": len(both)}
    served = {"tag-item": None, "tag-tag": half_of_nonzeros(edges)}
    return {
        name: CompatSampler(
            plain[name],
            batch_size=math.ceil(seen[name] / steps),
            streams=streams,
            name=name,
            anchored=served[name],
            negatives=config.negatives,
        )
        for name in useful
    }
