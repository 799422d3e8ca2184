"""The journal survives a kill at any byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import Corrupt
from hyperllm.extraction.journal import Journal


def test_kept_across_openings(tmp_path):
    path = tmp_path / "deep" / "j.jsonl"
    Journal(path).add("a", {"raw": "line\nbreak ü"})
    again = Journal(path)
    assert "a" in again
    assert again["a"] == {"raw": "line\nbreak ü"}
    assert "b" not in again


@given(st.data())
def test_cut_at_any_byte_loses_only_what_was_cut(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = Journal(path)
    for number in range(4):
        journal.add(str(number), {"raw": "ü" * number})
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    left = Journal(path)
    finished = whole[:cut].count(b"\n")
    assert [str(n) in left for n in range(4)] == [n < finished for n in range(4)]
    left.add("new", 1)
    assert "new" in Journal(path)


@pytest.mark.parametrize("damage", [b'{"nonsense"', b"7", b'["a"]', b'[["a"], 1]', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_earlier_line_is_an_error_and_loses_nothing(tmp_path, damage):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'["a", 1]\n' + damage + b'\n["b", 2]\n')
    with pytest.raises(Corrupt, match=r"line 2 of '.*j\.jsonl' was changed.*Delete that line"):
        Journal(path)
    assert path.read_bytes().endswith(b'["b", 2]\n')


def test_what_is_forgotten_is_gone_and_the_rest_stays(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    for key in "abc":
        journal.add(key, key)
    journal.forget({"b", "unknown"})
    journal.add("d", "half \ud83d of a pair")
    again = Journal(path)
    assert [key in again for key in "abcd"] == [True, False, True, True]
    assert again["d"] == "half \ud83d of a pair"


def test_forgetting_nothing_writes_nothing(tmp_path):
    Journal(tmp_path / "j.jsonl").forget(set())
    assert list(tmp_path.iterdir()) == []
