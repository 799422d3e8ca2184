"""Blocks of rows in Parquet, each of which goes through one of several worker processes of Ray Data.

A block is a file, and Ray is handed its path: a worker reads what it works on, and a block whose worker died is given
to the one that Ray starts in its place, without end. So a worker notes beside a block what it begins and ends. What was
begun and never ended has killed its process: it is halved for the next one, until one row is left that kills, and a row
that has cost `TRIES` processes is given up. Knows files and workers, and nothing of what is in them.
"""

from __future__ import annotations

import shutil
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.errors import DataError
from hyperllm.scale.cluster import data_of_ray

LOOK_S = 0.5
"""Between two looks at how far the workers are."""
TRIES = 3
"""Processes that a row may cost: the second may have died by chance, with its machine."""
MANY = 10
"""So many rows given up, and it is not the rows: nothing more is tried."""
GIVEN_UP = "given_up"
"""The column that names a row which was given up."""
T = TypeVar("T")


class BlockWorker(ABC):
    """Made once a process; called with one block after the other."""

    schema: ClassVar[pa.Schema]
    """Of what `made` makes."""

    def __call__(self, paths: pa.Table) -> pa.Table:
        """What came of the blocks at these ``path``s: `schema`, and the name of each row that was given up."""
        rows = [row for path in paths["path"].to_pylist() for row in self._through(Path(path))]
        return pa.Table.from_pylist(rows, schema=self.schema.append(pa.field(GIVEN_UP, pa.string())))

    def _through(self, path: Path) -> Iterator[dict[str, Any]]:
        rows, attempts = pq.read_table(path).to_pylist(), Attempts(path.with_suffix(".begun"))
        killed = attempts.killed()
        for part in _parts(slice(0, len(rows)), killed):
            if killed[part.start, part.stop] < TRIES:
                with attempts.of(part):
                    made = list(self.made(rows[part]))
                yield from made
            else:
                yield self.given_up(rows[part.start])

    @abstractmethod
    def made(self, rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """What comes of some rows of a block."""

    def given_up(self, row: dict[str, Any]) -> dict[str, Any]:
        """What stands for a row that has cost `TRIES` processes; with its name, `through` ends with an error."""
        return {GIVEN_UP: self.name(row)}

    @abstractmethod
    def name(self, row: dict[str, Any]) -> str:
        """What a person is told of a row."""


@dataclass(frozen=True)
class Attempts:
    """What was begun and what was ended of a block, a line each, on the disk of all workers."""

    path: Path

    def killed(self) -> Counter[tuple[int, int]]:
        """How many processes died with (first row, row after the last)."""
        found: Counter[tuple[int, int]] = Counter()
        if self.path.exists():
            for line in self.path.read_text(encoding="ascii").splitlines():
                start, stop, what = line.split()
                found[int(start), int(stop)] += 1 if what == "begun" else -1
        return found

    @contextmanager
    def of(self, part: slice) -> Generator[None]:
        """Note that some rows are worked on; one that dies in the block, or fails, does not note the end."""
        self._note(part, "begun")
        yield
        self._note(part, "ended")

    def _note(self, part: slice, what: str) -> None:
        with self.path.open("a", encoding="ascii") as stream:
            stream.write(f"{part.start} {part.stop} {what}\n")


def _parts(rows: slice, killed: Counter[tuple[int, int]]) -> Iterator[slice]:
    """The rows in one piece, or halves of whatever killed a process."""
    if killed[rows.start, rows.stop] and rows.stop - rows.start > 1:
        middle = (rows.start + rows.stop) // 2
        yield from _parts(slice(rows.start, middle), killed)
        yield from _parts(slice(middle, rows.stop), killed)
    else:
        yield rows


@contextmanager
def written(folder: Path, rows: Iterator[dict[str, Any]], schema: pa.Schema, size: int) -> Generator[list[Path]]:
    """Rows on disk for the length of the block, ``size`` a file; the folder is emptied before and gone after."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield [_file(folder / f"{number:07d}.parquet", block, schema) for number, block in enumerate(_cut(rows, size))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cut(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while block := list(islice(rows, size)):
        yield block


def _file(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
    return path


def through(
    paths: Sequence[Path], worker: type[BlockWorker], made_with: Sequence[Any], *, processes: int, **needs: Any
) -> Iterator[pa.Table]:
    """What ``worker(*made_with)``, in each of so many processes, makes of each block, in the order they are done.

    ``needs`` is what a process takes of a machine, such as ``num_cpus`` and ``num_gpus``. Raises `DataError` that names
    the rows which killed every process they met, after all others are done, or after `MANY` of them.
    """
    data = data_of_ray()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's remarks on its own arguments
        blocks = data.from_items([{"path": str(path)} for path in paths], override_num_blocks=len(paths)).map_batches(
            worker,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=tuple(made_with),
            compute=data.ActorPoolStrategy(size=min(processes, len(paths))),
            **needs,
        )
        given_up: list[str] = []
        for table in blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            given_up += table[GIVEN_UP].drop_null().to_pylist()
            if len(made := table.filter(table[GIVEN_UP].is_null())):
                yield made
            if len(given_up) >= MANY:
                break
    if given_up:
        raise DataError(_fatal(given_up))


def _fatal(names: Sequence[str]) -> str:
    each = "each of " if len(names) > 1 else ""
    return (
        f"{TRIES} processes died, one after the other, with {each}{'; '.join(names)}. What is finished is kept: change "
        "or leave out what is named, or give a worker more memory, and repeat the command to go on"
    )


def watched(work: Callable[[], T], look: Callable[[], object], stop: Callable[[], object]) -> T:
    """What ``work`` returns, in a thread of its own, while this one looks how far it is.

    Where looking is interrupted, ``stop`` is called, which should let the work end soon, and the end is waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="blocks") as pool:
        running = pool.submit(work)
        try:
            while not wait([running], timeout=LOOK_S).done:
                look()
        except BaseException:
            stop()
            raise
        return running.result()


def rows_of(paths: pa.Table) -> Iterable[list[dict[str, Any]]]:
    """The rows of each block that a worker is handed."""
    return (pq.read_table(path).to_pylist() for path in paths["path"].to_pylist())
