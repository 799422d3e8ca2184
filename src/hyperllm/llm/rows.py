"""Finishing touches every local encoder shares: unit rows, and zero rows for empty texts. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def unit_rows(matrix: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Rows (n, d) divided by their Euclidean length; a zero row stays zero."""
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(length > 0, length, 1.0)).astype(np.float32)


def blank(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) true where a text holds nothing but white space."""
    return np.array([not text.strip() for text in texts], dtype=bool)
