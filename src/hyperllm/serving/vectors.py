"""Item vectors for a vector database, the queries that go with them, and an exact last word on what it returns.

Knows how to write a model's items so that a database's ready-made metric ranks as the model does, and how to score a
database's answer again. Does not know any database. Shapes: ``b`` users, ``d`` columns of the model.

``dot``: items as they are, the query's time coordinate turned, so that their inner product is the score. This is for
exact ("flat") search; a graph or clusters that a database makes of such vectors go by the plain product of two items,
which does not tell how near they are. ``l2``: one more column √(max |x|² − |x|²) makes all items equally long, with 0
in the query; then |q − x|² is a constant a user minus twice the score, and a graph over it serves well unless points
lie far out. Fetch more than k and `rescore`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.evaluation.rank import TopK, check_k
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import Doubles, Floats, raised, sizes
from hyperllm.serving.scan import of_pairs

Metric = Literal["dot", "l2"]
_ITEMS_AT_ONCE = 2**14


def export_vectors(model: ScoreModel, out: Path | str, *, metric: Metric = "dot") -> int:
    """Write the Parquet file ``out`` with columns item_id and vector (a fixed-size list of float32); returns the rows.

    The file appears when it is whole. Raises `ConfigError` where the model's user vectors are sparse.
    """
    import pyarrow as pa  # only this function needs it
    from pyarrow import parquet

    _check(model, metric)
    out = Path(out)
    if not out.parent.is_dir():
        raise DataError(f"the folder {str(out.parent)!r} of the file to write does not exist; make it first.")
    width = model.item_vectors.shape[1] + (metric == "l2")
    fields = pa.schema([("item_id", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    scratch = out.with_name(f".{out.name}.partial")
    try:
        with scratch.open("wb") as stream:
            with parquet.ParquetWriter(stream, fields) as writer:
                for rows, vectors in _blocks(model, metric):
                    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
                    writer.write_table(pa.table([pa.array(model.items.take(rows), pa.string()), lists], schema=fields))
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)
    return len(model.items)


def query_vectors(model: ScoreModel, user_rows: Rows, *, metric: Metric = "dot") -> Floats:
    """What to ask the database for users (b,): vectors (b, d), or (b, d + 1) with ``l2``."""
    _check(model, metric)
    left = model.left_factors(np.asarray(user_rows, dtype=np.int64))
    return (np.pad(left, [(0, 0), (0, 1)]) if metric == "l2" else left).astype(np.float32)


def rescore(
    model: ScoreModel,
    user_rows: Rows,
    item_ids: Sequence[Sequence[str]],
    k: int,
    *,
    mask: sparse.csr_matrix | None = None,
) -> TopK:
    """The k best of what a database returned for each user, in the order and with the scores of `ScoreModel.topk`.

    ``item_ids`` has one sequence a user; of an id that is there twice one counts. Raises `UnknownId`.
    """
    _check(model, "dot")
    users = np.asarray(user_rows, dtype=np.int64)
    if len(item_ids) != len(users):
        raise MisalignedArrays(f"there are answers for {len(item_ids):,} users; expected {len(users):,}, one for each.")
    found = [np.unique(model.items.rows(list(ids), what="item")) for ids in item_ids]
    row = np.repeat(np.arange(len(users)), [len(items) for items in found])
    column = np.concatenate([np.empty(0, dtype=np.int64), *found])
    if mask is not None:
        seen = np.asarray(mask[users[row], column]).ravel() != 0 if len(row) else np.zeros(0, dtype=bool)
        row, column = row[~seen], column[~seen]
    return of_pairs(model.left_factors(users), model.item_side, check_k(k), row=row, column=column)


def _blocks(model: ScoreModel, metric: Metric) -> Iterator[tuple[Rows, Floats]]:
    """Item rows and their vectors as the database gets them."""
    most = max((float(sizes(vectors).max()) ** 2 for _, vectors in _points(model)), default=0.0)
    for rows, vectors in _points(model):
        if metric == "l2":
            spare = np.sqrt(np.maximum(most - sizes(vectors) ** 2, 0.0))
            vectors = np.hstack([vectors, spare[:, None]])
        yield rows, vectors.astype(np.float32)


def _points(model: ScoreModel) -> Iterator[tuple[Rows, Doubles]]:
    for start in range(0, len(model.items), _ITEMS_AT_ONCE):
        vectors = np.asarray(model.item_vectors[start : start + _ITEMS_AT_ONCE]).astype(np.float64)
        if model.curved:
            raised(vectors[:, : model.curved])
        yield np.arange(start, start + len(vectors)), vectors


def _check(model: ScoreModel, metric: str) -> None:
    if metric not in get_args(Metric):
        raise ConfigError(f"unknown metric {metric!r}; choose one of {', '.join(get_args(Metric))}.")
    if not isinstance(model.user_vectors, np.ndarray):
        raise ConfigError("the model's user vectors are sparse, so a vector database would not help; rank it exactly.")
