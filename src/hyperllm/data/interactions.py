"""Who clicked what.

Knows ids, pairs, ratings and times as plain arrays. Does not know where they came from or how they will be split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.errors import MisalignedArrays
from hyperllm.ids import Rows, Vocabulary


@dataclass(frozen=True)
class Interactions:
    """One row an event: ``user`` and ``item`` are row numbers (n,) into the two vocabularies.

    ``rating`` (n,) and ``time`` (n,) are None where the source has none. Time is whatever orders the source's events.
    """

    users: Vocabulary
    items: Vocabulary
    user: Rows
    item: Rows
    rating: npt.NDArray[np.float64] | None = None
    time: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name in ("item", "rating", "time"):
            array = getattr(self, name)
            if array is not None and len(array) != len(self.user):
                raise MisalignedArrays(f"{name} has {len(array):,} rows; user has {len(self.user):,}")

    def __len__(self) -> int:
        return len(self.user)

    @property
    def density(self) -> float:
        """Observed share of all user–item pairs."""
        return len(self) / max(1, len(self.users) * len(self.items))


@dataclass(frozen=True)
class Pairs:
    """User–item pairs as two row-number arrays (n,)."""

    user: Rows
    item: Rows

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs where ``chosen`` (n,) says so."""
        return Pairs(self.user[chosen], self.item[chosen])

    def matrix(self, users: int, items: int) -> sparse.csr_matrix:
        """Binary CSR matrix (users, items), duplicates once, indices sorted."""
        ones = np.ones(len(self), dtype=np.float32)
        matrix = sparse.csr_matrix((ones, (self.user, self.item)), shape=(users, items))
        matrix.data[:] = 1.0
        matrix.sort_indices()
        return matrix
