"""EASE^R: a linear item–item model in closed form (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019).

Knows the training pairs as a binary matrix X. Finds B with zero diagonal that minimises |X − XB|² + λ|B|²:
P = (XᵀX + λ)⁻¹, B = −P / diag(P) column by column, diagonal 0. Does not know users: each is served as the row of
their history.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from scipy.linalg import get_lapack_funcs

from hyperllm.baselines.linear import LinearConfig, histories, served
from hyperllm.config import SETTINGS
from hyperllm.data.split import Split
from hyperllm.errors import DataError
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True, config=SETTINGS)
class EaseConfig(LinearConfig):
    """Settings of `ease`."""

    regularisation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 200.0
    """λ, larger is smoother."""


def ease(split: Split, *, regularisation: float = 200.0) -> ScoreModel:
    """EASE^R on the training part: ``user_vectors`` the histories (U, I) CSR, ``item_vectors`` Bᵀ (I, I), inner."""
    return fit_ease(split, EaseConfig(regularisation=regularisation))


def fit_ease(split: Split, config: EaseConfig) -> ScoreModel:
    """`ease` with all settings; raises `DataError` where the catalogue is too large for a dense matrix."""
    history = histories(split, config)
    return served(split, history, weights(gram(history), config.regularisation))


def gram(history: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """XᵀX (I, I) of X (U, I), dense, column by column in memory."""
    wide = history.astype(np.float64)
    return (wide.T @ wide).toarray(order="F")


def weights(matrix: npt.NDArray[np.float64], regularisation: float) -> npt.NDArray[np.float32]:
    """B (I, I) of a Gram matrix (I, I), computed in float64 by Cholesky in its place, returned in float32."""
    matrix[np.diag_indices_from(matrix)] += regularisation
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, failed = potrf(matrix, lower=1, overwrite_a=1)
    inverse, failed_too = (factor, 1) if failed else potri(factor, lower=1, overwrite_c=1)
    if failed_too:
        raise DataError(f"the item matrix cannot be inverted with regularisation {regularisation!r}; raise it.")
    diagonal = inverse.diagonal().copy()
    result = np.empty(inverse.shape, dtype=np.float32)
    for row in range(len(inverse)):  # only the lower triangle of the inverse was filled
        result[row, : row + 1] = inverse[row, : row + 1]
        result[row, row + 1 :] = inverse[row + 1 :, row]
    result /= -diagonal.astype(np.float32)
    np.fill_diagonal(result, 0.0)
    return result
