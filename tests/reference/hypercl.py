"""HyperCL in float64 NumPy. Shapes: n nodes, d dims."""

from __future__ import annotations

import numpy as np
from tests.reference.equations import Array, inner, lorentz_distance


def symmetric(adjacency: Array) -> Array:
    """D^{-½}AD^{-½} of a dense A (n, n) without self-loops; rows of isolated nodes are empty."""
    degree = adjacency.sum(axis=1)
    found = np.zeros_like(adjacency)
    for a, b in np.argwhere(adjacency):
        found[a, b] = adjacency[a, b] / np.sqrt(degree[a] * degree[b])
    return found


def centroid(weights: Array, points: Array) -> Array:
    """Σ w x/√(−⟨Σ w x, Σ w x⟩) of points (n, d+1); the origin where no weight is."""
    total = weights @ points
    if not weights.any():
        return np.eye(points.shape[1])[0]
    return total / np.sqrt(-inner(total, total))


def hyperbolic(start: Array, operator: Array, layers: int) -> Array:
    """The centroid of the layers 1 … L, each the centroids of neighbours, from the points ``start``."""
    found = [start]
    for _ in range(layers):
        found.append(np.stack([centroid(row, found[-1]) for row in operator]))
    return np.stack([centroid(np.ones(layers), np.stack(layer)) for layer in zip(*found[1:], strict=True)])


def agreement(first: Array, second: Array, rows: Array, temperature: float) -> float:
    """Σ over the distinct rows of −log softmax(−d²/τ) at the row's own point, by log-sum-exp."""
    rows = np.unique(rows)
    total = 0.0
    for row in rows:
        logits = -(lorentz_distance(first[row], second[rows]) ** 2) / temperature
        top = logits.max()
        total += float(top + np.log(np.exp(logits - top).sum()) - logits[rows == row][0])
    return total
