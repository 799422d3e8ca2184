"""Centring and PCA-whitening of text vectors: a named, recorded step before the experts.

Text vectors share a large common component and a few loud directions; whitening gives every kept direction unit
variance over the items that have a text. Knows arrays only. Shapes: n rows, d₁ text dims, r kept dims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperllm.errors import DataError

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Whitening:
    """x ↦ (x − mean) @ projection, projection (d₁, r)."""

    mean: Matrix
    projection: Matrix

    @classmethod
    def fit(cls, items: Matrix, *, dim: int) -> Whitening:
        """Principal directions of the item vectors, the ``dim`` strongest (fewer where the rank is lower)."""
        if not items.any():
            raise DataError("no item has a text vector; give the items texts and run `embed` again")
        told = items[items.any(axis=1)]
        mean = told.mean(axis=0, dtype=np.float64)
        centred = told - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(told))
        if values.max() <= 1e-12 * max(1e-300, float(np.square(mean).sum())):
            raise DataError("all items have the same text vector; give them texts that differ and run `embed` again")
        keep = [k for k in np.argsort(values)[::-1][:dim] if values[k] > 1e-10 * values.max()]
        directions = vectors[:, keep]
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(keep))])
        return cls(mean.astype(np.float32), (directions / np.sqrt(values[keep])).astype(np.float32))

    def apply(self, vectors: Matrix) -> Matrix:
        """(n, d₁) to (n, r)."""
        return ((vectors - self.mean) @ self.projection).astype(np.float32)

    def directions(self, vectors: Matrix) -> Matrix:
        """`apply`, each row scaled to unit length; a zero row (no text) stays zero."""
        whitened = self.apply(vectors)
        whitened[~vectors.any(axis=1)] = 0.0
        return whitened / np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), 1e-12)
