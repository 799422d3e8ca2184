"""HRCF: Hyperbolic Regularization for Collaborative Filtering (Yang et al., WWW 2022).

HGCF with its root in the middle and its items pushed outwards: out ← out − mean over all nodes, and L = L_rank + α·Ω
with Ω = 1/√(ε + mean over right-hand nodes of ‖out‖²). Shapes: n nodes, r of them right-hand (items), d dims.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.base import BackboneConfig, Encoded
from hyperllm.backbones.hgcf import HGCF
from hyperllm.config import SETTINGS
from hyperllm.geometry import columns
from hyperllm.graph import Graph, Triplets

_FLOOR = 1e-6


@settings(frozen=True, config=SETTINGS)
class HRCFConfig(BackboneConfig):
    """Settings of HRCF."""

    root_weight: NonNegativeFloat = 25.0
    """α, weight of the term that pushes items away from the root."""


class HRCF(HGCF):
    """Root alignment, and a regulariser that keeps items off the root.

    Deviation: published code takes Ω of points after the clamp, where it has no gradient as soon as all items are
    clamped; here it is taken before. With ``radius = none`` the two are one.
    """

    config_class = HRCFConfig
    config: HRCFConfig

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """Σ_{ℓ=1..L} Âˡ x minus its mean over all nodes of the graph."""
        total = super().combine(x, graph)
        return total - total.mean(dim=0)

    def forward(self, x: Tensor, graph: Graph, *, train: bool = False, rng: torch.Generator | None = None) -> Encoded:
        """Encode; the one view is the right-hand block (r, d) of the tangent vectors before the clamp."""
        encoded = super().forward(x, graph, train=train, rng=rng)
        return replace(encoded, views=(encoded.tangent[graph.left :, int(self.config.time_coordinate) :],))

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """The hinge (sum over the batch) and ``root``, α·Ω (once a step, whatever the batch)."""
        (right,) = encoded.views
        spread = columns.total(right.square().sum(dim=-1).mean())
        root = self.config.root_weight * torch.rsqrt(_FLOOR + spread)
        return {**super().losses(encoded, triplets, margin=margin), "root": root}
