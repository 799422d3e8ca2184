"""Text vectors of users and items.

Knows two matrices, whose rows they are and who made them. Does not know how a text became a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from hyperllm import artifacts
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Vocabulary

KIND = "semantics"
_AT_ONCE = 65_536
"""Rows that are checked together."""


@dataclass(frozen=True)
class Semantics:
    """``user_vectors`` (users, d₁) and ``item_vectors`` (items, d₁), float32, rows in vocabulary order (Eq. 7)."""

    users: Vocabulary
    items: Vocabulary
    user_vectors: npt.NDArray[np.float32]
    item_vectors: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for what, vocabulary, vectors in (
            ("user", self.users, self.user_vectors),
            ("item", self.items, self.item_vectors),
        ):
            if vectors.ndim != 2 or len(vectors) != len(vocabulary):
                raise MisalignedArrays(
                    f"{what} vectors have shape {vectors.shape}; expected one row for each of the "
                    f"{len(vocabulary):,} {what}s. Are they from another data set or split?"
                )
            if not all(np.isfinite(vectors[at : at + _AT_ONCE]).all() for at in range(0, len(vectors), _AT_ONCE)):
                raise DataError(f"{what} vectors hold a value that is not finite")
        if self.user_vectors.shape[1] != self.item_vectors.shape[1]:
            raise MisalignedArrays(
                f"user vectors have {self.user_vectors.shape[1]} columns, item vectors {self.item_vectors.shape[1]}"
            )

    def save(self, folder: Path, *, config: dict[str, Any], inputs: dict[str, str]) -> None:
        """Write the artifact ``folder``: one safetensors file and the id fingerprints."""
        facts = {
            "users": self.users.fingerprint,
            "items": self.items.fingerprint,
            "dim": int(self.item_vectors.shape[1]),
        }
        with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
            save_file({"users": self.user_vectors, "items": self.item_vectors}, work / "embeddings.safetensors")

    @classmethod
    def load(cls, folder: Path, *, users: Vocabulary, items: Vocabulary) -> Semantics:
        """Read what `save` wrote; raises `MisalignedArrays` when it belongs to other users or items."""
        manifest = artifacts.read(folder, KIND)
        for name, vocabulary in (("users", users), ("items", items)):
            if manifest.facts[name] != vocabulary.fingerprint:
                raise MisalignedArrays(
                    f"{str(folder)!r} was made for other {name} than this split has; run `embed` again."
                )
        vectors = load_file(folder / "embeddings.safetensors")
        return cls(users, items, vectors["users"], vectors["items"])


def centred(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Vectors (n, d₁) minus the mean of those that are not 0, of unit length; what was 0, a missing text, stays 0."""
    return unit_from_mean(vectors, mean_of_told(vectors))


def mean_of_told(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(d₁,) the mean of the vectors (n, d₁) that are not 0; 0 where none is."""
    told = vectors.any(axis=1)
    return vectors[told].mean(axis=0, dtype=np.float64) if told.any() else np.zeros(vectors.shape[1])


def unit_from_mean(vectors: npt.NDArray[np.float32], mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Vectors (n, d₁) minus ``mean`` (d₁,), of unit length; what was 0, a missing text, stays 0."""
    told = vectors.any(axis=1)
    away = np.zeros(vectors.shape)
    away[told] = vectors[told] - mean
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
