"""The fully hyperbolic encoders in float64 NumPy, each in the model of hyperbolic space its paper writes it in, c = 1.

They are oracles, node by node. Know arrays only. Shapes: n nodes, d intrinsic dims; ``operator`` is the dense Â (n, n).
"""

from __future__ import annotations

import numpy as np
from tests.reference.equations import (
    Array,
    clamped,
    einstein_midpoint,
    exponential,
    gyromidpoint,
    inner,
    lorentz_distance,
)


def scaled(v: Array, length: Array) -> Array:
    """Rows in their directions with these lengths."""
    return v * (length / np.maximum(np.linalg.norm(v, axis=-1), 1e-300))[:, None]


def to_ball(v: Array) -> Array:
    """exp₀ of the Poincaré ball, where ‖v‖ is the geodesic radius."""
    return scaled(v, np.tanh(np.linalg.norm(v, axis=-1) / 2))


def from_ball(p: Array) -> Array:
    """log₀ of the Poincaré ball."""
    return scaled(p, 2 * np.arctanh(np.linalg.norm(p, axis=-1)))


def to_klein(v: Array) -> Array:
    """exp₀ in Klein coordinates."""
    return scaled(v, np.tanh(np.linalg.norm(v, axis=-1)))


def from_klein(k: Array) -> Array:
    """log₀ in Klein coordinates."""
    return scaled(k, np.arctanh(np.linalg.norm(k, axis=-1)))


def hgch(x: Array, operator: Array, layers: int, radius: float | None = None) -> Array:
    """Σ_{ℓ=1..L} u^ℓ with u^ℓ = log₀(gyromidpoint(Â, exp₀(u^ℓ⁻¹))), on the ball."""
    total = np.zeros_like(x)
    for _ in range(layers):
        ball = to_ball(x)
        x = from_ball(np.stack([gyromidpoint(row, ball) for row in operator]))
        total += x
    return exponential(clamped(total, radius))


def lgcf(x: Array, operator: Array, layers: int, combination: str = "centroid", radius: float | None = None) -> Array:
    """Einstein midpoints of neighbours, layer by layer, then of the layers 1 … L of each node."""
    klein, stack = to_klein(x), []
    for _ in range(layers):
        klein = np.stack([einstein_midpoint(row, klein) for row in operator])
        stack.append(klein)
    if combination == "centroid":
        each = np.stack(stack, axis=1)
        klein = np.stack([einstein_midpoint(np.ones(layers), of_node) for of_node in each])
    return exponential(clamped(from_klein(klein), radius))


def logarithm(base: Array, x: Array) -> Array:
    """log_base(x), an ambient vector tangent at ``base``."""
    direction = x + inner(base, x) * base
    length = np.sqrt(max(inner(direction, direction), 0.0))
    return np.zeros_like(x) if length == 0 else lorentz_distance(base, x) * direction / length


def transported(base: Array, u: Array) -> Array:
    """The vector u, tangent at ``base``, at the origin: its space part."""
    origin = np.eye(len(base))[0]
    return (u + inner(origin, u) / (1 - inner(base, origin)) * (base + origin))[1:]


def symmetric(weights: Array) -> Array:
    """D^{-½}AD^{-½} of weights A (n, n), the diagonal left out; empty rows stay."""
    weights = weights - np.diag(np.diag(weights))
    scale = 1 / np.sqrt(np.maximum(weights.sum(axis=1), 1e-300)) * (weights.sum(axis=1) > 0)
    return scale[:, None] * weights * scale


def lhgcn(x: Array, weights: Array, layers: int, spread: float = 1.0, radius: float | None = None) -> Array:
    """Normalised Âx and Lorentz batch normalisation, layer by layer, over A (n, n) without its diagonal."""
    operator = symmetric(weights)
    linked = operator.sum(axis=1) > 0
    for _ in range(layers):
        summed = (operator @ exponential(x))[linked]
        points = summed / np.sqrt(-inner(summed, summed))[:, None]
        middle = points.sum(axis=0) / np.sqrt(-inner(points.sum(axis=0), points.sum(axis=0)))
        centred = np.stack([transported(middle, logarithm(middle, point)) for point in points])
        x = np.zeros_like(x)
        x[linked] = centred * spread / np.linalg.norm(centred, axis=1).mean()
    return exponential(clamped(x, radius))
