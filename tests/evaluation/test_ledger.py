"""Every test evaluation leaves one line; nothing else does."""

from __future__ import annotations

from pathlib import Path

from hyperllm.baselines.popularity import popularity
from hyperllm.data.split import Split, without_items
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.evaluation.ledger import FILE, record, recorded


def test_one_line_each_test_evaluation(small: Split, tmp_path: Path) -> None:
    test = evaluate(popularity(small), small)
    assert recorded(tmp_path) == []
    assert record(tmp_path, test, run="pop", command="evaluate", config={"seed": 0})
    assert record(tmp_path, test, run="pop", config={"seed": 1})
    assert not record(tmp_path, evaluate(popularity(small), small, part="valid"), run="pop")
    first, second = recorded(tmp_path)
    assert (first["run"], first["command"], first["metrics"]) == ("pop", "evaluate", test.metrics)
    assert len(first["config_sha256"]) == 64
    assert first["config_sha256"] != second["config_sha256"]
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 2


def test_a_line_says_which_items_were_ranked_where_they_were_not_all(small: Split, tmp_path: Path) -> None:
    split = without_items(small, 0.3)
    for candidates in ("all", "cold"):
        record(tmp_path, evaluate(popularity(split), split, candidates=candidates), run="pop")
    assert [line.get("candidates") for line in recorded(tmp_path)] == [None, "cold"]


def test_a_line_cut_short_harms_no_other(small: Split, tmp_path: Path) -> None:
    test = evaluate(popularity(small), small)
    record(tmp_path, test, run="a")
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"run": "half')
    record(tmp_path, test, run="b")
    assert [line["run"] for line in recorded(tmp_path)] == ["a", "b"]
