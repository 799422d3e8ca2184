"""Profiles on disk: what is written is read, and the newest set is the one shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.errors import Corrupt, Incomplete
from hyperllm.extraction import profiles
from hyperllm.extraction.profiles import ITEM_SCHEMA, USER_SCHEMA, ItemProfile, Origin, UserProfile

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


def test_blocks_do_not_matter(tmp_path, monkeypatch):
    many = [ItemProfile(f"i{n}", str(n), (("A",), (), ()), (), ASKED) for n in range(10)]
    profiles.save(tmp_path / "whole", many, [USER] * 3, config={}, inputs={})
    monkeypatch.setattr(profiles, "BLOCK", 3)
    profiles.save(tmp_path / "blocks", iter(many), iter([USER] * 3), config={}, inputs={})
    for folder in (tmp_path / "whole", tmp_path / "blocks"):
        assert profiles.load_items(folder) == many
        assert profiles.load_users(folder) == [USER] * 3


def test_what_is_written_can_be_read_as_often_as_wanted_before_the_set_is_sealed(tmp_path):
    with profiles.writing(tmp_path / "x", config={}, inputs={}) as made:
        made.write_items(iter([ITEM]))
        found = made.items()
        bare = replace(ITEM, origin=replace(ASKED, raw=None))
        assert list(found) == list(found) == [bare], "without the raw replies, which can be large"
        assert not (tmp_path / "items.parquet").exists()
    assert profiles.load_items(tmp_path / "x") == [ITEM]
    assert artifacts.read(tmp_path / "x", profiles.KIND).facts["items"] == 1


def test_a_set_that_was_not_finished_leaves_nothing(tmp_path):
    def failing() -> Iterator[ItemProfile]:
        yield ITEM
        raise RuntimeError("the model went away")

    with pytest.raises(RuntimeError, match="went away"):
        profiles.save(tmp_path / "x", failing(), None, config={}, inputs={})
    assert list(tmp_path.iterdir()) == []


def test_no_profile_at_all_is_an_empty_table_of_the_same_columns(tmp_path):
    profiles.save(tmp_path / "x", [], [], config={}, inputs={})
    assert profiles.load_items(tmp_path / "x") == profiles.load_users(tmp_path / "x") == []
    assert dict(pl.read_parquet(tmp_path / "items.parquet").schema) == ITEM_SCHEMA
    assert dict(pl.read_parquet(tmp_path / "users.parquet").schema) == USER_SCHEMA


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_a_row_is_read_back(text, names):
    tags = (tuple(names), (), tuple(names))
    profile = ItemProfile("i", text, tags, tuple(zip(names, names, strict=True)), ASKED)
    assert ItemProfile.of(profile.row()) == profile
    assert list(profile.row()) == list(ITEM_SCHEMA)
    assert UserProfile.of(USER.row()) == USER
    assert list(USER.row()) == list(USER_SCHEMA)
