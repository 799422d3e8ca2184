"""Euclidean models in float64 NumPy. Knows arrays only. Shapes: n nodes, d dims; ``operator`` is the dense Â (n, n)."""

from __future__ import annotations

import numpy as np
from tests.reference.equations import Array, clamped
from tests.reference.midpoints import symmetric


def mixing(operator: Array, layers: int) -> Array:
    """The mean of Ã⁰ … Ãᴸ, where Ã = D^{-½}AD^{-½}; Â = D⁻¹(A + I) has D⁻¹ on its diagonal."""
    weights = operator / np.diag(operator)[:, None]
    step = symmetric(weights)
    return sum(np.linalg.matrix_power(step, power) for power in range(layers + 1)) / (layers + 1)


def lightgcn(x: Array, operator: Array, layers: int, radius: float | None = None) -> Array:
    """The mean of the layers 0 … L."""
    return clamped(mixing(operator, layers) @ x, radius)


def contrastive(a: Array, b: Array, temperature: float) -> float:
    """Σᵢ −log softmaxⱼ(−‖aᵢ − bⱼ‖²/τ) at j = i."""
    logits = -((a[:, None] - b[None]) ** 2).sum(-1) / temperature
    return float(sum(np.log(np.exp(row - row[i]).sum()) for i, row in enumerate(logits)))
