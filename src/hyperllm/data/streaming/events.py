"""A file of events -> numbers on disk and two sets of ids, checked as the whole file would be.

Knows blocks of a table, lines of Amazon reviews, and that some questions (are these texts times?) are the whole
column's to answer. Does not know filters or splits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.data.sources import columns
from hyperllm.data.sources.amazon import reviews
from hyperllm.data.sources.files import read_ahead, read_blocks, read_header
from hyperllm.data.sources.table import Names, event_columns, left_out
from hyperllm.data.streaming.budget import Budget, Plan
from hyperllm.data.streaming.encode import BYTES, Ids, settled
from hyperllm.data.streaming.scratch import Log

Read = TypeVar("Read")
Planned = Callable[[int], Plan]
"""Rows at a time beside so many bytes."""
_PROBES = ("2020-01-02", "02/01/2020")
"""Texts in two layouts of dates; a column is read in one layout."""


@dataclass(frozen=True)
class Events:
    """All events of a file in its order: a log of user and item codes, with rating and time where there are some."""

    users: Ids
    items: Ids
    log: Log
    notes: tuple[str, ...] = ()

    def only_ordered(self, rows: int) -> bool:
        """Whether times merely number each user's events; `hyperllm.data.sources.columns.per_user_order`."""
        users, n = len(self.users), len(self.log)
        if "time" not in self.log or users < 2 or n == users:
            return False
        count = np.zeros(users, dtype=np.int64)
        least, most = np.full(users, np.inf), np.full(users, -np.inf)
        for block in self.log.blocks(rows, "user", "time"):
            count += np.bincount(block["user"], minlength=users)
            np.minimum.at(least, block["user"], block["time"])
            np.maximum.at(most, block["user"], block["time"])
        first = least[0]
        if first not in (0.0, 1.0) or (least != first).any() or (most != first + count - 1).any():
            return False
        seen = np.zeros(n, dtype=bool)  # as many numbers as events, so each must stand for one
        starts = np.cumsum(count) - count
        for block in self.log.blocks(rows, "user", "time"):
            place = (block["time"] - first).astype(np.int64)
            if (place != block["time"] - first).any():
                return False
            seen[starts[block["user"]] + place] = True
        return bool(seen.all())


@dataclass(frozen=True)
class EventFile:
    """A file of events and which of its columns are what; ``folder`` takes what is unpacked or written on the way."""

    path: Path
    reading: Mapping[str, str | None]
    folder: Path

    @classmethod
    def of(cls, path: Path, names: Names, folder: Path) -> EventFile:
        """Find the columns; raises `DataError` as `read_table`."""
        return cls(path, event_columns(read_header(path, folder=folder), repr(str(path)), names), folder)

    def events(self, budget: Budget, planned: Planned, *, time_asked: bool) -> Events:
        """Read all events, a block at a time; raises `DataError` as `read_table`, or where ids outgrow the budget."""
        block = planned(read_ahead(self.path, self.names(), folder=self.folder)).block
        times = self._times(block)

        def read(seed: int) -> Events:
            reader = _Reader(self, times, self.folder / f"events-{seed}", seed, budget)
            return reader.read(block, time_asked=time_asked)

        return settled(read)

    def names(self) -> list[str]:
        """All columns that are read, each once."""
        return list(dict.fromkeys(name for name in self.reading.values() if name is not None))

    def _times(self, rows: int) -> Callable[[pl.Series], npt.NDArray[np.float64]]:
        """How the time column is to be read: the same answer as `columns.times` gives for the whole column."""
        name, where = self.reading["time"], repr(str(self.path))
        if name is None:
            return lambda column: columns.times(column, where=where)
        first: str | None = None
        words = moments = 0
        for block in read_blocks(self.path, [name], rows=rows, folder=self.folder):
            column = block[name]
            if column.dtype != pl.String:
                return lambda column: columns.times(column, where=where)
            words += columns.not_numbers(column)
            first = _first_date(column) if first is None else first
            if first is not None:
                moments += len(column) - _moments(column, first).null_count()
            if words and moments:
                break
        if not (words and moments):
            return lambda column: columns.numbers(column, what="time", where=where)
        layout = str(first)
        return lambda column: columns.seconds(_moments(column, layout), column, where=where)


def read_reviews(path: Path, folder: Path, budget: Budget, rows: int) -> Events:
    """Read the lines of an Amazon review file; raises `DataError` as `read_amazon`, or where ids outgrow the budget."""

    def read(seed: int) -> Events:
        here = folder / f"events-{seed}"
        here.mkdir()
        users, items = Ids(here / "users", seed=seed), Ids(here / "items", seed=seed)
        log = Log(here / "log", {"user": np.uint32, "item": np.uint32, "rating": np.float64, "time": np.float64})
        found = reviews(path)
        while block := list(islice(found, rows)):
            user, item, rating, time = zip(*block, strict=True)
            codes = (ids.codes(pl.Series(side, dtype=pl.String)) for ids, side in ((users, user), (items, item)))
            log.append(user=next(codes), item=next(codes), rating=np.array(rating), time=np.array(time))
            budget.require(BYTES * (len(users) + len(items)))
        for ids in (users, items):
            ids.forget()
        return Events(users, items, log)

    return settled(read)


def _moments(column: pl.Series, first: str) -> pl.Series:
    """`columns.moments_of` in the layout of ``first``."""
    return columns.moments_of(pl.concat([pl.Series(column.name, [first]), column]))[1:]


def _first_date(column: pl.Series) -> str | None:
    """The first text that settles the layout of a column's dates: it is one, or keeps one of two probes from being."""
    if columns.moments_of(column).null_count() == len(column) and not _settles(column.drop_nulls().to_list()):
        return None
    return next((text for text in column.drop_nulls() if _settles([text])), None)


def _settles(texts: list[str]) -> bool:
    read = [columns.moments_of(pl.Series([*texts, probe])) for probe in _PROBES]
    return read[0][:-1].null_count() < len(texts) or any(moments[-1] is None for moments in read)


class _Reader:
    """One pass over the file."""

    def __init__(
        self,
        file: EventFile,
        times: Callable[[pl.Series], npt.NDArray[np.float64]],
        folder: Path,
        seed: int,
        budget: Budget,
    ) -> None:
        folder.mkdir()
        self.budget = budget
        self.file, self.times, self.where = file, times, repr(str(file.path))
        self.users, self.items = Ids(folder / "users", seed=seed), Ids(folder / "items", seed=seed)
        more = {role: np.float64 for role in ("rating", "time") if file.reading[role] is not None}
        self.log = Log(folder / "log", {"user": np.uint32, "item": np.uint32, **more})
        self.refused: dict[str, columns.Refused] = {}
        self.rows = 0

    def read(self, rows: int, *, time_asked: bool) -> Events:
        """Everything, or the first complaint in the order in which the roles are read."""
        for block in read_blocks(self.file.path, self.file.names(), rows=rows, folder=self.file.folder):
            self._block(block)
            self.budget.require(BYTES * (len(self.users) + len(self.items)))
        untimed = None if time_asked else self.refused.pop("time", None)
        for role in self.file.reading:
            if role in self.refused:
                raise self.refused[role]
        for ids in (self.users, self.items):
            ids.forget()
        notes = () if untimed is None else (left_out(str(self.file.reading["time"]), untimed),)
        log = self.log if untimed is None else self.log.without("time")
        return Events(self.users, self.items, log, notes)

    def _block(self, block: pl.DataFrame) -> None:
        reading = self.file.reading
        found: dict[str, npt.NDArray[Any] | None] = {
            "user": self._tried("user", lambda: self.users.codes(self._ids(block[str(reading["user"])], "user"))),
            "item": self._tried("item", lambda: self.items.codes(self._ids(block[str(reading["item"])], "item"))),
        }
        if (name := reading["rating"]) is not None:
            rating = block[name]
            found["rating"] = self._tried("rating", lambda: columns.numbers(rating, what="rating", where=self.where))
        if (name := reading["time"]) is not None:
            time = block[name]
            found["time"] = self._tried("time", lambda: self.times(time))
        missing = np.zeros(block.height)
        if not {"user", "item", "rating"} & self.refused.keys():
            self.log.append(**{name: missing if values is None else values for name, values in found.items()})
        self.rows += block.height

    def _ids(self, column: pl.Series, what: str) -> pl.Series:
        if column.dtype.is_integer() and not column.null_count() and not str(column.dtype).endswith("128"):
            return column
        return columns.ids(column, what=what, where=self.where)

    def _tried(self, role: str, work: Callable[[], Read]) -> Read | None:
        """What ``work`` gives, or None where it is refused, which is remembered and counted."""
        try:
            return work()
        except columns.Refused as refused:
            self.refused[role] = refused.behind(self.rows, self.refused.get(role))
            return None
