"""External ids and row numbers.

Knows how to turn a user's, an item's or a tag's own id into a row of a matrix and back. Does not know what the rows
hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hyperllm.errors import DataError, UnknownId, did_you_mean

Rows = npt.NDArray[np.int64]


def _order(value: str) -> tuple[int, int, str]:
    """Whole numbers first, by value; then everything else, by text."""
    if value.isascii() and value.isdigit():
        return (0, int(value), value)
    return (1, 0, value)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """External id ↔ row number; frozen, duplicate-free, fingerprinted.

    ``ids[r]`` is the external id of row r. Two vocabularies are equal when their fingerprints are.
    """

    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids):
            seen: set[str] = set()
            twice = next(v for v in self.ids if v in seen or seen.add(v))
            raise DataError(f"the id {twice!r} stands twice; ids must be unique")

    @cached_property
    def _row(self) -> dict[str, int]:
        """Made when first asked for: it takes as much memory as the ids, and not every stage looks ids up."""
        return {value: number for number, value in enumerate(self.ids)}

    @classmethod
    def of(cls, values: Iterable[object]) -> Vocabulary:
        """The distinct values, whole numbers by value and before text, text by code point."""
        return cls(tuple(sorted({str(v) for v in values}, key=_order)))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, value: object) -> bool:
        return value in self._row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the ids in order, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for value in self.ids:
            raw = value.encode()
            digest.update(len(raw).to_bytes(4, "little"))
            digest.update(raw)
        return digest.hexdigest()

    def row(self, value: str) -> int:
        """The row number of one known id."""
        return self._row[value]

    def rows(self, ids: Sequence[str], *, what: str = "id") -> Rows:
        """Row numbers of ``ids``; raises `UnknownId` that names the first unknown one."""
        try:
            return np.fromiter((self._row[v] for v in ids), dtype=np.int64, count=len(ids))
        except KeyError as missing:
            value = str(missing.args[0])
            hint = did_you_mean(value, self.ids) if len(self) <= 100_000 else ""
            raise UnknownId(f"unknown {what} {value!r}; there are {len(self):,} known ones.{hint}") from None

    def numeric_order(self) -> Rows:
        """Row numbers by ascending numeric id; plain 0, 1, 2 … where an id is not a whole number."""
        if all(value.isascii() and value.isdigit() for value in self.ids):
            return np.array(sorted(range(len(self)), key=lambda row: int(self.ids[row])), dtype=np.int64)
        return np.arange(len(self))

    def take(self, rows: npt.ArrayLike) -> list[str]:
        """External ids of row numbers, in the order given."""
        return [self.ids[int(r)] for r in np.asarray(rows).ravel()]
