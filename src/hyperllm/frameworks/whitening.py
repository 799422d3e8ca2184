"""Centring and PCA-whitening of text vectors: a named, recorded step before the experts.

Text vectors share a large common component and a few loud directions; whitening gives every kept direction unit
variance over the items. Knows arrays only. Shapes: n rows, d₁ text dims, r kept dims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Whitening:
    """x ↦ (x − mean) @ projection, projection (d₁, r)."""

    mean: Matrix
    projection: Matrix

    @classmethod
    def fit(cls, items: Matrix, *, dim: int) -> Whitening:
        """Principal directions of the item vectors, the ``dim`` strongest (fewer where the rank is lower)."""
        mean = items.mean(axis=0, dtype=np.float64)
        centred = items - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(items)))
        keep = [k for k in np.argsort(values)[::-1][:dim] if values[k] > 1e-10 * values.max()]
        directions = vectors[:, keep]
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(keep))])
        return cls(mean.astype(np.float32), (directions / np.sqrt(values[keep])).astype(np.float32))

    def apply(self, vectors: Matrix) -> Matrix:
        """(n, d₁) to (n, r)."""
        return (vectors - self.mean) @ self.projection
