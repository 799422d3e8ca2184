"""Item texts that do not fit in memory: the first row of each clicked item waits on disk until the filters are done.

Knows rows in the form of a catalogue that come a block at a time, and a few bytes an id that was clicked or described.
Does not know files that users bring.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.data.catalog import SCHEMA, Catalog, says_something, tidy
from hyperllm.data.streaming.budget import Budget
from hyperllm.data.streaming.encode import BYTES, Ids, ordered
from hyperllm.ids import Vocabulary

_COPIES = 3
"""How often the kept items' texts are there while they are put in order, counted and written."""


class Texts:
    """What an item table says of the items that were ``clicked``, by their codes.

    ``repeated`` counts the rows that are not the first of their id.
    """

    def __init__(self, folder: Path, clicked: Ids, budget: Budget, *, seed: int) -> None:
        folder.mkdir()
        self._folder, self._budget = folder, budget
        self._ids = Ids(folder / "ids", seed=seed)
        self._clicked = len(clicked)
        self._code = np.empty(self._clicked, dtype=np.uint32)  # here -> among the clicked
        start = 0
        for ids in clicked.blocks():
            self._code[self._ids.codes(ids)] = np.arange(start, start + len(ids), dtype=np.uint32)
            start += len(ids)
        self._described = np.zeros(len(clicked), dtype=bool)
        self._files = self._unclicked = self.repeated = 0

    def known(self, ids: list[str]) -> Set[str]:
        """Those of some ids that were clicked or described."""
        column = pl.Series(ids, dtype=pl.String)
        return set(column.filter(pl.Series(self._ids.met(column))))

    def add(self, rows: pl.DataFrame) -> None:
        """Take the next rows of the table, with the columns of a catalogue; raises `DataError` where ids outgrow it."""
        rows, before = tidy(rows), len(self._ids)
        code = self._ids.codes(rows["item_id"])
        self._budget.require(BYTES * len(self._ids))
        fresh = np.zeros(len(code), dtype=bool)
        fresh[np.unique(code, return_index=True)[1]] = True
        clicked = code < self._clicked
        fresh[clicked] &= ~self._described[code[clicked]]
        fresh[~clicked] &= code[~clicked] >= before
        self.repeated += int((~fresh).sum())
        self._described[code[fresh & clicked]] = True
        self._unclicked += _told(rows.filter(pl.Series(fresh & ~clicked)))
        first = rows.filter(pl.Series(fresh & clicked))
        if first.height:
            first.with_columns(code=self._code[code[fresh & clicked]]).write_parquet(self._path(self._files))
            self._files += 1

    @property
    def nothing(self) -> bool:
        """Whether not one clicked item is described."""
        return not self._described.any()

    def example(self) -> str:
        """The first id, in the order of a vocabulary, of the items that are described and were not clicked."""
        others = self._ids.texts()[self._clicked :]
        return others[int(ordered(others)[0])]

    def forget(self) -> None:
        """Drop what only reading needs."""
        self._ids.forget()

    def catalog(self, items: Vocabulary, kept: npt.NDArray[np.bool_]) -> tuple[Catalog, int]:
        """The texts of ``items``, which are those ``kept`` (clicked,), and how many others have some.

        Raises `DataError` where the texts outgrow the budget.
        """
        frames, size, others = [pl.DataFrame(schema=SCHEMA)], 0, self._unclicked
        for number in range(self._files):
            frame = pl.read_parquet(self._path(number))
            stays = pl.Series(kept[frame["code"].to_numpy()])
            frame = frame.drop("code")
            others += _told(frame.filter(~stays))
            frames.append(_apart(frame.filter(stays)))
            size += int(frames[-1].estimated_size())
            self._budget.require(_COPIES * size)
        return Catalog.aligned(pl.concat(frames), items), others

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.parquet"


def _apart(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows with texts of their own: what polars filters keeps the texts of all rows alive."""
    return pl.DataFrame(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))


def _told(rows: pl.DataFrame) -> int:
    """How many rows say anything."""
    return int(rows.select(says_something().sum()).item())
