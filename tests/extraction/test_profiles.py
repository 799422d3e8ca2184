"""Profiles on disk: what is written is read, and the newest set is the one shown."""

from __future__ import annotations

import polars as pl
import pytest

from hyperllm.errors import Corrupt, Incomplete
from hyperllm.extraction import profiles
from hyperllm.extraction.profiles import ITEM_SCHEMA, ItemProfile, Origin, UserProfile

ASKED = Origin("model-x", "paper", "ab" * 32, 120, 40, '{"summary": "ü"}')
ITEM = ItemProfile("i0", "Größe", (("A",), (), ("c", "d")), (("A", "c"),), ASKED)
USER = UserProfile("u0", "Likes c", ASKED)


def test_what_is_written_is_read(tmp_path):
    bare = ItemProfile("i1", "", ((), (), ()), (), Origin("keywords"))
    profiles.save(tmp_path / "x", [ITEM, bare], [USER], config={"llm": "x"}, inputs={})
    assert profiles.load_items(tmp_path / "x") == [ITEM, bare]
    assert profiles.load_users(tmp_path / "x") == [USER]
    frame = pl.read_parquet(tmp_path / "x" / "items.parquet")
    assert dict(frame.schema) == ITEM_SCHEMA
    assert frame.height == 2


def test_a_set_without_users_has_none(tmp_path):
    profiles.save(tmp_path / "x", [ITEM], None, config={}, inputs={})
    assert profiles.load_users(tmp_path / "x") == []
    assert not (tmp_path / "users.parquet").exists()


def test_the_newest_set_is_shown_and_the_older_stays(tmp_path):
    other = ItemProfile("i9", "new", ITEM.tags, ITEM.edges, ASKED)
    profiles.save(tmp_path / "one", [ITEM], None, config={}, inputs={})
    assert pl.read_parquet(tmp_path / "items.parquet")["item_id"].to_list() == ["i0"]
    profiles.save(tmp_path / "two", [other], None, config={}, inputs={})
    assert pl.read_parquet(tmp_path / "items.parquet")["item_id"].to_list() == ["i9"]
    assert profiles.load_items(tmp_path / "one") == [ITEM]


def test_whoever_writes_to_the_shown_file_does_not_change_the_set(tmp_path):
    profiles.save(tmp_path / "x", [ITEM], None, config={}, inputs={})
    assert (tmp_path / "items.parquet").read_bytes() == (tmp_path / "x" / "items.parquet").read_bytes()
    (tmp_path / "items.parquet").write_bytes(b"scribble")
    assert profiles.load_items(tmp_path / "x") == [ITEM]


def test_absent_and_damaged(tmp_path):
    with pytest.raises(Incomplete):
        profiles.load_items(tmp_path / "x")
    profiles.save(tmp_path / "x", [ITEM], None, config={}, inputs={})
    (tmp_path / "x" / "items.parquet").write_bytes(b"no")
    with pytest.raises(Corrupt):
        profiles.load_items(tmp_path / "x")
