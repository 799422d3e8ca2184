"""Foreign columns: names found, values kept or refused with their row."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.data.sources import columns
from hyperllm.errors import DataError

WHERE = "'clicks.csv'"


@pytest.mark.parametrize(
    ("found", "role"),
    [
        *[("userId", "user"), ("reviewerID", "user"), ("User ID", "user"), ("customer-id", "user")],
        *[("movieId", "item"), ("parent_asin", "item"), ("ProductId", "item"), ("SKU", "item")],
        *[("overall", "rating"), ("Stars", "rating"), ("unixReviewTime", "time"), ("timestamp", "time")],
        *[("product_name", "title"), ("genres", "categories"), ("store", "brand")],
    ],
)
def test_usual_names_are_found_however_they_are_spelt(found, role):
    frame = pl.DataFrame({"other": [1], found: [1]})
    assert columns.find(frame, role, named=None, option="--x", where=WHERE) == found


def test_the_more_telling_name_wins():
    frame = pl.DataFrame({"asin": ["child"], "parent_asin": ["parent"], "item_id": ["1"]})
    assert columns.find(frame, "item", named=None, option="--x", where=WHERE) == "item_id"
    assert columns.find(frame.drop("item_id"), "item", named=None, option="--x", where=WHERE) == "parent_asin"


def test_a_named_column_that_is_absent_lists_those_there_are():
    with pytest.raises(DataError, match=r"no column 'usr'; it has the columns 'user', 'i'.*--user-column.*'user'\?"):
        columns.find(pl.DataFrame({"user": [1], "i": [1]}), "user", named="usr", option="--user-column", where=WHERE)


def test_a_required_column_that_is_absent_lists_those_there_are_and_the_option():
    with pytest.raises(DataError, match=r"no user column .* 'a', 'b'\. Name the column with --user-column"):
        columns.require(pl.DataFrame({"a": [1], "b": [1]}), "user", named=None, option="--user-column", where=WHERE)


def ids(values: list[object] | pl.Series) -> list[str]:
    return columns.ids(pl.Series("user_id", values), what="user", where=WHERE).to_list()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_text_ids_are_kept_exactly(values):
    assert ids(values) == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_numbers_become_their_digits(values):
    assert ids(values) == [str(value) for value in values]


def test_floats_that_are_whole_lose_their_point():
    assert ids([1.0, 20.0]) == ["1", "20"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None, ""], r"^2 user ids in column 'user_id' of 'clicks.csv' are missing; .* data row 2\."),
        ([1.0, float("nan")], r"^1 user ids .* missing; .* data row 2"),
        ([1.5], r"^1 user ids .* fractions; the first is 1\.5 in data row 1"),
        ([["a"]], "text or whole numbers"),
        ([dt.date(2020, 1, 1)], "text or whole numbers"),
    ],
)
def test_what_is_no_id_is_refused_with_its_row(values, message):
    with pytest.raises(DataError, match=message):
        ids(values)


def test_numbers_are_read_from_text():
    column = pl.Series("rating", ["4", " 3.5 ", "1e1"])
    assert columns.numbers(column, what="rating", where=WHERE).tolist() == [4.0, 3.5, 10.0]


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_rating_that_is_no_number_is_refused_with_count_row_and_fix(bad):
    with pytest.raises(
        DataError, match=r"^2 ratings .* not numbers; the first is .* in data row 2\. .*--rating-column"
    ):
        columns.numbers(pl.Series("rating", [4.0, bad, bad]), what="rating", where=WHERE)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("t", [86_400, 86_401]),
        pl.Series("t", ["86400", "86401"]),
        pl.Series("t", ["1970-01-02T00:00:00Z", "1970-01-02T00:00:01Z"]),
        pl.Series("t", ["1970-01-02 00:00:00", "1970-01-02 00:00:01"]),
        pl.Series("t", [dt.datetime(1970, 1, 2), dt.datetime(1970, 1, 2, 0, 0, 1)]),
    ],
)
def test_times_are_numbers_dates_or_iso_text(column):
    assert columns.times(column, where=WHERE).tolist() == [86_400.0, 86_401.0]


@pytest.mark.parametrize("column", [pl.Series("t", ["1970-01-02"]), pl.Series("t", [dt.date(1970, 1, 2)])])
def test_a_day_is_its_midnight(column):
    assert columns.times(column, where=WHERE).tolist() == [86_400.0]


def test_a_time_that_cannot_be_read_is_refused():
    with pytest.raises(
        DataError, match=r"1 times .* not times; the first is 'yesterday' in data row 2\. .*--time-column"
    ):
        columns.times(pl.Series("t", ["2020-01-01", "yesterday"]), where=WHERE)


@given(st.lists(st.text("abc1 ,\n", min_size=1), min_size=1))
def test_encoding_is_undone_by_the_vocabulary(values):
    vocabulary, rows = columns.encode(pl.Series(values))
    assert vocabulary.take(rows) == values
    assert len(vocabulary) == len(set(values))


def numbered(per_user: list[list[float]]) -> bool:
    pairs = [(user, time) for user, times in enumerate(per_user) for time in times]
    names = pl.Series([str(user) for user, _ in pairs])
    items = pl.Series([str(n) for n in range(len(pairs))])
    return columns.per_user_order(columns.interactions_of(names, items, time=np.array([t for _, t in pairs])))


def test_a_time_that_only_numbers_each_users_events_is_told_apart():
    assert numbered([[0, 1, 2], [1, 0]])
    assert numbered([[1, 2, 3], [1]])
    assert not numbered([[0, 1, 2], [2, 3]])
    assert not numbered([[0, 1, 2], [1, 2]])
    assert not numbered([[0, 1, 1], [0, 1]])
    assert not numbered([[0, 1, 2]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Beauty > Makeup > Face", [["Beauty", "Makeup", "Face"]]),
        ("Beauty>Makeup | Toys > Dolls", [["Beauty", "Makeup"], ["Toys", "Dolls"]]),
        ("Action|Sci-Fi", [["Action", "Sci-Fi"]]),
        ("Salt, Pepper & Oil", [["Salt, Pepper & Oil"]]),
        ("['A', 'B > C']", [["A", "B > C"]]),
        ('["A"]', [["A"]]),
        ("[not a list", [["[not a list"]]),
        ([["A", "B"], ["C"]], [["A", "B"], ["C"]]),
        (["A", None, " ", "B"], [["A", "B"]]),
        *[(nothing, []) for nothing in (None, "", "  ", [], [[]], "(no genres listed)", float("nan"), 7)],
    ],
)
def test_category_paths(value, expected):
    assert columns.paths(value) == expected


def test_names():
    assert columns.names("Clean &; Clear; Face; Face") == ["Clean &", "Clear", "Face"]
    assert columns.names(["a", "b", "a"]) == ["a", "b"]
    assert columns.names(None) == []
