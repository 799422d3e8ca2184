"""A sampled softmax over closeness: each anchor's positive against negatives that a whole batch shares.

Knows how close pairs are, as numbers; does not know whether by distance or by product. Shapes: b pairs, k shared
negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sampled_softmax(near: Tensor, far: Tensor, *, temperature: float) -> Tensor:
    """τ·Σ_r −log(e^{near_r/τ} / (e^{near_r/τ} + Σ_k e^{far_rk/τ})), a scalar.

    ``near`` (b,) is how close each anchor is to its positive, ``far`` (b, k) to the shared negatives: minus squared
    distances, or inner products. The factor τ keeps the slope in ``near`` between 0 and 1, as a hinge has it.
    """
    logits = torch.cat([near.unsqueeze(1), far], dim=1) / temperature
    return temperature * (torch.logsumexp(logits, dim=1) - logits[:, 0]).sum()
