from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import DataError, UnknownId
from hyperllm.ids import Vocabulary, distinct

IDS = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=30)
IDS = IDS.filter(lambda ids: all(not 0xD800 <= ord(ch) < 0xE000 for v in ids for ch in v))


@given(IDS)
def test_rows_and_take_are_inverse(ids: list[str]) -> None:
    vocabulary = Vocabulary(tuple(ids))
    assert vocabulary.rows(ids).tolist() == list(range(len(ids)))
    assert vocabulary.take(vocabulary.rows(ids[::-1])) == ids[::-1]
    assert all(value in vocabulary for value in ids)


@given(IDS, IDS)
def test_equal_means_same_ids_in_the_same_order(one: list[str], other: list[str]) -> None:
    a, b = Vocabulary(tuple(one)), Vocabulary(tuple(other))
    assert (a == b) == (one == other)
    assert (a.fingerprint == b.fingerprint) == (one == other)
    if a == b:
        assert hash(a) == hash(b)


@given(IDS)
def test_a_column_of_ids_is_the_same_and_makes_no_strings_until_they_are_asked_for(ids: list[str]) -> None:
    column = pl.concat([pl.Series("some", ids[:3], dtype=pl.String), pl.Series("some", ids[3:], dtype=pl.String)])
    for held in (Vocabulary(column), Vocabulary.sealed(column)):
        assert held == Vocabulary(ids)
        assert held.take(np.arange(len(ids))[::-1]) == ids[::-1]
        assert held.fingerprint == Vocabulary(ids).fingerprint
        assert "ids" not in vars(held)
        assert held.ids == tuple(ids)


def test_the_fingerprint_sees_where_one_id_ends() -> None:
    assert Vocabulary(("ab", "c")).fingerprint != Vocabulary(("a", "bc")).fingerprint
    assert Vocabulary(("a",)).fingerprint != Vocabulary(("a", "")).fingerprint


def test_of_sorts_numbers_by_value_before_text() -> None:
    assert Vocabulary.of([10, 9, 100, "b", "a", 9]).ids == ("9", "10", "100", "a", "b")


@given(st.lists(st.one_of(st.integers(0, 10**12), st.text("ab-1", max_size=3))))
def test_of_ignores_order_and_repetition(values: list[object]) -> None:
    assert Vocabulary.of(values) == Vocabulary.of([*reversed(values), *values])


def test_a_repeated_id_is_named() -> None:
    with pytest.raises(DataError, match="'x' stands twice"):
        Vocabulary(("a", "x", "x"))


def test_an_unknown_id_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(UnknownId, match=r"unknown user 'alise'.*Did you mean 'alice'"):
        Vocabulary(("alice", "bob")).rows(["bob", "alise"], what="user")


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Vocabulary(("a",)).ids = ("b",)  # type: ignore[misc]


@given(st.lists(st.integers(-5, 5)))
def test_distinct_numbers_are_those_of_numpy(numbers: list[int]) -> None:
    keys = np.array(numbers, dtype=np.int64)
    assert np.array_equal(distinct(keys.copy()), np.unique(keys))
