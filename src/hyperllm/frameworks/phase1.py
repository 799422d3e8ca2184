"""Phase 1's output as a file: the vectors phase 2 starts from.

An ``.npz`` with arrays ``users`` (u, d) and ``items`` (i, d); row r belongs to the r-th id in ascending numeric order.
Files of the published code carry a time coordinate in column 0; ours say ``time_coordinate = False`` and do not.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.geometry import columns, lorentz
from hyperllm.ids import Vocabulary

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Phase1Vectors:
    """Tangent vectors, rows in vocabulary order; with ``time_coordinate`` column 0 is the published code's u₀."""

    users: Matrix
    items: Matrix
    time_coordinate: bool

    @classmethod
    def load(cls, path: Path, *, users: Vocabulary, items: Vocabulary) -> Phase1Vectors:
        """Read and check an ``.npz``; rows are put into vocabulary order."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, TypeError, BadZipFile, zlib.error) as error:
            raise DataError(
                f"{str(path)!r} cannot be read as .npz ({error}); expected arrays users and items"
            ) from None
        if not {"users", "items"} <= arrays.keys():
            raise DataError(f"{str(path)!r} holds {sorted(arrays)}; expected arrays users and items")
        flag = bool(arrays.get("time_coordinate", np.True_))
        found = cls(_aligned(arrays["users"], users, "users"), _aligned(arrays["items"], items, "items"), flag)
        if found.users.shape[1] != found.items.shape[1]:
            raise MisalignedArrays(
                f"{str(path)!r}: users have {found.users.shape[1]} columns, items {found.items.shape[1]}"
            )
        return found

    def own(self) -> Phase1Vectors:
        """Of the columns those that are here."""
        parts = (columns.now().own(torch.from_numpy(part)).numpy() for part in (self.users, self.items))
        return Phase1Vectors(*parts, time_coordinate=self.time_coordinate)

    def digest(self) -> str:
        """SHA-256 of the vectors."""
        found = hashlib.sha256(repr((self.users.shape, self.items.shape, self.time_coordinate)).encode())
        for part in (self.users, self.items):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def save(self, path: Path, *, users: Vocabulary, items: Vocabulary) -> None:
        """Write the ``.npz``, rows in ascending numeric order of ids."""
        np.savez(
            path,
            users=self.users[users.numeric_order()],
            items=self.items[items.numeric_order()],
            time_coordinate=np.array(self.time_coordinate),
        )

    def start(
        self, *, compat: bool = False, user_radius: float | None = None, item_radius: float | None = None
    ) -> Tensor:
        """(u + i, d) tangent vectors for phase 2 (Eq. 12), users and items scaled to these mean radii.

        Deviation: the published code maps all columns through its exp₀, where the time coordinate lengthens the vector
        (``compat``); otherwise that column is dropped and d is one less.
        """
        users, items = (self._tangent(torch.from_numpy(part), compat) for part in (self.users, self.items))
        return torch.cat([scaled(users, user_radius), scaled(items, item_radius)])

    def _tangent(self, vectors: Tensor, compat: bool) -> Tensor:
        if not self.time_coordinate:
            return vectors
        if compat:
            return lorentz.logmap0(lorentz.expmap0_with_time(vectors, radius=1.5))
        return vectors[:, 1:]


def scaled(vectors: Tensor, radius: float | None) -> Tensor:
    """Vectors (n, d) times the number that makes ``radius`` their mean length; as they are without one."""
    mean = float(columns.now().lengths(vectors).mean()) if len(vectors) else 0.0
    return vectors if radius is None or mean == 0 else vectors * (radius / mean)


def _aligned(array: npt.NDArray[np.float32], vocabulary: Vocabulary, what: str) -> Matrix:
    if array.ndim != 2 or len(array) != len(vocabulary):
        raise MisalignedArrays(
            f"{what} has shape {array.shape}; expected one row for each of the {len(vocabulary):,} {what} of the split"
        )
    if array.dtype.kind != "f":
        raise DataError(f"{what} hold {array.dtype}; expected floating-point numbers")
    if not np.isfinite(array).all():
        raise DataError(f"{what} hold a value that is not finite")
    rows = np.empty_like(array, dtype=np.float32)
    rows[vocabulary.numeric_order()] = array
    return rows
