"""Tables larger than memory -> Parquet, byte for byte what polars writes of the same table in memory.

Knows that polars writes a table in groups of rows whose sizes depend on its length alone, and that a table that comes
in frames of these sizes makes the same file. Does not know what the columns are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source
from pyarrow import parquet


def write_parquet(
    path: Path, frames: Callable[[], Iterable[pl.DataFrame]], schema: Mapping[str, Any], rows: int
) -> None:
    """Write ``rows`` rows that come in ``frames`` of any size, with the columns of ``schema``."""
    sizes = group_sizes(rows)

    def source(columns: list[str] | None, predicate: object, count: int | None, batch: int | None) -> Iterator[Any]:
        del columns, predicate, count, batch  # a plain write asks for everything
        yield from regrouped(frames(), sizes)

    lazy = register_io_source(source, schema=pl.Schema(schema))
    lazy.sink_parquet(path, optimizations=pl.QueryOptFlags.none())


def group_sizes(rows: int) -> list[int]:
    """How polars divides a table of so many rows that is in memory."""
    stream = io.BytesIO()
    pl.DataFrame({"nothing": pl.repeat(None, rows, dtype=pl.Null, eager=True)}).write_parquet(stream)
    found = parquet.read_metadata(stream)
    return [found.row_group(number).num_rows for number in range(found.num_row_groups)]


def regrouped(frames: Iterable[pl.DataFrame], sizes: Iterable[int]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of one chunk and of these sizes."""
    waiting: list[pl.DataFrame] = []
    source, held = iter(frames), 0
    for size in sizes:
        while held < size:
            waiting.append(next(source))
            held += waiting[-1].height
        whole = pl.concat(waiting)
        yield whole[:size].rechunk()
        waiting, held = [whole[size:]], held - size
