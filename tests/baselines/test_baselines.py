"""What holds for every entry of the registry, and settings that are checked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperllm.baselines import BASELINES
from hyperllm.baselines.ease import EaseConfig
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.experiments.tune import MOST
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel


@pytest.fixture
def tags(board: Split) -> TagGraph:
    """Two tags, one for the even items and one for the odd."""
    item = np.arange(len(board.items))
    pairs, none = np.stack([item % 2, item], axis=1), np.empty((0, 2), dtype=np.int64)
    return TagGraph(Vocabulary.of(("even", "odd")), board.items, ("even", "odd"), np.ones(2, int), pairs, none, False)


def fitted(name: str, split: Split, tags: TagGraph) -> ScoreModel:
    return BASELINES[name].fit(split, tags=tags, semantics=texts(split))


def texts(split: Split) -> Semantics:
    """Two words, one for the even rows and one for the odd."""
    users, items = (np.eye(2, dtype=np.float32)[np.arange(len(ids)) % 2] for ids in (split.users, split.items))
    return Semantics(split.users, split.items, users, items)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"popularity"}))
def test_it_finds_the_checkerboard(name: str, board: Split, tags: TagGraph) -> None:
    assert evaluate(fitted(name, board, tags), board, k=(4,)).metrics["recall@4"] == 1.0


@pytest.mark.parametrize("name", BASELINES)
def test_it_trains_saves_and_ranks(name: str, board: Split, tags: TagGraph, tmp_path: Path) -> None:
    model = fitted(name, board, tags)
    model.save(tmp_path / "model")
    again = ScoreModel.load(tmp_path)
    assert evaluate(again, board).metrics == evaluate(model, board).metrics
    assert again.item_vectors.flags.f_contiguous == model.item_vectors.flags.f_contiguous


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_pairs_are_not_looked_at(name: str, board: Split, tags: TagGraph) -> None:
    blind = replace(board, valid=board.test, test=board.valid)
    left, right = fitted(name, board, tags), fitted(name, blind, tags)
    np.testing.assert_array_equal(left.item_vectors, right.item_vectors)


@pytest.mark.parametrize("name", BASELINES)
def test_the_grid_is_legal_within_the_budget_and_without_twins(name: str) -> None:
    baseline = BASELINES[name]
    configs = [baseline.configure(settings) for settings in baseline.grid]
    assert 1 <= len(configs) <= MOST
    assert len(set(configs)) == len(configs)


def test_settings_are_checked() -> None:
    assert BASELINES["ease"].configure({"regularisation": "50"}) == EaseConfig(regularisation=50)
    with pytest.raises(ConfigError, match="Did you mean 'regularisation'"):
        BASELINES["ease"].configure({"regularization": 50})
    with pytest.raises(ConfigError, match="it has none"):
        BASELINES["popularity"].configure({"seed": 1})
    for name, settings in (
        ("ease", {"max_items": 0}),
        ("ease-tags", {"tag_weight": -1}),
        ("itemknn", {"similarity": "jaccard"}),
        ("rp3beta", {"neighbours": 0}),
        ("als", {"alpha": float("inf")}),
        ("als", {"seed": -1}),
        ("content", {"neighbours": 0}),
    ):
        with pytest.raises(ConfigError, match=f"setting '{next(iter(settings))}'"):
            BASELINES[name].configure(settings)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "much"])
@pytest.mark.parametrize("name", ["ease", "ease-tags", "als"])
def test_regularisation_is_a_number_above_0(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="setting 'regularisation'"):
        BASELINES[name].configure({"regularisation": value})


@pytest.mark.parametrize("name", [name for name, baseline in BASELINES.items() if baseline.needs_tags])
def test_what_needs_tags_says_so(name: str, board: Split) -> None:
    with pytest.raises(DataError, match=f"{name} needs tags; run `hyperllm extract`"):
        BASELINES[name].fit(board)


@pytest.mark.parametrize("name", [name for name, baseline in BASELINES.items() if baseline.needs_semantics])
def test_what_needs_text_vectors_says_so(name: str, board: Split) -> None:
    with pytest.raises(DataError, match=f"{name} needs text vectors; run `hyperllm embed`"):
        BASELINES[name].fit(board)


def test_tags_are_needed_where_they_weigh_something(board: Split) -> None:
    content = BASELINES["content"]
    assert not content.uses_tags({"tag_weight": "0"})
    assert content.uses_tags({"tag_weight": "0.5"})
    assert BASELINES["ease-tags"].uses_tags({"tag_weight": 0})
    assert not BASELINES["ease"].uses_tags({})
    with pytest.raises(DataError, match="content needs tags"):
        content.fit(board, settings={"tag_weight": 1}, semantics=texts(board))


def test_the_optional_package_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, hyperllm.baselines; sys.exit('implicit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
