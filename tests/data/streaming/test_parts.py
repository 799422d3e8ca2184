"""The parts that preparing a block at a time is made of: sizes, codes, order of ids, logs, groups of rows."""

from __future__ import annotations

from itertools import count

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperllm.data.sources.requests import TableRequest
from hyperllm.data.streaming import encode
from hyperllm.data.streaming.budget import Budget, Plan, resident_bytes, shown, size
from hyperllm.data.streaming.encode import Collision, Ids, ordered
from hyperllm.data.streaming.prepare import prepare_within
from hyperllm.data.streaming.scratch import Buckets, Log
from hyperllm.data.streaming.writing import group_sizes, regrouped
from hyperllm.errors import ConfigError, DataError
from hyperllm.ids import Vocabulary


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2e9), ("500 mb", 5e8), ("1.5GiB", 1.5 * 2**30), ("1000000", 1e6), ("3g", 3e9), ("1kB", 1e3)],
)
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "2 bananas", "1.2.3GB", "2IB"])
def test_what_is_no_size(text):
    with pytest.raises(ConfigError, match="2GB"):
        size(text)


def test_a_plan_takes_more_rows_where_there_is_more():
    small, large = (Budget(limit, 200 * 10**6).plan() for limit in (10**9, 4 * 10**9))
    assert small.block < large.block
    assert small.bucket < large.bucket
    assert small.buckets(10**9) > large.buckets(10**9)
    assert Budget(10**9, 200 * 10**6).plan(held=5 * 10**8).block < small.block
    with pytest.raises(DataError, match=r"1\.00 GB is too small.*needs 950 MB"):
        Budget(10**9, 200 * 10**6).plan(held=9 * 10**8)
    assert large.texts(0) == large.block > large.texts(100) > large.texts(5_000) > 0
    assert shown(2_500_000_000) == "2.50 GB"
    assert resident_bytes() > 10**6


@settings(max_examples=200)
@given(st.lists(st.one_of(st.text(min_size=1, max_size=4), st.from_regex(r"[0-9]{1,25}", fullmatch=True))))
def test_ids_are_in_the_order_of_a_vocabulary(values):
    ids = pl.Series(sorted(set(values)), dtype=pl.String)
    assert tuple(ids.gather(ordered(ids))) == Vocabulary.of(values).ids


@settings(max_examples=100)
@given(blocks=st.lists(st.lists(st.integers(-5, 40)), min_size=1), text=st.booleans())
def test_codes_tell_ids_apart_over_blocks(tmp_path_factory, blocks, text):
    ids = Ids(tmp_path_factory.mktemp("ids") / "x")
    series = [pl.Series(block, dtype=pl.Int64).cast(pl.String if text else pl.Int64) for block in blocks]
    codes = np.concatenate([ids.codes(block) for block in series])
    assert len(ids) == len({value for block in blocks for value in block})
    if len(codes):
        assert ids.texts().gather(codes).to_list() == [str(value) for block in blocks for value in block]


def test_ids_that_were_met_are_known_and_looking_adds_none(tmp_path):
    ids = Ids(tmp_path / "ids")
    assert ids.met(pl.Series(["a"])).tolist() == [False]
    ids.codes(pl.Series(["a", "b"]))
    assert ids.met(pl.Series(["b", "c", "a", "b"])).tolist() == [True, False, True, True]
    assert len(ids) == 2


def test_ids_with_the_same_key_are_noticed_and_hashed_anew(tmp_path, monkeypatch):
    real = encode._keyed

    def worse(column: pl.Series, seed: int) -> pl.DataFrame:
        return real(column, seed).with_columns(key=pl.col("key") % (2 if seed < 3 else 2**60))

    monkeypatch.setattr(encode, "_keyed", worse)
    with pytest.raises(Collision):
        Ids(tmp_path / "one").codes(pl.Series(["a", "b", "c"]))
    across = Ids(tmp_path / "two")
    blocks = (across.codes(pl.Series([value])) for value in ("a", "b", "c"))
    with pytest.raises(Collision):
        list(blocks)
    (tmp_path / "c.csv").write_text("user,item\n" + "".join(f"u{n % 5},i{n}\n" for n in range(20)))
    with pytest.raises(DataError, match="5-core"):  # the ids were read in the end
        prepare_within(tmp_path / "w", TableRequest(tmp_path / "c.csv"), limit="4GB", plan=Plan(3, 4))


def test_a_log_gives_back_what_was_added(tmp_path):
    log = Log(tmp_path / "log", {"a": np.uint32, "b": np.float64})
    assert log.read()["a"].tolist() == []
    for start in range(0, 10, 3):
        log.append(a=np.arange(start, start + 3), b=np.arange(start, start + 3) / 2, c=np.zeros(3))
    assert len(log) == 12
    assert [block["a"].tolist() for block in log.blocks(5, "a")] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    assert log.read(4, 2)["b"].tolist() == [2.0, 2.5]
    assert "b" not in log.without("b")
    log.remove()
    assert not log.path.exists()


def test_buckets_keep_users_together_and_in_order(tmp_path):
    buckets = Buckets(tmp_path / "b", 3, {"user": np.uint32, "place": np.uint32})
    rng, number = np.random.default_rng(0), count()
    users = rng.integers(7, size=50)
    for block in np.split(users, 5):
        buckets.append(user=block, place=np.array([next(number) for _ in block]))
    found = list(buckets)
    assert sorted(place for block in found for place in block["place"]) == list(range(50))
    for block in found:
        assert len({user % 3 for user in block["user"].tolist()}) == 1
        assert (np.diff(block["place"].astype(int)) > 0).all()


def test_buckets_of_following_users(tmp_path):
    buckets = Buckets(tmp_path / "b", 3, {"user": np.uint32}, home=np.array([0, 0, 1, 2, 2]))
    for block in ([4, 0, 2], [3, 1, 0]):
        buckets.append(user=np.array(block))
    assert [block["user"].tolist() for block in buckets] == [[0, 1, 0], [2], [4, 3]]


@pytest.mark.parametrize("rows", [0, 1, 122_881, 300_000])
def test_rows_are_grouped_as_polars_groups_them(tmp_path, rows):
    frame = pl.DataFrame({"x": np.arange(rows)})
    sizes = group_sizes(rows)
    assert sum(sizes) == rows
    frames = list(regrouped((frame[start : start + 50_000] for start in range(0, rows, 50_000)), sizes))
    assert [part.height for part in frames] == sizes
    if frames:
        assert pl.concat(frames).equals(frame)
