"""Pictures of a search say what they are told, in text that can be found in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hyperllm.experiments.charts import history, importance
from hyperllm.experiments.trial import Trial

PNG = b"\x89PNG\r\n"


def trial(ended: Any, *scores: float) -> Trial:
    return Trial({}, "", ended, 0.0, scores)


def words(path: Path) -> str:
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_importances_have_a_bar_each(tmp_path: Path) -> None:
    svg, png = importance({"margin": 0.75, "learning_rate": 0.25}, tmp_path / "new")
    assert (svg.name, png.name) == ("importance.svg", "importance.png")
    assert all(text in words(svg) for text in ("margin", "learning_rate", "0.75", "0.25"))
    assert png.read_bytes().startswith(PNG)


def test_an_only_setting_has_all_of_it(tmp_path: Path) -> None:
    assert "1.00" in words(importance({"margin": 1.0}, tmp_path)[0])


def test_history_names_the_ends_there_were(tmp_path: Path) -> None:
    finished, pruned, diverged = trial("epochs", 0.2, 0.3), trial("pruned", 0.1), trial("diverged", 0.1)
    svg, png = history([pruned, finished, diverged, trial("diverged")], tmp_path)
    assert all(text in words(svg) for text in ("best so far", "finished", "pruned", "diverged"))
    assert png.read_bytes().startswith(PNG)
    assert "diverged" not in words(history([finished, pruned], tmp_path / "other")[0])


def test_equal_searches_have_equal_pictures(tmp_path: Path) -> None:
    trials = [trial("epochs", 0.2), trial("pruned", 0.1)]
    first, second = (history(trials, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
