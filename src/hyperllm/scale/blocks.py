"""Blocks of rows in Parquet, each of which goes through one of several worker processes of Ray Data.

A block is a file, and Ray is handed its path: a worker reads what it works on, and a block whose worker died is given,
whole, to the one that Ray starts in its place. Knows files and workers, and nothing of what is in them.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.scale.cluster import data_of_ray

LOOK_S = 0.5
"""Between two looks at how far the workers are."""
T = TypeVar("T")


class BlockWorker(Protocol):
    """Made once a process; called with one block after the other."""

    def __call__(self, paths: pa.Table) -> pa.Table:
        """What came of the blocks at these ``path``s."""
        ...


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

    ``needs`` is what a process takes of a machine, such as ``num_cpus`` and ``num_gpus``.
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
        for table in blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            if len(table):
                yield table


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
