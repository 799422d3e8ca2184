"""Ids to numbers, without a Python object an id.

Knows the ids met so far as sorted 64-bit keys with a code each (whole numbers are their own key, text is hashed twice),
and their texts on disk. Does not know users from items. The codes say nothing; `ordered` gives the order that
`hyperllm.ids.Vocabulary.of` would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.ids import Rows

Codes = npt.NDArray[np.uint32]
Made = TypeVar("Made")
BYTES = 40
"""What an id costs while events are read: key, check and code, and as much again while a block adds to them."""
BYTES_IN_ORDER = 110
"""What an id costs while those that are left are put in order, and their rows after it."""


class Collision(Exception):
    """Two different ids have the same key; hash with another seed."""


def settled(work: Callable[[int], Made]) -> Made:
    """What ``work`` makes with the first seed for hashing that gives no two ids the same key."""
    for seed in count():
        try:
            return work(seed)
        except Collision:
            continue
    raise AssertionError


class Ids:
    """Ids of one kind by code: 0, 1, 2 … as they were met."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self._folder, self._seed = folder, seed
        self._key = np.empty(0, dtype=np.uint64)
        self._check = np.empty(0, dtype=np.uint64)
        self._code = np.empty(0, dtype=np.uint32)
        self._count = self._files = 0
        folder.mkdir()

    def __len__(self) -> int:
        return self._count

    def codes(self, column: pl.Series) -> Codes:
        """Codes (n,) of a block of ids, whole numbers or text; new ids get the next ones. May raise `Collision`."""
        frame = _keyed(column, self._seed)
        met = frame.unique(("key", "check")).sort("key")
        key, check = met["key"].to_numpy(), met["check"].to_numpy()
        if (key[1:] == key[:-1]).any():
            raise Collision
        place, known = self._found(key, check)
        code = np.empty(len(key), dtype=np.uint32)
        code[known] = self._code[place[known]]
        code[~known] = np.arange(len(self), len(self) + int((~known).sum()), dtype=np.uint32)
        self._add(met.filter(pl.Series(~known))["id"], place[~known], key[~known], check[~known], code[~known])
        lookup = pl.DataFrame({"key": key, "code": code})
        return frame.select("key").join(lookup, on="key", how="left", maintain_order="left")["code"].to_numpy()

    def met(self, column: pl.Series) -> npt.NDArray[np.bool_]:
        """Which of a block of ids (n,) were given codes. May raise `Collision`."""
        frame = _keyed(column, self._seed)
        return self._found(frame["key"].to_numpy(), frame["check"].to_numpy())[1]

    def _found(self, key: npt.NDArray[np.uint64], check: npt.NDArray[np.uint64]) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Where keys (n,) stand or would stand, and whether they stand there."""
        place = np.searchsorted(self._key, key)
        there = np.minimum(place, max(0, len(self) - 1))
        known = self._key[there] == key if len(self) else np.zeros(len(key), dtype=bool)
        if (self._check[there[known]] != check[known]).any():
            raise Collision
        return place, known

    def _add(
        self, ids: pl.Series, place: Rows, key: npt.NDArray[np.uint64], check: npt.NDArray[np.uint64], code: Codes
    ) -> None:
        if not len(ids):
            return
        pl.DataFrame({"id": ids.cast(pl.String)}).write_parquet(self._folder / f"{self._files:08}.parquet")
        self._files += 1
        self._count += len(ids)
        self._key = np.insert(self._key, place, key)
        self._check = np.insert(self._check, place, check)
        self._code = np.insert(self._code, place, code)

    def blocks(self) -> Iterator[pl.Series]:
        """All ids as text, by code, as many at a time as were met at a time."""
        for number in range(self._files):
            yield pl.read_parquet(self._folder / f"{number:08}.parquet")["id"]

    def texts(self) -> pl.Series:
        """All ids as text, by code."""
        return pl.concat(list(self.blocks()))

    def forget(self) -> None:
        """Drop what only reading needs; the texts stay."""
        empty = np.empty(0, dtype=np.uint64)
        self._key, self._check, self._code = empty, empty, np.empty(0, dtype=np.uint32)


def _keyed(column: pl.Series, seed: int) -> pl.DataFrame:
    """Columns id, key and check; equal ids have equal keys and checks."""
    if column.dtype.is_integer():
        signed = column.dtype.is_signed_integer()
        key = column.cast(pl.Int64).reinterpret(signed=False) if signed else column.cast(pl.UInt64)
        return pl.DataFrame({"id": column, "key": key, "check": key})
    first, second = column.hash(2 * seed), column.hash(2 * seed + 1)
    return pl.DataFrame({"id": column, "key": first, "check": second})


def ordered(ids: pl.Series) -> Rows:
    """The places (n,) of distinct ids in order: whole numbers first, by value, then everything else by code point."""
    whole = ids.str.contains(r"^[0-9]+$")
    if whole.all() and len(ids) and int(ids.str.len_bytes().max()) <= 18:  # type: ignore[arg-type]
        value = ids.cast(pl.Int64)
        if value.n_unique() == len(value):
            return value.arg_sort().to_numpy().astype(np.int64)
    digits = pl.when("whole").then(pl.col("id").str.strip_chars_start("0"))
    frame = pl.DataFrame({"id": ids, "whole": whole})
    order = pl.arg_sort_by(~pl.col("whole"), digits.str.len_bytes(), digits, pl.col("id"))
    return frame.select(order).to_series().to_numpy().astype(np.int64)
