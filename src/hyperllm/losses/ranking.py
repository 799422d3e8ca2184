"""The hyperbolic margin ranking loss.

Knows points and triplets; does not know where either came from. Shapes: n points (n, d+1), b triplets, q negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hyperllm.geometry import lorentz
from hyperllm.graph import Triplets


def margin_ranking(points: Tensor, triplets: Triplets, *, margin: float | Tensor, c: float = 1.0) -> Tensor:
    """Sum over triplets and negatives of max(d²(a,p) − d²(a,n) + margin, 0).  # Eq. 6

    ``margin`` is a number or one value a triplet (b,). Deviation: Eq. 6 prints plain distances; all published code
    uses squared ones, and so do the published margins.
    """
    b, q = triplets.negative.shape
    rows = torch.cat([triplets.anchor, triplets.positive, triplets.negative.reshape(-1)])
    anchor, positive, negative = points.index_select(0, rows).split([b, b, b * q])
    negative = negative.reshape(b, q, points.shape[-1])
    near = lorentz.sqdist(anchor, positive, c)
    far = lorentz.sqdist(anchor.unsqueeze(1), negative, c)
    gap = near + margin
    return (gap.unsqueeze(1) - far).clamp_min(0.0).sum()
