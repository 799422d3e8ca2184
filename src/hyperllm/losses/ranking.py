"""The hyperbolic margin ranking loss.

Knows points and triplets; does not know where either came from. Shapes: n points (n, d+1), b triplets, q negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hyperllm.geometry import columns, lorentz
from hyperllm.graph import Triplets


def margin_ranking(points: Tensor, triplets: Triplets, *, margin: float | Tensor, c: float = 1.0) -> Tensor:
    """Sum over triplets and negatives of max(d²(a,p) − d²(a,n) + margin, 0).  # Eq. 6

    ``margin`` is a number or one value a triplet (b,). Deviation: Eq. 6 prints plain distances; all published code
    uses squared ones, and so do the published margins.
    """
    mine = columns.now().share(len(triplets))
    margin = margin[mine] if isinstance(margin, Tensor) else margin
    return columns.now().over_batch(gaps(points, triplets.rows(mine), margin=margin, c=c).clamp_min(0.0).sum())


def gaps(points: Tensor, triplets: Triplets, *, margin: float | Tensor, c: float = 1.0) -> Tensor:
    """d²(a,p) − d²(a,n) + margin (b, q)."""
    b, q = triplets.negative.shape
    others = torch.cat([triplets.positive.unsqueeze(1), triplets.negative], dim=1)
    rows = torch.cat([triplets.anchor, others.reshape(-1)])
    anchor, other = points.index_select(0, rows).split([b, b * (1 + q)])
    square = lorentz.sqdist(anchor.unsqueeze(1), other.reshape(b, 1 + q, points.shape[-1]), c)
    return (square[:, 0] + margin).unsqueeze(1) - square[:, 1:]
