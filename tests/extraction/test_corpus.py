"""What is encoded: the same texts whichever way they are read, a block at a time."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.data.catalog import Catalog
from hyperllm.data.prepare import load_catalog, load_split
from hyperllm.extraction import corpus as room
from hyperllm.extraction.corpus import Corpus, in_blocks, rows_in_order
from hyperllm.ids import Vocabulary


@given(st.lists(st.lists(st.text(max_size=4), max_size=4), max_size=3))
def test_a_digest_of_texts_one_by_one_is_that_of_the_lists(columns: list[list[str]]) -> None:
    assert artifacts.digest_of_texts(*map(iter, columns)) == artifacts.digest(columns)


def test_rows_come_from_the_file_or_from_memory_and_are_the_same(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = load_split(workspace).items
    expected = load_catalog(workspace).take(items).texts()
    other = Vocabulary([*items.ids[::-1], "unknown"])
    assert list(Corpus(other, rows_in_order(workspace, other))) == [*expected[::-1], ""]
    monkeypatch.setattr(Catalog, "take", None)
    texts = Corpus(items, rows_in_order(workspace, items))
    assert list(texts) == expected
    assert list(texts) == expected, "they are not used up"
    assert texts.digest == artifacts.digest([expected, []])


def test_summaries_replace_texts_and_users_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"item_id": ["b", "z", "a"], "summary": ["about b", "nobody", ""]}).write_parquet(
        tmp_path / "items.parquet"
    )
    pl.DataFrame({"user_id": ["v"], "summary": ["likes b"]}).write_parquet(tmp_path / "users.parquet")
    monkeypatch.setattr(artifacts, "read", lambda *told: None)
    rows = [{"title": title, "categories": [], "brand": None, "attributes": [], "description": None} for title in "AB"]
    plain = Corpus(Vocabulary(["a", "b"]), lambda: iter(rows))
    told = room.with_summaries(plain, tmp_path, Vocabulary(["u", "v"]))
    assert list(told) == ["A.", "about b", "", "likes b"]
    assert len(told) == 4
    assert list(room.with_summaries(plain, tmp_path, None)) == ["A.", "about b"]


@given(st.lists(st.text(max_size=2)), st.integers(1, 5))
def test_blocks(texts: list[str], size: int) -> None:
    blocks = list(in_blocks(texts, size))
    assert [text for block in blocks for text in block] == texts
    assert all(len(block) == size for block in blocks[:-1])
