"""A backbone with weights of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hyperllm.backbones import HGCF, BackboneConfig
from hyperllm.graph import Graph


class Weighted(HGCF):
    """HGCF whose layers have weights of their own, e to the power of what is learned."""

    def __init__(self, config: BackboneConfig | None = None) -> None:
        super().__init__(config)
        self.logits = nn.Parameter(torch.full((self.config.layers,), torch.nan))

    def start(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            self.logits.uniform_(-0.1, 0.1, generator=rng)

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        total = torch.zeros_like(x)
        for weight in self.logits.exp():
            x = graph @ x
            total = total + weight * x
        return total
