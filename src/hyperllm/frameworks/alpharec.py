"""AlphaRec: Language Representations Can Be What Recommenders Need (Sheng et al., ICLR 2025), ported.

No free tables: items enter as f(s) of their text vector s, users as f of the mean of their training items' vectors. The
backbone gives its encoder only; ranking, in training and after it, is by the directions of what comes out. Shapes: n
nodes, b triplets, d dims, d₁ text dims, m items drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import normalize

from hyperllm.backbones.base import Backbone, Encoded
from hyperllm.config import SETTINGS
from hyperllm.errors import ConfigError
from hyperllm.frameworks.base import Batch, Framework, backbone_optimizers
from hyperllm.frameworks.perceptron import perceptron
from hyperllm.frameworks.text import TextConfig, mean_of_items, text_features
from hyperllm.frameworks.world import World


@dataclass(frozen=True, config=SETTINGS)
class AlphaRecConfig(TextConfig):
    """AlphaRec."""

    text_learning_rate: PositiveFloat = 5e-4
    """Step size of Adam for f."""
    shared_negatives: PositiveInt = 256
    """Items drawn a step, the negatives of all its pairs."""
    align_temperature: Annotated[float, Field(ge=0.02)] = 0.15
    """τ of the softmax over cosines."""
    linear: bool = False
    """f as one matrix without a bias, instead of two layers with LeakyReLU."""


class AlphaRec(Framework):
    """Σ over pairs of −log softmax of cos/τ of the positive among drawn items; points have radius 1.

    Deviation: the drawn items are shared by the pairs of a step, where published code draws some for each.
    """

    config_class = AlphaRecConfig
    config: AlphaRecConfig
    uses_text = True
    texts: Tensor

    def __init__(self, world: World, backbone: Backbone, config: AlphaRecConfig, *, seed: int = 0) -> None:
        if config.ranking != "own":
            raise ConfigError("alpharec has a ranking loss of its own; drop the setting 'ranking'")
        super().__init__(world, backbone, config, seed=seed)
        items = text_features(world, config.text_dim)[world.users :]
        self.register_buffer("texts", torch.cat([mean_of_items(world, items), items]), persistent=False)
        inputs, generator = items.shape[1], self.streams.torch("project")
        widths = (inputs, config.dim) if config.linear else (inputs, inputs // 2, config.dim)
        made = perceptron(widths, activation=nn.LeakyReLU(0.01), generator=generator, bias=not config.linear)
        self.project = made.to(world.device)
        adam = torch.optim.Adam(self.project.parameters(), lr=config.text_learning_rate)
        self.optimizers = [adam, *backbone_optimizers(self.backbone, config)]

    def features(self) -> Tensor:
        """f(s) (n, d)."""
        return self.project(self.texts)

    @torch.no_grad()
    def encode(self) -> Encoded:
        """Points at radius 1 in the directions of what the backbone says."""
        encoded = super().encode()
        unit = normalize(encoded.tangent, dim=1)
        return replace(encoded, points=self.backbone.manifold.expmap0(unit), tangent=unit)

    def drawn(self, epoch: int) -> Iterator[Batch]:
        """Triplets, of which only the pairs are used, and the items drawn for their step."""
        rng, count = self.streams.numpy("shared negatives", epoch), min(self.config.shared_negatives, self.world.items)
        for batch in super().drawn(epoch):
            rows = self.world.users + torch.from_numpy(rng.choice(self.world.items, count, replace=False))
            yield Batch(epoch, batch.user_item, drawn=rows)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``rank``; a drawn item does not count against the pair whose positive it is."""
        assert batch.drawn is not None
        rng = self.streams.torch("views", batch.epoch)
        encoded = self.backbone(self.features(), self.world.graph, train=True, rng=rng)
        directions, pairs = normalize(encoded.tangent, dim=1), batch.user_item
        user, positive, other = (
            directions.index_select(0, rows) for rows in (pairs.anchor, pairs.positive, batch.drawn)
        )
        near = (user * positive).sum(1, keepdim=True)
        far = (user @ other.T).masked_fill(pairs.positive.unsqueeze(1) == batch.drawn, -torch.inf)
        logits = torch.cat([near, far], dim=1) / self.config.align_temperature
        return {"rank": (logits.logsumexp(1) - logits[:, 0]).sum()}
