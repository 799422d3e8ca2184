"""Two tables in, raw data out."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

from hyperllm.data.sources.table import read_table
from hyperllm.errors import DataError

CLICKS = pl.DataFrame(
    {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["007", "8", "007"],
        "rating": [5.0, 2.0, 4.0],
        "timestamp": [30, 20, 10],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": ["8", "007", "9"],
        "title": ["Lamp", "Chair", None],
        "brand": ["Lux", None, None],
        "category": ["Home > Light", "Home > Seats", None],
        "description": ["Warm", "Soft", None],
    }
)


def test_columns_are_found_and_leading_zeros_stay():
    raw = read_table(CLICKS, ITEMS)
    events = raw.interactions
    assert events.users.take(events.user) == ["u1", "u1", "u2"]
    assert events.items.take(events.item) == ["007", "8", "007"]
    assert events.rating.tolist() == [5, 2, 4]
    assert events.time.tolist() == [30, 20, 10]
    assert not raw.time_is_per_user
    assert raw.catalog.take(events.items).texts() == [
        "Chair. Home > Seats. Soft.",
        "Lamp. Home > Light. Lux. Warm.",
    ]
    assert raw.catalog.frame["attributes"].to_list() == [["Seats"], ["Lux", "Light"], []]


def test_pandas_polars_and_files_agree(tmp_path):
    CLICKS.write_csv(tmp_path / "c.csv")
    ITEMS.write_parquet(tmp_path / "i.parquet")
    both = [
        read_table(tmp_path / "c.csv", str(tmp_path / "i.parquet")),
        read_table(CLICKS.to_pandas(), ITEMS.to_pandas()),
    ]
    expected = read_table(CLICKS, ITEMS)
    for raw in both:
        assert raw.interactions.users == expected.interactions.users
        assert raw.interactions.item.tolist() == expected.interactions.item.tolist()
        assert raw.interactions.time.tolist() == expected.interactions.time.tolist()
        assert raw.catalog.frame.equals(expected.catalog.frame)


def test_a_pandas_column_of_numbers_and_text_keeps_both():
    frame = pd.DataFrame({"user_id": [1, "01"], "item_id": ["a", "b"]})
    assert read_table(frame).interactions.users.ids == ("01", "1")


def test_integer_ids_are_in_numeric_order():
    raw = read_table(pl.DataFrame({"user": [10, 9, 2], "item": [1, 1, 1]}))
    assert raw.interactions.users.ids == ("2", "9", "10")


def test_without_items_the_ids_are_kept_without_text():
    raw = read_table(CLICKS)
    assert raw.catalog.items == raw.interactions.items
    assert not raw.catalog.has_text().any()


def test_columns_can_be_named_and_may_differ_between_the_tables():
    clicks = pl.DataFrame({"who": ["u"], "what": ["a"], "how": [3], "when": ["2020-01-01"]})
    items = pl.DataFrame({"key": ["a"], "label": ["Lamp"], "x": ["one"], "y": ["two"], "kind": ["A|B"]})
    raw = read_table(
        clicks,
        items,
        user_column="who",
        item_column="what",
        rating_column="how",
        time_column="when",
        id_column="key",
        title_column="label",
        text_columns=["y", "x"],
        category_column="kind",
    )
    assert raw.catalog.texts() == ["Lamp. A > B. two. one."]
    assert raw.reading == {
        **{"user": "who", "item": "what", "rating": "how", "time": "when"},
        **{"id": "key", "title": "label", "text": "y,x", "category": "kind"},
    }


def test_the_item_table_is_joined_by_the_events_own_column_name_first():
    clicks = pl.DataFrame({"user_id": ["u"], "asin": ["B1"]})
    items = pl.DataFrame({"item_id": ["0"], "asin": ["B1"], "title": ["Lamp"]})
    assert read_table(clicks, items).catalog.items.ids == ("B1",)


def test_an_item_table_may_call_its_key_just_id():
    items = pl.DataFrame({"id": ["8"], "name": ["Lamp"]})
    assert read_table(CLICKS, items).catalog.texts() == ["Lamp."]


def test_a_per_user_order_serves_as_time_and_is_marked():
    frame = CLICKS.drop("timestamp").with_columns(order=pl.Series([0, 1, 0]))
    raw = read_table(frame)
    assert raw.interactions.time.tolist() == [0, 1, 0]
    assert raw.time_is_per_user
    assert read_table(frame.rename({"order": "when"}), time_column="when").time_is_per_user


def test_a_real_time_is_preferred_to_an_order():
    raw = read_table(CLICKS.with_columns(order=pl.Series([0, 1, 0])))
    assert raw.reading["time"] == "timestamp"
    assert not raw.time_is_per_user


def test_a_time_nobody_asked_for_may_be_unreadable_but_not_one_named():
    frame = CLICKS.with_columns(timestamp=pl.Series(["a", "b", "c"]))
    raw = read_table(frame)
    assert raw.interactions.time is None
    assert "left out" in raw.notes[0]
    with pytest.raises(DataError, match="3 times"):
        read_table(frame, time_column="timestamp")


def test_repeated_items_keep_the_first_and_say_so():
    raw = read_table(CLICKS, pl.concat([ITEMS, ITEMS.with_columns(title=pl.lit("Other"))]))
    assert raw.catalog.frame["title"].to_list() == ["Chair", "Lamp", None]
    assert raw.notes == ("3 rows of the item table repeat an item id; the first of each is used",)


REFUSED = {
    "no user": (CLICKS.drop("user_id"), ITEMS, r"no user column .*'item_id'.*--user-column"),
    "no item": (CLICKS.drop("item_id"), ITEMS, r"no item column .*'user_id'.*--item-column"),
    "no id": (CLICKS, ITEMS.rename({"item_id": "k"}), r"no item column .*'k'.*--id-column"),
    "no text": (CLICKS, ITEMS.select("item_id"), r"has no text: .*'item_id'.*--title-column"),
    "other ids": (
        CLICKS,
        ITEMS.with_columns(item_id=pl.Series(["x", "y", "z"])),
        r"none of the 2 clicked items .*'007'.*'x'.*--item-column and --id-column",
    ),
    "no rating": (CLICKS.with_columns(rating=pl.Series([5.0, None, 4.0])), ITEMS, "1 ratings .* data row 2"),
    "no rows": (CLICKS.clear(), ITEMS, "no row"),
    "no table": ([1, 2], ITEMS, "is a list; expected a path, a polars or a pandas"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_tables_are_refused_in_one_sentence(case):
    clicks, items, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        read_table(clicks, items)
    assert "\n" not in str(caught.value)


def test_a_named_column_that_is_absent():
    for option in ("user_column", "item_column", "rating_column", "time_column", "id_column", "title_column"):
        flag = "--" + option.replace("_", "-")
        with pytest.raises(DataError, match=f"no column 'nope'.*{flag}"):
            read_table(CLICKS, ITEMS, **{option: "nope"})
    with pytest.raises(DataError, match=r"no column 'nope'.*--text-columns"):
        read_table(CLICKS, ITEMS, text_columns=["description", "nope"])


def test_fingerprints_follow_the_content():
    assert read_table(CLICKS, ITEMS).inputs == read_table(CLICKS.clone(), ITEMS).inputs
    assert read_table(CLICKS).inputs != read_table(CLICKS.reverse()).inputs


def test_lists_in_a_pandas_cell_are_category_paths():
    items = pd.DataFrame({"item_id": ["007", "8"], "title": ["Chair", None], "categories": [["Home", "Seats"], None]})
    assert read_table(CLICKS, items).catalog.frame["categories"].to_list() == [["Home", "Seats"], []]
