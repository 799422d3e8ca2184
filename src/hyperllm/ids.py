"""External ids and row numbers.

Knows how to turn a user's, an item's or a tag's own id into a row of a matrix and back, and how little memory millions
of ids can take. Does not know what the rows hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.errors import DataError, UnknownId, did_you_mean

Rows = npt.NDArray[np.int64]


def distinct(keys: Rows) -> Rows:
    """The distinct of these numbers (m,), in order: sorted where they are, and copied only where some repeat."""
    keys.sort()
    fresh = np.empty(len(keys), dtype=bool)
    fresh[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys if fresh.all() else keys[fresh]


def _order(value: str) -> tuple[int, int, str]:
    """Whole numbers first, by value; then everything else, by text."""
    if value.isascii() and value.isdigit():
        return (0, int(value), value)
    return (1, 0, value)


def _repeats(ids: Sequence[str] | pl.Series) -> bool:
    """Whether an id stands twice; a column is looked at through hashes, which take less than a table of its texts."""
    if not isinstance(ids, pl.Series):
        return len(set(ids)) != len(ids)
    hashes = np.sort(ids.hash().to_numpy())
    return bool((hashes[1:] == hashes[:-1]).any()) and ids.n_unique() != len(ids)


@dataclass(frozen=True, eq=False, init=False)
class Vocabulary:
    """External id ↔ row number; frozen, duplicate-free, fingerprinted.

    ``texts`` is the column of ids (String), ``texts[r]`` the external id of row r, 17 to 40 bytes each. Python strings
    (`ids`, 90 bytes more) and what looks ids up (another 70) are made when first asked for. Two vocabularies are equal
    when their fingerprints are.
    """

    texts: pl.Series

    def __init__(self, ids: Sequence[str] | pl.Series) -> None:
        texts = ids.rename("") if isinstance(ids, pl.Series) else pl.Series(values=ids, dtype=pl.String)
        if _repeats(ids):
            twice = texts.filter(texts.is_duplicated())[0]
            raise DataError(f"the id {twice!r} stands twice; ids must be unique")
        object.__setattr__(self, "texts", texts)

    @classmethod
    def sealed(cls, texts: pl.Series) -> Vocabulary:
        """The ids of an artifact: distinct when it was written, and looking again would take 20 bytes an id."""
        made = cls.__new__(cls)
        object.__setattr__(made, "texts", texts)
        return made

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids as Python strings, in the order of rows."""
        return tuple(self.texts)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.ids)}

    @classmethod
    def of(cls, values: Iterable[object]) -> Vocabulary:
        """The distinct values, whole numbers by value and before text, text by code point."""
        return cls(tuple(sorted({str(v) for v in values}, key=_order)))

    def __len__(self) -> int:
        return len(self.texts)

    def __contains__(self, value: object) -> bool:
        return value in self._row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self is other or self.texts.equals(other.texts))

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the ids in order, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for value in self.texts:
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
        ids = self.texts.to_list()
        if all(value.isascii() and value.isdigit() for value in ids):
            return np.array(sorted(range(len(ids)), key=lambda row: int(ids[row])), dtype=np.int64)
        return np.arange(len(ids))

    def take(self, rows: npt.ArrayLike) -> list[str]:
        """External ids of row numbers, in the order given."""
        chosen = np.asarray(rows, dtype=np.int64).ravel()
        if "ids" in vars(self):  # they are there already
            return [self.ids[row] for row in chosen.tolist()]
        return self.texts.gather(chosen).to_list()
