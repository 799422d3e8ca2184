"""The best items of every user from many processes: users in blocks, a Parquet file a block.

Each process opens the model by itself, but its arrays are memory-mapped, so a machine holds their pages once. A block's
file appears when it is whole, and one that stands already is not made again: an interrupted call goes on. The rows are
those of `Recommender.recommend_all`, in its order. Does not know how an item is scored.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm import artifacts
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.rank import check_k
from hyperllm.scale.blocks import BlockWorker, through, written
from hyperllm.scale.cluster import Cluster
from hyperllm.serving.additions import Additions
from hyperllm.serving.arrange import Order
from hyperllm.serving.recommender import BATCH, Recommender, write_frames
from hyperllm.serving.selection import Filter
from hyperllm.serving.storage import find

Progress = Callable[[int, int], object]
BLOCK = 4 * BATCH
"""Users of a file."""
PROCESS_BYTES, ID_BYTES = 300_000_000, 90
"""What a process holds for itself, beside the arrays that a machine holds once: libraries, and the names of all ids."""
ABOUT = "made_from"
_USERS = pa.schema({"start": pa.int64(), "stop": pa.int64(), "part": pa.string()})
_WRITTEN = pa.schema({"users": pa.int64(), "rows": pa.int64()})


@dataclass(frozen=True)
class Wanted:
    """What every user gets: ``k`` items of the model in ``folder``, as `Recommender.recommend_all` is asked."""

    folder: Path
    k: int
    filter_seen: bool = True
    filter: Filter | None = None
    order: Order | None = None

    def digest(self) -> str:
        """Equal for equal lists."""
        added = Additions.beside(self.folder).path
        made_from = artifacts.fingerprint(find(self.folder)), artifacts.file_digest(added) if added.exists() else None
        return artifacts.digest([*made_from, self.k, self.filter_seen, repr(self.filter), repr(self.order)])


def recommend_all(
    wanted: Wanted, out: Path, cluster: Cluster, *, progress: Progress | None = None, block: int = BLOCK
) -> int:
    """Write the best items of every user to ``out``; returns the number of rows.

    A name that ends in ``.parquet`` becomes one file, any other a folder of ``part-NNNNNNN.parquet``, ``block`` users
    each. ``progress`` is called with (users done, all users).
    """
    check_k(wanted.k)
    _check_out(out)
    users, ids = _counts(wanted.folder)
    parts = _Parts.begun(out.with_name(f".{out.name}.parts"), wanted.digest(), users, block)
    done = parts.finished
    with written(parts.folder / "users", parts.open(), _USERS, 1) as paths:
        if paths:
            processes = cluster.workers(len(paths), bytes_each=PROCESS_BYTES + ID_BYTES * ids)
            for table in through(paths, RecommendingWorker, (wanted,), processes=processes, num_cpus=1):
                done += sum(table["users"].to_pylist())
                if progress is not None:
                    progress(done, users)
    return parts.become(out)


def _counts(folder: Path) -> tuple[int, int]:
    """(users, users and items) of a model."""
    shop = Recommender.load(folder)
    return len(shop.users), len(shop.users) + len(shop.items)


def _check_out(out: Path) -> None:
    if not out.parent.is_dir():
        raise DataError(f"the folder {str(out.parent)!r} of what is to be written does not exist; make it first.")
    if out.suffix == ".parquet" and out.is_dir():
        raise ConfigError(f"{str(out)!r} is a folder; name a file, or a folder without .parquet in its name")
    if out.suffix != ".parquet" and out.exists() and not (out.is_dir() and all(map(_is_part, out.iterdir()))):
        raise ConfigError(f"{str(out)!r} holds something else than recommendations; choose another name")


def _is_part(path: Path) -> bool:
    return path.name.startswith("part-") and path.suffix == ".parquet"


@dataclass(frozen=True)
class _Parts:
    """The files of one call, made or still to be made, in a hidden folder beside what they become."""

    folder: Path
    users: int
    block: int

    @classmethod
    def begun(cls, folder: Path, digest: str, users: int, block: int) -> _Parts:
        """Those of an interrupted call for the same; else an empty folder."""
        told, about = folder / ABOUT, f"{digest} in blocks of {block}\n"
        if not (told.exists() and told.read_text(encoding="utf-8") == about):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            told.write_text(about, encoding="utf-8")
        return cls(folder, users, block)

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        starts = range(0, self.users, self.block)
        parts = [str(self.folder / f"part-{number:07d}.parquet") for number in range(len(starts))]
        stops = [min(start + self.block, self.users) for start in starts]
        return [{"start": a, "stop": b, "part": part} for a, b, part in zip(starts, stops, parts, strict=True)]

    def open(self) -> Iterator[dict[str, Any]]:
        """The blocks without a file."""
        return (row for row in self._all if not Path(row["part"]).exists())

    @property
    def finished(self) -> int:
        """Users whose block has its file."""
        return sum(row["stop"] - row["start"] for row in self._all if Path(row["part"]).exists())

    def become(self, out: Path) -> int:
        """Give the whole its name, and say how many rows it has."""
        files = [Path(row["part"]) for row in self._all]
        rows = sum(pq.read_metadata(path).num_rows for path in files)
        if out.suffix == ".parquet":
            whole = self.folder / "whole"
            write_frames(whole, _groups(files))
            whole.replace(out)
            shutil.rmtree(self.folder)
            return rows
        (self.folder / ABOUT).unlink()
        with suppress(FileNotFoundError):
            shutil.rmtree(out)
        self.folder.rename(out)
        return rows


def _groups(files: Sequence[Path]) -> Iterator[pl.DataFrame]:
    """Row group after row group, as they were written."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                frame = pl.from_arrow(file.read_row_group(number))
                assert isinstance(frame, pl.DataFrame)
                yield frame


class RecommendingWorker(BlockWorker):
    """One of the processes that rank: a model, and a block of users at a time."""

    schema = _WRITTEN

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._shop = Recommender.load(wanted.folder)

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Write the files of these blocks of users; how many users and rows are in each."""
        return (self._write(**row) for row in rows)

    def name(self, row: dict[str, Any]) -> str:
        """The users of a file."""
        first, last = self._shop.users.take([row["start"], row["stop"] - 1])
        return f"the {row['stop'] - row['start']:,} users from {first!r} to {last!r}"

    def _write(self, *, start: int, stop: int, part: str) -> dict[str, int]:
        scratch = Path(f"{part}.partial")
        rows = write_frames(scratch, self._frames(start, stop))
        scratch.replace(part)
        return {"users": stop - start, "rows": rows}

    def _frames(self, start: int, stop: int) -> Iterator[pl.DataFrame]:
        wanted = self._wanted
        for first in range(start, stop, BATCH):
            rows = np.arange(first, min(first + BATCH, stop), dtype=np.int64)
            yield self._shop.frame(
                rows, wanted.k, filter_seen=wanted.filter_seen, filter=wanted.filter, order=wanted.order
            )
