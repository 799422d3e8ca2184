"""Every experiment file can be read, and carries the published numbers it is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperllm.experiments.recipe import Recipe
from hyperllm.training.report import SELECTION

FILES = sorted(Path(__file__).parent.parent.glob("experiments/**/*.toml"))


def test_there_are_experiments() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_is_legal_and_names_its_target(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLLM_DATA", "/data")
    recipe = Recipe.read(path)
    assert len(recipe.requests()) == 1
    assert "evaluate" in recipe.stages
    assert set(recipe.published) == set(SELECTION)
    assert all(0 < value < 1 for value in recipe.published.values())
