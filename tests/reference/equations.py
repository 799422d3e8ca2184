"""The paper's equations, one function each, in float64 NumPy.

They are oracles: plain loops and textbook forms, no regard for digits lost or memory used. Know arrays only.
Shapes: n points, d intrinsic dims, b triplets, q negatives, K experts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def inner(x: Array, y: Array) -> Array:
    """Eq. 2."""
    return -x[..., 0] * y[..., 0] + (x[..., 1:] * y[..., 1:]).sum(-1)


def lorentz_distance(x: Array, y: Array, c: float = 1.0) -> Array:
    """Eq. 4 with k = 1/c."""
    return np.arccosh(np.maximum(1.0, -c * inner(x, y))) / np.sqrt(c)


def poincare_distance(p: Array, r: Array, c: float = 1.0) -> Array:
    """Eq. 5 with k = 1/c."""
    k = 1.0 / c
    gap = ((p - r) ** 2).sum(-1)
    scale = (k - (p**2).sum(-1)) * (k - (r**2).sum(-1))
    return np.sqrt(k) * np.arccosh(1 + 2 * k * gap / scale)


def margin_ranking(points: Array, anchor: Array, positive: Array, negative: Array, margin: float) -> float:
    """Eq. 6 on squared distances, summed over triplets and their negatives."""
    total = 0.0
    for a, p, negatives in zip(anchor, positive, negative, strict=True):
        for n in negatives:
            near, far = (lorentz_distance(points[a], points[other]) ** 2 for other in (p, n))
            total += max(near - far + margin, 0.0)
    return float(total)


def gates(s: Array, weight: Array, bias: Array) -> Array:
    """Eq. 9: softmax(W s + b), (n, K)."""
    z = np.exp(s @ weight.T + bias)
    return z / z.sum(axis=1, keepdims=True)


def expert(s: Array, weight: Array, bias: Array) -> Array:
    """Eq. 10: W_k s + b_k, (n, d)."""
    return s @ weight.T + bias


def mixture(s: Array, gate: tuple[Array, Array], experts: list[tuple[Array, Array]]) -> Array:
    """Eq. 8: Σ_k g_k(s)·Expert_k(s)."""
    share = gates(s, *gate)
    return sum((share[:, [k]] * expert(s, *experts[k]) for k in range(len(experts))), np.zeros(()))


def contrastive(a: Array, b: Array, temperature: float, c: float = 1.0) -> float:
    """Eq. 16: Σ_i −log of i's share among all items."""
    total = 0.0
    for i in range(len(a)):
        share = np.exp(-(lorentz_distance(a[i], b, c) ** 2) / temperature)
        total -= np.log(share[i] / share.sum())
    return float(total)


def exponential(v: Array, c: float = 1.0) -> Array:
    """exp₀ of tangent vectors (n, d), textbook form."""
    radius = np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-300)
    space = np.sinh(np.sqrt(c) * radius) * v / (np.sqrt(c) * radius)
    return np.concatenate([np.sqrt(1 / c + (space**2).sum(-1, keepdims=True)), space], axis=-1)


def clamped(v: Array, radius: float | None) -> Array:
    """Vectors shortened to ``radius``."""
    if radius is None:
        return v
    norm = np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-300)
    return v * np.minimum(1.0, radius / norm)


def hgcf(x: Array, operator: Array, layers: int, radius: float | None = 1.5) -> Array:
    """HGCF: exp₀ of the clamped sum of the layers 1 … L over the dense Â (n, n)."""
    total = sum((np.linalg.matrix_power(operator, layer) @ x for layer in range(1, layers + 1)), np.zeros(()))
    return exponential(clamped(total, radius))


def row_normalised(n: int, edges: Array, weights: Array) -> Array:
    """Â = D⁻¹(A + I) as a dense matrix, from undirected weighted edges (m, 2), each once."""
    matrix = np.eye(n)
    for (a, b), weight in zip(edges, weights, strict=True):
        matrix[a, b] = matrix[b, a] = weight
    return matrix / matrix.sum(axis=1, keepdims=True)


def einstein_midpoint(weights: Array, klein: Array) -> Array:
    """Σ w γ k / Σ w γ with the Lorentz factor γ, in Klein coordinates."""
    factor = weights / np.sqrt(1 - (klein**2).sum(-1))
    return (factor[:, None] * klein).sum(0) / factor.sum()


def gyromidpoint(weights: Array, p: Array) -> Array:
    """½ ⊗ (Σ w λ p / Σ w (λ−1)) on the ball."""
    factor = 2 / (1 - (p**2).sum(-1))
    mean = (weights * factor) @ p / (weights * (factor - 1)).sum()
    return mean / (1 + np.sqrt(1 - (mean**2).sum()))
