"""RLMRec: Representation Learning with Large Language Models for Recommendation (Ren et al., WWW 2024), ported.

Free tables and the backbone's own loss, beside a term that ties what comes out to text vectors s: ``con`` brings text
vectors to the points and contrasts them, ``gen`` masks nodes and finds their text vectors among those of the other
masked nodes. Both work on y, the points' tangent vectors before the clamp, and by cosines, so they align directions and
leave the radius to the ranking loss. Shapes: n nodes, b triplets, d dims, d₁ text dims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from hyperllm.backbones.base import Backbone, Encoded
from hyperllm.config import SETTINGS
from hyperllm.frameworks.base import Base, Batch
from hyperllm.frameworks.perceptron import perceptron
from hyperllm.frameworks.text import TextConfig, text_features
from hyperllm.frameworks.world import World
from hyperllm.losses.infonce import info_nce

Temperature = Annotated[float, Field(ge=0.02)]


@dataclass(frozen=True, config=SETTINGS)
class RLMRecConConfig(TextConfig):
    """RLMRec-Con."""

    align_weight: NonNegativeFloat = 0.1
    """λ of the alignment, a mean over the batch; 0 is plain training."""
    align_temperature: Temperature = 0.2
    """τ of the alignment."""
    align_sample: PositiveInt | None = None
    """Triplets of a batch that are aligned; none for all, as published."""
    align: Literal["cosine", "hyperbolic"] = "cosine"
    """Logits cos/τ as published, or −d²/τ between points, which aligns radii too and takes the batch's users only."""


@dataclass(frozen=True, config=SETTINGS)
class RLMRecGenConfig(TextConfig):
    """RLMRec-Gen."""

    mask_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """ρ, share of the nodes that are masked at a step; 0 masks none."""
    align_weight: NonNegativeFloat = 0.1
    """λ of the reconstruction, a mean over the masked nodes; 0 leaves the masks alone."""
    align_temperature: Temperature = 0.2
    """τ of the reconstruction."""


def between(inputs: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    """The two layers that both variants use, their hidden width half way between ``inputs`` and ``outputs``."""
    widths = (inputs, (inputs + outputs) // 2, outputs)
    return perceptron(widths, activation=nn.LeakyReLU(0.01), generator=generator)


class Projected(Base):
    """Free tables beside f(s) (n, d) of the text vectors; one f for users and items."""

    uses_text = True
    texts: Tensor

    def __init__(self, world: World, backbone: Backbone, config: TextConfig, *, seed: int = 0) -> None:
        super().__init__(world, backbone, config, seed=seed)
        texts = text_features(world, config.text_dim)
        self.register_buffer("texts", texts, persistent=False)
        self.project = between(texts.shape[1], config.dim, self.streams.torch("project"))
        self.learning(self.project, config.text_learning_rate)


class RLMRecCon(Projected):
    """λ·mean over triplets of InfoNCE(y, f(s)) of the user, the positive and the (first) negative; f is shared.

    A user's text vector is to be found among those of all users, an item's among those of the batch, as published.
    """

    config_class = RLMRecConConfig
    config: RLMRecConConfig

    def extra_losses(self, x: Tensor, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """``align``; not computed where λ is 0."""
        if not self.config.align_weight:
            return {}
        drawn, few = batch.user_item, slice(self.config.align_sample)
        nodes = (rows[few] for rows in (drawn.anchor, drawn.positive, drawn.negative[:, 0]))
        parts = [torch.unique(rows, return_counts=True) for rows in nodes]
        if self.config.align == "hyperbolic":
            terms = [self._by_distance(encoded, *part) for part in parts]
        else:
            among = (torch.arange(self.world.users, device=x.device), None, None)
            terms = [self._by_cosine(encoded, *part, among=a) for part, a in zip(parts, among, strict=True)]
        weight = self.config.align_weight * self.backbone.batch_weight(drawn) / len(drawn.anchor[few])
        return {"align": weight * torch.stack(terms).sum()}

    def _by_cosine(self, encoded: Encoded, rows: Tensor, times: Tensor, *, among: Tensor | None) -> Tensor:
        """Σ over ``rows``, each ``times`` over, of InfoNCE among the texts of these rows, or of other ones."""
        texts = self.project(self.texts.index_select(0, rows if among is None else among))
        own, count = (torch.arange(len(rows), device=rows.device), times) if among is None else (rows, None)
        y = encoded.tangent.index_select(0, rows)
        return info_nce(y, texts, own, temperature=self.config.align_temperature, weight=times, count=count)

    def _by_distance(self, encoded: Encoded, rows: Tensor, times: Tensor) -> Tensor:
        """Σ over the distinct ``rows`` of InfoNCE with −d²/τ, on the scale of a sum over the batch."""
        texts = self.backbone.manifold.expmap0(self.project(self.texts.index_select(0, rows)))
        points = encoded.points.index_select(0, rows)
        value = self.backbone.contrast(points, texts, temperature=self.config.align_temperature)
        return value * (times.sum() / len(rows))


class RLMRecGen(Base):
    """λ·mean over masked nodes of InfoNCE(g(y), s); masked nodes enter as one learned vector, 0 at first."""

    config_class = RLMRecGenConfig
    config: RLMRecGenConfig
    uses_text = True
    texts: Tensor

    def __init__(self, world: World, backbone: Backbone, config: RLMRecGenConfig, *, seed: int = 0) -> None:
        super().__init__(world, backbone, config, seed=seed)
        texts = text_features(world, config.text_dim)
        self.register_buffer("texts", texts, persistent=False)
        generator = self.streams.torch("project")
        self.reconstruct = between(config.dim, texts.shape[1], generator)
        self.mask = nn.Parameter(torch.zeros(config.dim, device=world.device))
        self.learning(self.reconstruct, config.text_learning_rate)
        self.optimizers[-1].add_param_group({"params": [self.mask]})

    def drawn(self, epoch: int) -> Iterator[Batch]:
        """Triplets, and the nodes that are masked at their step."""
        rng, nodes = self.streams.numpy("mask", epoch), self.world.graph.nodes
        count = max(1, int(self.config.mask_ratio * nodes)) if self.config.mask_ratio else 0
        for batch in super().drawn(epoch):
            rows = torch.from_numpy(rng.choice(nodes, count, replace=False)) if count else None
            yield Batch(epoch, batch.user_item, drawn=rows)

    def training_features(self, batch: Batch) -> Tensor:
        """The table, the mask in the drawn rows."""
        x = self.features()
        return x if batch.drawn is None else x.index_copy(0, batch.drawn, self.mask.expand(len(batch.drawn), -1))

    def extra_losses(self, x: Tensor, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """``reconstruct``; not computed where λ or ρ is 0."""
        rows = batch.drawn
        if rows is None or not self.config.align_weight:
            return {}
        told = self.reconstruct(encoded.tangent.index_select(0, rows))
        texts, own = self.texts.index_select(0, rows), torch.arange(len(rows), device=rows.device)
        value = info_nce(told, texts, own, temperature=self.config.align_temperature)
        weight = self.config.align_weight * self.backbone.batch_weight(batch.user_item) / len(rows)
        return {"reconstruct": weight * value}
