"""Imported vectors: which row is whose, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.extraction.vectors import read_vectors
from hyperllm.ids import Vocabulary

USERS = Vocabulary(("3", "20", "100"))
ITEMS = Vocabulary(("10", "9"))  # not in numeric order: row 0 of a file is item 9
WORDS = Vocabulary(("b", "a"))
VECTORS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_rows_of_arrays_follow_ascending_numbers(tmp_path):
    np.savez(tmp_path / "v.npz", items=VECTORS, users=np.eye(3))
    items, users = read_vectors(tmp_path / "v.npz", users=USERS, items=ITEMS)
    np.testing.assert_array_equal(items, VECTORS[::-1])
    np.testing.assert_array_equal(users, np.eye(3))
    assert items.dtype == np.float32


def test_rows_follow_the_vocabulary_where_ids_are_no_numbers(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS.astype(np.float16))
    items, users = read_vectors(tmp_path / "v.npy", users=USERS, items=WORDS)
    np.testing.assert_array_equal(items, VECTORS)
    assert users is None


def test_parquet_goes_by_id(tmp_path):
    frame = pl.DataFrame({"item_id": [9, 7, 10], "vector": [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]})
    frame.write_parquet(tmp_path / "v.parquet")
    items, _ = read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)
    np.testing.assert_array_equal(items, [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"items": np.ones((3, 2))}, r"items has shape \(3, 2\).*2 items"),
        ({"items": np.ones(2)}, r"items has shape \(2,\)"),
        ({"items": np.ones((2, 2)), "users": np.ones((2, 2))}, r"users has shape \(2, 2\).*3 users"),
    ],
)
def test_other_shapes_are_misaligned(tmp_path, arrays, reason):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(MisalignedArrays, match=reason):
        read_vectors(tmp_path / "v.npz", users=USERS, items=ITEMS)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"people": np.ones((2, 2))}, "expected arrays items"),
        ({"items": np.array([["a", "b"], ["c", "d"]])}, "expected real numbers"),
        ({"items": np.ones((2, 2)) * 1j}, "expected real numbers"),
        ({"items": np.array([[1, np.nan], [1, 1]])}, "not finite"),
        ({"items": np.array([[1, 1e300], [1, 1]])}, "not finite"),
    ],
)
def test_what_is_no_vector(tmp_path, arrays, reason):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(DataError, match=reason):
        read_vectors(tmp_path / "v.npz", users=USERS, items=ITEMS)


@pytest.mark.parametrize("name", ["v.npz", "v.npy", "v.parquet", "v.txt"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 cut short", b"PAR1"])
def test_damaged_files_are_data_errors(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(tmp_path / name, users=USERS, items=ITEMS)


def test_pickled_objects_are_never_opened(tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}, {"b": 2}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(tmp_path / "v.npy", users=USERS, items=ITEMS)


def test_parquet_with_an_item_missing_or_ragged_rows(tmp_path):
    pl.DataFrame({"item_id": ["9"], "vector": [[1.0]]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(MisalignedArrays, match="no vector for 1 of 2 items, such as '10'"):
        read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)
    pl.DataFrame({"item_id": ["9", "10"], "vector": [[1.0], [1.0, 2.0]]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(DataError, match="all of one length"):
        read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)
    pl.DataFrame({"id": ["9"], "vector": [[1.0]]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(DataError, match="expected item_id and vector"):
        read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ([1.0, 2.0], "must hold a list of numbers"),
        ([[1.0], None], "must hold a list of numbers"),
        ([[1.0], [None]], "must hold a list of numbers"),
        ([["a"], ["b"]], "cannot be read as vectors"),
        ([[1.0], [float("inf")]], "not finite"),
    ],
)
def test_parquet_that_holds_no_vectors(tmp_path, vectors, reason):
    pl.DataFrame({"item_id": ["9", "10"], "vector": vectors}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(DataError, match=reason):
        read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)


def test_parquet_with_an_item_twice(tmp_path):
    pl.DataFrame({"item_id": [9, 10, 9], "vector": [[1.0], [2.0], [3.0]]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(MisalignedArrays, match="more than one vector for the item '9'"):
        read_vectors(tmp_path / "v.parquet", users=USERS, items=ITEMS)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        read_vectors(tmp_path / "v.npz", users=USERS, items=ITEMS)
