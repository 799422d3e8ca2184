"""HRCF in float64 NumPy. Shapes: n nodes, d dims."""

from __future__ import annotations

import numpy as np
from tests.reference.equations import Array, clamped, exponential


def tangent(x: Array, operator: Array, layers: int) -> Array:
    """The layers 1 … L over the dense Â (n, n), summed, without their mean over all nodes."""
    total = sum((np.linalg.matrix_power(operator, layer) @ x for layer in range(1, layers + 1)), np.zeros(()))
    return total - total.sum(axis=0) / len(total)


def points(x: Array, operator: Array, layers: int, radius: float | None) -> Array:
    """exp₀ of those, clamped."""
    return exponential(clamped(tangent(x, operator, layers), radius))


def root(items: Array) -> float:
    """Ω of the items' tangent vectors before the clamp."""
    squares = [float(np.dot(v, v)) for v in items]
    return float(1 / np.sqrt(1e-6 + sum(squares) / len(squares)))
