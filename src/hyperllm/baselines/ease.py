"""EASE^R: a linear item–item model in closed form (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019).

Knows the training pairs as a binary matrix X. Finds B with zero diagonal that minimises |X − XB|² + λ|B|²:
P = (XᵀX + λ)⁻¹, B = −P / diag(P) column by column, diagonal 0. Does not know users: each is served as the row of
their history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import get_lapack_funcs

from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, DataError
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class EaseConfig:
    """Settings of `ease`."""

    regularisation: float = 200.0
    """λ, larger is smoother; above 0."""

    max_items: int = 30_000
    """Refuse larger catalogues: the model is a dense items by items matrix (30,000 items need 7.2 GB to fit)."""

    def __post_init__(self) -> None:
        value, most = cast(object, self.regularisation), cast(object, self.max_items)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < math.inf):
            raise ConfigError(f"regularisation is {value!r}; expected a number above 0, such as 200.")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigError(f"max_items is {self.max_items!r}; expected a whole number of at least 1.")


def ease(split: Split, *, regularisation: float = 200.0) -> ScoreModel:
    """EASE^R on the training part: ``user_vectors`` the histories (U, I) CSR, ``item_vectors`` Bᵀ (I, I), inner."""
    return fit_ease(split, EaseConfig(regularisation=regularisation))


def fit_ease(split: Split, config: EaseConfig) -> ScoreModel:
    """`ease` with all settings; raises `DataError` where the catalogue is too large for a dense matrix."""
    if len(split.items) > config.max_items:
        raise DataError(
            f"EASE needs a dense matrix of {len(split.items):,} by {len(split.items):,} items "
            f"({8 * len(split.items) ** 2 / 1e9:.0f} GB to fit); max_items is {config.max_items:,}. "
            "Raise it if the memory is there, or filter the data with a larger core."
        )
    seen = split.train.matrix(len(split.users), len(split.items))
    return ScoreModel(
        users=split.users,
        items=split.items,
        user_vectors=seen,
        item_vectors=weights(seen, config.regularisation).T,
        geometry="inner",
        seen=seen,
        titles=(None,) * len(split.items),
    )


def weights(history: sparse.csr_matrix, regularisation: float) -> npt.NDArray[np.float32]:
    """B (I, I), computed in float64 by Cholesky, returned in float32."""
    wide = history.astype(np.float64)
    gram = np.asfortranarray((wide.T @ wide).toarray())
    gram[np.diag_indices_from(gram)] += regularisation
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, failed = potrf(gram, lower=1, overwrite_a=1)
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
