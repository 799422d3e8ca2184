"""Columns of numbers on disk: written a block at a time, read in blocks.

Knows one raw file a column and nothing of what a column means. Nothing is memory-mapped, so that what a pass holds is
what it asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Block = dict[str, npt.NDArray[Any]]
"""Columns of equal length by name."""


def taken(block: Block, chosen: npt.NDArray[np.bool_]) -> Block:
    """The rows that are chosen (n,)."""
    return {name: values[chosen] for name, values in block.items()}


class Log:
    """A table of numbers in the folder ``path``; ``dtypes`` names its columns."""

    def __init__(self, path: Path, dtypes: Mapping[str, npt.DTypeLike]) -> None:
        self.path = path
        self.dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self.rows = 0
        path.mkdir()

    def __len__(self) -> int:
        return self.rows

    def __contains__(self, column: str) -> bool:
        return column in self.dtypes

    def append(self, **columns: npt.NDArray[Any]) -> None:
        """Add rows; every column of ``dtypes`` must be given."""
        for name, dtype in self.dtypes.items():
            with (self.path / name).open("ab") as stream:
                np.ascontiguousarray(columns[name], dtype=dtype).tofile(stream)
        self.rows += len(columns[next(iter(self.dtypes))])

    def blocks(self, rows: int, *names: str) -> Iterator[Block]:
        """Blocks of at most ``rows`` rows in order, of the columns ``names`` or of all."""
        for start in range(0, self.rows, rows):
            yield self.read(start, min(rows, self.rows - start), *names)

    def read(self, start: int = 0, count: int | None = None, *names: str) -> Block:
        """``count`` rows from ``start`` on, all by default."""
        count = self.rows - start if count is None else count
        return {name: self._column(name, start, count) for name in names or self.dtypes}

    def _column(self, name: str, start: int, count: int) -> npt.NDArray[Any]:
        dtype = self.dtypes[name]
        if not count:
            return np.empty(0, dtype=dtype)
        return np.fromfile(self.path / name, dtype=dtype, count=count, offset=start * dtype.itemsize)

    def without(self, name: str) -> Log:
        """The same rows without a column."""
        other = copy(self)
        other.dtypes = {column: dtype for column, dtype in self.dtypes.items() if column != name}
        return other

    def remove(self) -> None:
        """Give the disk back."""
        shutil.rmtree(self.path)


class Buckets:
    """Rows divided by user: all rows of a user are in one bucket, in the order they came.

    ``home`` (users,) says in which bucket; by default the remainder of the user's number does.
    """

    def __init__(
        self, path: Path, count: int, dtypes: Mapping[str, npt.DTypeLike], *, home: npt.NDArray[Any] | None = None
    ) -> None:
        path.mkdir()
        self.home = home
        self.logs = [Log(path / str(number), dtypes) for number in range(count)]

    def append(self, **columns: npt.NDArray[Any]) -> None:
        """Add rows; the column ``user`` decides where each goes."""
        user = columns["user"]
        home = user % len(self.logs) if self.home is None else self.home[user]
        order = np.argsort(home, kind="stable")
        ends = np.searchsorted(home[order], np.arange(len(self.logs) + 1))
        for log, start, stop in zip(self.logs, ends[:-1], ends[1:], strict=True):
            if stop > start:
                log.append(**{name: columns[name][order[start:stop]] for name in log.dtypes})

    def __iter__(self) -> Iterator[Block]:
        return (log.read() for log in self.logs if len(log))

    def remove(self) -> None:
        """Give the disk back."""
        shutil.rmtree(self.logs[0].path.parent)


@contextmanager
def scratch(workspace: Path) -> Generator[Path]:
    """A hidden folder beside ``workspace``, gone afterwards whatever happens; what a killed process left is dropped."""
    place = workspace.resolve()
    folder = place.with_name(f".{place.name}.prepare")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
