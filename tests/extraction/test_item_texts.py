"""What is asked about items: their own text, cleaned, whatever the size of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.data.catalog import SCHEMA, TEXT_LIMIT
from hyperllm.errors import Incomplete
from hyperllm.extraction import items as room
from hyperllm.extraction.items import catalog_rows, described, item_text, item_texts
from hyperllm.extraction.untrusted import as_data
from hyperllm.ids import Vocabulary

FULL: dict[str, Any] = {
    "item_id": "i0",
    "title": "Cube <b>puzzle</b>",
    "description": "Line one\nline two",
    "brand": "Oak",
    "categories": ["Toys", "Cubes"],
    "attributes": ["Oak", "Cubes", "wooden", "small"],
}
EMPTY: dict[str, Any] = {**dict.fromkeys(SCHEMA), "categories": [], "attributes": []}


def row(**told: Any) -> dict[str, Any]:
    return {**EMPTY, "item_id": "x", **told}


def shop(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "dataset").mkdir(parents=True)
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "dataset" / "items.parquet")
    return folder


def named(count: int) -> list[dict[str, Any]]:
    return [row(item_id=f"i{n:03}", title=f"Thing {n}" if n % 3 else None) for n in range(count)]


def test_all_that_the_catalogue_says_one_line_a_part():
    assert item_text(FULL, "\n").split("\n") == [
        "Cube ‹b›puzzle‹/b›",
        "Toys › Cubes",
        "Oak",
        "wooden, small",
        "Line one line two",
    ]


def test_the_paper_puts_bars_between_the_parts():
    assert item_text(FULL, " | ") == item_text(FULL, "\n").replace("\n", " | ")


@pytest.mark.parametrize(
    "nothing", [{}, {"title": "\u200b"}, {"categories": [" "]}, {"title": "\ufeff", "brand": "\x07"}]
)
@pytest.mark.parametrize("join", ["\n", " | "])
def test_what_does_not_show_is_no_text(nothing, join):
    assert item_text(row(**nothing), join) == ""
    assert item_text(row(**{"description": "Cube", **nothing}), join) == "Cube"


shown = st.text(max_size=30) | st.sampled_from(["</item>", "a" * 2000, "word " * 400, "\u200b", "é\u200d ", "{input}"])


@given(
    st.fixed_dictionaries(
        {
            "title": st.none() | shown,
            "brand": st.none() | shown,
            "description": st.none() | shown,
            "categories": st.lists(shown, max_size=3),
            "attributes": st.lists(shown, max_size=3),
        }
    ),
    st.sampled_from(["\n", " | "]),
)
def test_a_text_is_bounded_clean_and_closes_nothing(told, join):
    text = item_text(row(**told), join)
    assert len(text) <= TEXT_LIMIT
    assert not set("<>\r\x1b\x00") & set(text)
    lines = text.split("\n")
    assert len(lines) <= (5 if join == "\n" else 1)
    assert all(line == as_data(line, TEXT_LIMIT) for line in lines)
    assert all(lines) or lines == [""], "no empty line"


@pytest.mark.parametrize("join", ["\n", " | "])
def test_at_the_limit_nothing_is_cut_and_beyond_it_the_end_is(join):
    room_left = TEXT_LIMIT - len("Cube") - len(join)
    whole = item_text(row(title="Cube", description="d" * room_left), join)
    assert whole == "Cube" + join + "d" * room_left
    longer = item_text(row(title="Cube", description="d" * (room_left + 1)), join)
    assert longer.startswith("Cube")
    assert longer.endswith("…")
    assert len(longer) <= TEXT_LIMIT


def test_a_long_title_leaves_no_room_and_takes_no_more_than_the_limit():
    assert item_text(row(title="t" * 5000, brand="Oak"), "\n") == "t" * (TEXT_LIMIT - 1) + "…"


def test_items_outside_the_split_and_items_without_text_are_left_out(tmp_path):
    workspace = shop(tmp_path, *named(9))
    wanted = Vocabulary.of(f"i{n:03}" for n in (0, 1, 2, 3, 7))
    assert list(item_texts(workspace, wanted)) == [("i001", "Thing 1"), ("i002", "Thing 2"), ("i007", "Thing 7")]
    assert described(workspace, wanted) == 3


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_blocks_do_not_matter(tmp_path, monkeypatch, block):
    monkeypatch.setattr(room, "BLOCK", block)
    rows = named(20)
    workspace = shop(tmp_path, *rows, FULL)
    assert list(catalog_rows(workspace)) == [*rows, FULL]
    texts = list(item_texts(workspace, Vocabulary.of(found["item_id"] for found in [*rows, FULL])))
    assert texts == [(r["item_id"], r["title"]) for r in rows if r["title"]] + [("i0", item_text(FULL, "\n"))]


def test_texts_come_as_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 2)
    workspace, items = shop(tmp_path, *named(20)), Vocabulary.of(f"i{n:03}" for n in range(20))
    asked: list[str] = []
    monkeypatch.setattr(room, "item_text", lambda found, join: asked.append(found["item_id"]) or "x")
    texts = item_texts(workspace, items)
    assert next(texts) == ("i000", "x")
    assert asked == ["i000"]


def test_the_order_is_that_of_the_file(tmp_path):
    workspace = shop(tmp_path, row(item_id="b", title="Second"), row(item_id="a", title="First"))
    assert [item for item, _ in item_texts(workspace, Vocabulary(("a", "b")))] == ["b", "a"]


def test_a_prepared_workspace_is_read(workspace):
    items = Vocabulary.of(f"i{n}" for n in range(6))
    texts = dict(item_texts(workspace, items))
    assert texts["i0"] == "Wooden jigsaw puzzle\nToys › Puzzles › Jigsaws\nOak"
    assert texts["i5"] == "Wooden train track\nToys › Vehicles › Trains"
    assert described(workspace, items) == len(texts) == 6


def test_without_a_catalogue_the_error_says_what_to_run(tmp_path):
    with pytest.raises(Incomplete, match="hyperllm prepare"):
        next(item_texts(tmp_path, Vocabulary(("a",))))
