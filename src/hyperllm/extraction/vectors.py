"""Importing vectors that somebody else made.

Reads ``.npz`` (arrays ``items`` and, optionally, ``users``), ``.npy`` (items) and Parquet (an ``item_id`` column and a
``vector`` column). Rows of the array files belong to the ids in ascending numeric order (vocabulary order where ids are
not numbers). Does not know what made the vectors.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Vocabulary

Matrix = npt.NDArray[np.float32]


def read_vectors(path: Path, *, users: Vocabulary, items: Vocabulary) -> tuple[Matrix, Matrix | None]:
    """(item vectors, user vectors or None), rows in vocabulary order; raises `DataError` in one sentence."""
    if not path.is_file():
        raise DataError(f"{str(path)!r} is not a file; expected .npz, .npy or .parquet with vectors")
    try:
        if path.suffix == ".parquet":
            return _from_parquet(path, items), None
        arrays = _arrays(path)
    except (OSError, ValueError, EOFError, TypeError, BadZipFile, zlib.error, pl.exceptions.PolarsError) as error:
        raise DataError(f"{str(path)!r} cannot be read as vectors ({error})") from None
    if "items" not in arrays:
        raise DataError(f"{str(path)!r} holds {sorted(arrays)}; expected arrays items and, optionally, users")
    people = arrays.get("users")
    return (
        _aligned(arrays["items"], items, "items", path),
        None if people is None else _aligned(people, users, "users", path),
    )


def _arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"items": loaded}
        return {name: loaded[name] for name in loaded.files}


def _aligned(array: npt.NDArray[np.generic], vocabulary: Vocabulary, what: str, path: Path) -> Matrix:
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise DataError(f"{str(path)!r}: {what} hold values of the type {array.dtype}; expected real numbers")
    if array.ndim != 2 or len(array) != len(vocabulary):
        raise MisalignedArrays(
            f"{str(path)!r}: {what} has shape {array.shape}; expected one row for each of the "
            f"{len(vocabulary):,} {what} of the split, in ascending order of their ids"
        )
    rows = np.empty(array.shape, dtype=np.float32)
    with np.errstate(over="ignore"):  # what overflows is reported as not finite
        rows[vocabulary.numeric_order()] = _finite(array.astype(np.float32), what, path)
    return rows


def _finite(array: Matrix, what: str, path: Path) -> Matrix:
    if not np.isfinite(array).all():
        raise DataError(f"{str(path)!r}: {what} hold a value that is not finite")
    return array


def _from_parquet(path: Path, items: Vocabulary) -> Matrix:
    frame = pl.read_parquet(path)
    if not {"item_id", "vector"} <= set(frame.columns):
        raise DataError(f"{str(path)!r} has the columns {frame.columns}; expected item_id and vector")
    place = {str(value): row for row, value in enumerate(frame["item_id"])}
    if len(place) != frame.height:
        twice = frame["item_id"].filter(frame["item_id"].is_duplicated())[0]
        raise MisalignedArrays(f"{str(path)!r} has more than one vector for the item {str(twice)!r}")
    absent = [value for value in items.ids if value not in place]
    if absent:
        raise MisalignedArrays(
            f"{str(path)!r} has no vector for {len(absent):,} of {len(items):,} items, such as {absent[0]!r}"
        )
    rows = frame["vector"][[place[value] for value in items.ids]].to_list()
    if any(not isinstance(row, list) or None in row or len(row) != len(rows[0]) for row in rows):
        raise DataError(f"{str(path)!r}: the column vector must hold a list of numbers in every row, all of one length")
    with np.errstate(over="ignore"):  # what overflows is reported as not finite
        return _finite(np.array(rows, dtype=np.float32), "vectors", path)
