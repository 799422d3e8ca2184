"""The journal survives a kill at any byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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


def test_a_damaged_line_ends_the_reading(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'["a", 1]\n{"nonsense"\n["b", 2]\n')
    journal = Journal(path)
    assert "a" in journal
    assert "b" not in journal
    assert path.read_bytes() == b'["a", 1]\n'
