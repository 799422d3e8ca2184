"""Closed forms by hand, the planted checkerboard, the published split, and settings that are checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperllm.baselines import BASELINES
from hyperllm.baselines.ease import EaseConfig, ease, fit_ease
from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel


def checkerboard(users: int = 24, items: int = 16) -> Split:
    """Even users like even items, odd users odd items; one item each is held out for validation and test."""
    rng = np.random.default_rng(0)
    likes = [rng.permutation(np.arange(u % 2, items, 2)) for u in range(users)]
    parts = [
        [(u, i) for u, mine in enumerate(likes) for i in mine[place]] for place in (np.s_[2:], np.s_[:1], np.s_[1:2])
    ]
    pairs = [Pairs(*np.array(p).T) for p in parts]
    return Split(Vocabulary.of(range(users)), Vocabulary.of(range(items)), *pairs)


def test_ease_finds_the_checkerboard_and_popularity_does_not() -> None:
    split = checkerboard()
    options = {"k": (2,), "mask": "train"}
    assert evaluate(ease(split, regularisation=1.0), split, **options).metrics["recall@2"] == 1.0
    assert evaluate(popularity(split), split, **options).metrics["recall@2"] < 0.7


def test_ease_equals_the_closed_form() -> None:
    split = checkerboard()
    model = ease(split, regularisation=3.0)
    x = model.seen.toarray().astype(float)
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    np.testing.assert_allclose(model.item_vectors, b.T, atol=1e-6)
    assert (np.diag(model.item_vectors) == 0).all()


def test_popularity_by_hand() -> None:
    train = Pairs(np.array([0, 1, 2, 0, 1, 2]), np.array([1, 1, 1, 2, 2, 0]))
    none = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    model = popularity(Split(Vocabulary.of("abc"), Vocabulary.of("wxyz"), train, none, none))
    found = model.topk(np.array([0]), 4)
    np.testing.assert_array_equal(found.items, [[1, 2, 0, 3]])
    np.testing.assert_array_equal(found.scores, [[3, 2, 1, 0]])


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_trains_saves_and_ranks(name: str, tmp_path: Path) -> None:
    split = checkerboard()
    model = BASELINES[name].fit(split)
    model.save(tmp_path / "model")
    again = ScoreModel.load(tmp_path)
    assert evaluate(again, split).metrics == evaluate(model, split).metrics
    assert again.item_vectors.flags.f_contiguous == model.item_vectors.flags.f_contiguous


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_pairs_are_not_looked_at(name: str) -> None:
    split = checkerboard()
    blind = replace(split, valid=split.test, test=split.valid)
    left, right = BASELINES[name].fit(split), BASELINES[name].fit(blind)
    np.testing.assert_array_equal(left.item_vectors, right.item_vectors)


def test_settings_are_checked() -> None:
    assert BASELINES["ease"].configure({"regularisation": 50}) == EaseConfig(regularisation=50)
    with pytest.raises(ConfigError, match="Did you mean 'regularisation'"):
        BASELINES["ease"].configure({"regularization": 50})
    with pytest.raises(ConfigError, match="it has none"):
        BASELINES["popularity"].configure({"seed": 1})
    for value in (0, -1.0, float("inf"), float("nan"), "200", True):
        with pytest.raises(ConfigError, match="above 0"):
            BASELINES["ease"].configure({"regularisation": value})


def test_too_many_items_for_a_dense_matrix() -> None:
    with pytest.raises(DataError, match="16 by 16"):
        fit_ease(checkerboard(), EaseConfig(max_items=15))


@pytest.mark.data
def test_beauty_popularity(beauty: Split) -> None:
    assert evaluate(popularity(beauty), beauty).metrics["recall@20"] == pytest.approx(0.0407, abs=5e-5)


@pytest.mark.data
def test_beauty_ease(beauty: Split) -> None:
    found = evaluate(ease(beauty, regularisation=200.0), beauty).metrics
    told = [found[name] for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20")]
    assert told == pytest.approx([0.1345, 0.1761, 0.0811, 0.0921], abs=5e-5)
