"""What the item–item models share: a user is the row of their history X, and scores are X·W for item weights W.

Knows how large W may be, how it is thinned to neighbours and how it is served. Does not know how it came about.
Shapes: U users, I items; W[i, j] is what having i says for j.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass
from scipy import sparse

from hyperllm.config import SETTINGS
from hyperllm.data.catalog import Catalog
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError
from hyperllm.serving.model import ScoreModel

Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=SETTINGS)
class LinearConfig:
    """The setting that every item–item model has."""

    max_items: PositiveInt = 30_000
    """Refuse larger catalogues: W is a dense matrix (30,000 items take 3.6 GB, and 7.2 GB more to fit EASE^R)."""


def histories(split: Split, config: LinearConfig) -> sparse.csr_matrix:
    """X (U, I), the training part; raises `DataError` where the catalogue is too large for a dense W."""
    items = len(split.items)
    if items > config.max_items:
        raise DataError(
            f"an item–item model is a dense matrix of {items:,} by {items:,} items ({4 * items**2 / 1e9:.0f} GB, and "
            f"twice that to fit EASE^R); max_items is {config.max_items:,}. "
            "Raise it if the memory is there, or filter the data with a larger core."
        )
    return split.train.matrix(len(split.users), items)


def neighbours(weights: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """The k largest weights of each row, an item's own apart; ties go to the smaller row number."""
    row = np.repeat(np.arange(len(weights.indptr) - 1), np.diff(weights.indptr))
    own, size = row == weights.indices, np.asarray(weights.data, dtype=np.float64)
    order = np.lexsort((weights.indices, -size, own, row))
    place = np.arange(len(order)) - np.asarray(weights.indptr)[row]
    kept = order[(place < k) & ~own[order]]
    return sparse.csr_matrix((size[kept], (row[kept], weights.indices[kept])), shape=weights.shape)


def served(
    split: Split,
    history: sparse.csr_matrix,
    weights: npt.NDArray[np.float32] | sparse.csr_matrix,
    *,
    tags: TagGraph | None = None,
) -> ScoreModel:
    """The model of W (I, I): ``user_vectors`` the histories (U, I) CSR, ``item_vectors`` Wᵀ (I, I), inner."""
    dense = weights if isinstance(weights, np.ndarray) else weights.astype(np.float32).toarray()
    return ScoreModel(
        users=split.users,
        items=split.items,
        user_vectors=history,
        item_vectors=dense.T,
        geometry="inner",
        seen=history,
        catalog=Catalog.empty(split.items),
        tags=tags,
    )
