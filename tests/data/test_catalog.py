"""Item texts: order, absence, and the plain text made of them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.data.catalog import SCHEMA, Catalog, attribute_names
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Vocabulary


def lamp(**more: object) -> dict[str, object]:
    return {
        "item_id": "7",
        "title": "Desk lamp",
        "description": "Warm light",
        "brand": "Lux & Co",
        "categories": ["Home", "Light", "Lamps"],
        "attributes": ["Lux & Co", "Light", "Lamps", "dimmable"],
        **more,
    }


def catalog(*rows: dict[str, object]) -> Catalog:
    return Catalog.of(pl.DataFrame(list(rows), schema=SCHEMA))


def test_text_says_everything_once():
    assert catalog(lamp()).text(0) == "Desk lamp. Home > Light > Lamps. Lux & Co. dimmable. Warm light."


def test_text_adds_no_second_full_stop_and_no_line_breaks():
    said = catalog(lamp(title="Really?\n", description="One\n\ntwo.", brand=None, categories=[], attributes=[]))
    assert said.texts() == ["Really? One two."]


def test_an_item_without_text_gives_an_empty_string():
    bare = catalog(lamp(title="  ", description=None, brand="", categories=None, attributes=None))
    assert bare.texts() == [""]
    assert bare.has_text().tolist() == [False]


@given(words=st.lists(st.text("ab,;: ", max_size=12), max_size=60), limit=st.integers(2, 80))
def test_text_keeps_its_limit_and_is_a_beginning(words, limit):
    said = catalog(lamp(description=" ".join(words)))
    short, whole = said.text(0, limit=limit), said.text(0, limit=10_000)
    assert len(short) <= limit
    assert short == whole or (short.endswith("…") and whole.startswith(short[:-1]))


def test_rows_follow_numeric_order_whatever_order_they_came_in():
    assert catalog(lamp(item_id="10"), lamp(item_id="9"), lamp(item_id="x")).items.ids == ("9", "10", "x")


def test_take_follows_the_vocabulary_and_keeps_the_absent_without_text():
    taken = catalog(lamp(item_id="a"), lamp(item_id="b", title="B")).take(Vocabulary(("c", "b")))
    assert taken.frame["item_id"].to_list() == ["c", "b"]
    assert taken.frame["title"].to_list() == [None, "B"]
    assert taken.frame["categories"].to_list() == [[], ["Home", "Light", "Lamps"]]
    assert taken.has_text().tolist() == [False, True]


def test_empty_knows_ids_only():
    assert Catalog.empty(Vocabulary(("x", "y"))).texts() == ["", ""]


def test_repeated_ids_are_refused():
    with pytest.raises(DataError):
        Catalog(Vocabulary(("7",)), pl.concat([catalog(lamp()).frame] * 2))


def test_misaligned_rows_are_refused():
    with pytest.raises(MisalignedArrays, match="order"):
        Catalog(Vocabulary(("8",)), catalog(lamp()).frame)


def test_wrong_columns_are_refused():
    with pytest.raises(DataError, match="needs the columns item_id"):
        Catalog(Vocabulary(("7",)), pl.DataFrame({"item_id": ["7"]}))


def test_attribute_names_are_brand_and_what_is_below_the_root():
    assert attribute_names("Lux", ["Home", "Light", "Lamps"]) == ["Lux", "Light", "Lamps"]
    assert attribute_names(None, ["Home"]) == ["Home"]
    assert attribute_names(None, []) == []
