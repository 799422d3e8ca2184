"""HGCH: Hyperbolic Graph Collaborative for Heterogeneous Recommendation (Zhang and Wu, CIKM 2024), on one space.

Each layer takes gyromidpoints on the Poincaré ball, u^ℓ = log₀(gyromidpoint(Â, exp₀(u^ℓ⁻¹))); the layers 1 … L are
summed in the tangent space, and the sum is not clamped. Computed on the hyperboloid, to which the ball is isometric:
there the gyromidpoint is the centroid, and log₀ followed by exp₀ falls away.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.base import Encoded
from hyperllm.backbones.centroid import CentroidBackbone, CentroidConfig
from hyperllm.config import SETTINGS
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph, Triplets
from hyperllm.losses.ranking import gaps


@settings(frozen=True, config=SETTINGS)
class HGCHConfig(CentroidConfig):
    """Settings of HGCH."""

    reduction: Literal["sum", "mean_active"] = "sum"
    """The ranking loss as a sum, or as the mean over the triplets that violate the margin, as HGCH's own code does."""


class HGCH(CentroidBackbone):
    """Gyromidpoint layers, summed at the origin; hinge on squared distances."""

    config_class = HGCHConfig
    config: HGCHConfig

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """Σ_{ℓ=1..L} log₀(x^ℓ)."""
        first, *rest = (lorentz.logmap0(points, self.config.curvature) for points in self.layers(x, graph))
        return sum(rest, first)

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """The hinge, reduced as the settings say."""
        terms = super().losses(encoded, triplets, margin=margin)
        if self.config.reduction == "mean_active":
            count = violations(encoded.points, triplets, margin=margin, c=self.config.curvature)
            terms["rank"] = terms["rank"] / count.clamp_min(1.0)
        return terms

    def batch_weight(self, triplets: Triplets) -> float:
        """1 where the loss is a mean itself."""
        return 1.0 if self.config.reduction == "mean_active" else super().batch_weight(triplets)


@torch.no_grad()
def violations(points: Tensor, triplets: Triplets, *, margin: float, c: float = 1.0) -> Tensor:
    """How many (triplet, negative) violate the margin, a scalar: the slope of the summed hinge in the margin."""
    return (gaps(points, triplets, margin=margin, c=c) >= 0).sum().to(points.dtype)
