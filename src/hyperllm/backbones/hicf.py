"""HICF: Hyperbolic Informative Collaborative Filtering (Yang et al., KDD 2022).

HGCF's encoder with two changes of the loss. The margin of a pair grows with how far its two points share their way from
the origin, m·σ(δ). Of a pair's q candidates only one is its negative: the one nearest to the positive. Shapes: n nodes,
d dims, b triplets, q candidates.
"""

from __future__ import annotations

import torch
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.base import BackboneConfig, Encoded
from hyperllm.backbones.hgcf import HGCF
from hyperllm.config import SETTINGS
from hyperllm.geometry import columns, lorentz
from hyperllm.graph import Triplets
from hyperllm.losses.ranking import margin_ranking


@settings(frozen=True, config=SETTINGS)
class HICFConfig(BackboneConfig):
    """Settings of HICF."""

    margin_gradient: bool = True
    """Whether the adaptive margin passes gradient to its two points."""


class HICF(HGCF):
    """Adaptive margin and the most informative of ``negatives`` candidates a pair; margins act about half as large.

    Deviation: published code measures which candidate is nearest by the ambient Euclidean distance; here it is the
    hyperbolic one, of which the loss is made.
    """

    config_class = HICFConfig
    config: HICFConfig

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """Sum over triplets of max(d²(a,p) − d²(a,n*) + m·σ(δ(a,p)), 0)."""
        points, c = encoded.points, self.config.curvature
        anchor, positive = (points.index_select(0, rows) for rows in (triplets.anchor, triplets.positive))
        share = torch.sigmoid(overlap(anchor, positive, c))
        if not self.config.margin_gradient:
            share = share.detach()
        return {"rank": margin_ranking(points, hardest(points, triplets, c), margin=margin * share, c=c)}


def overlap(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """δ = (x₀ + y₀ + ⟨x,y⟩ − 1)/(x₀y₀) of √c times points (…, d+1), row by row; 0 where either is the origin.

    As (x_s·y_s − (x₀−1)(y₀−1))/(x₀y₀) with x₀−1 = ‖x_s‖²/(1+x₀), which keeps its digits near the origin.
    """
    (x0, xs), (y0, ys) = ((p[..., 0], p[..., 1:]) for p in (c**0.5 * x, c**0.5 * y))
    square_x, square_y, product = columns.now().totals(xs.square().sum(-1), ys.square().sum(-1), (xs * ys).sum(-1))
    return (product - square_x / (1 + x0) * (square_y / (1 + y0))) / (x0 * y0)


@torch.no_grad()
def hardest(points: Tensor, triplets: Triplets, c: float = 1.0) -> Triplets:
    """Triplets with one negative each: of the candidates (b, q) the one nearest to the positive."""
    b, q = triplets.negative.shape
    if q == 1:
        return triplets
    candidates = points.index_select(0, triplets.negative.reshape(-1)).reshape(b, q, points.shape[-1])
    positives = points.index_select(0, triplets.positive).unsqueeze(1)
    nearest = lorentz.separation(positives, candidates, c).argmin(dim=1, keepdim=True)
    return Triplets(triplets.anchor, triplets.positive, triplets.negative.gather(1, nearest))
