"""HICF in float64 NumPy. Shapes: n points, d dims, b triplets, q candidates."""

from __future__ import annotations

import numpy as np
from tests.reference.equations import Array, inner, lorentz_distance


def overlap(u: Array, i: Array) -> Array:
    """δ as printed: (u₀ + i₀ + ⟨u,i⟩ − 1)/(u₀i₀)."""
    return (u[..., 0] + i[..., 0] + inner(u, i) - 1) / (u[..., 0] * i[..., 0])


def gromov(u: Array, i: Array) -> Array:
    """δ as ½[s(u,o) + s(i,o) − s(u,i)]/(u₀i₀) with s = −2 − 2⟨·,·⟩ and o the origin."""
    origin = np.zeros(u.shape[-1])
    origin[0] = 1.0

    def s(x: Array, y: Array) -> Array:
        return -2 - 2 * inner(x, y)

    return 0.5 * (s(u, origin) + s(i, origin) - s(u, i)) / (u[..., 0] * i[..., 0])


def loss(points: Array, anchor: Array, positive: Array, negative: Array, margin: float) -> float:
    """Σ max(d²(a,p) − d²(a,n*) + m·σ(δ), 0), n* the candidate nearest to the positive."""
    total = 0.0
    for a, p, candidates in zip(anchor, positive, negative, strict=True):
        nearest = min(candidates, key=lambda n: float(lorentz_distance(points[p], points[n])))
        near, far = (lorentz_distance(points[a], points[other]) ** 2 for other in (p, nearest))
        adaptive = margin / (1 + np.exp(-overlap(points[a], points[p])))
        total += max(float(near - far + adaptive), 0.0)
    return total
