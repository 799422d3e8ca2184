"""Scores added up item by item, what is similar to what, and items nobody has yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperllm.baselines.content import ContentConfig, fit_content
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split, without_items
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.ids import Vocabulary
from hyperllm.testing import checkerboard_world


def semantics(split: Split, items: Any) -> Semantics:
    vectors = np.asarray(items, dtype=np.float32)
    return Semantics(split.users, split.items, np.zeros((len(split.users), vectors.shape[1]), np.float32), vectors)


@pytest.fixture
def cold() -> Split:
    """Three of 16 items are in no training pair."""
    return without_items(checkerboard_world(users=24, items=16), 0.2, seed=1)


@pytest.fixture
def texts(cold: Split) -> Semantics:
    """Random vectors that share a direction; item 4 has no text."""
    vectors = 3.0 + np.random.default_rng(0).standard_normal((16, 5))
    vectors[4] = 0.0
    return semantics(cold, vectors)


@pytest.fixture
def tags(cold: Split) -> TagGraph:
    """Five tags at random; some items share one, some have none."""
    pairs = np.unique(np.random.default_rng(2).integers((5, 16), size=(24, 2)), axis=0)
    names, none = Vocabulary.of(range(5)), np.empty((0, 2), dtype=np.int64)
    return TagGraph(names, cold.items, names.ids, np.full(5, -1), pairs, none, directed=False)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / length) if length else 0.0


def plainly(split: Split, texts: Semantics, tags: TagGraph, config: ContentConfig) -> np.ndarray:
    """Scores (U, I), pair by pair."""
    vectors = texts.item_vectors.astype(float)
    told = vectors.any(axis=1)
    vectors[told] -= vectors[told].mean(axis=0)
    count = np.bincount(tags.tag_items[:, 0], minlength=len(tags.tags))
    rare = np.zeros((16, len(tags.tags)))
    for tag, item in tags.tag_items:
        rare[item, tag] = np.log(16 / count[tag])
    known = sorted(set(split.train.item.tolist()))
    scores = np.zeros((len(split.users), 16))
    for j in range(16):
        near = {
            i: max(0.0, cosine(vectors[i], vectors[j]) + config.tag_weight * cosine(rare[i], rare[j]))
            for i in known
            if i != j
        }
        kept = sorted(near, key=lambda i, near=near: -near[i])[: config.neighbours]
        for user, item in zip(split.train.user, split.train.item, strict=True):
            scores[user, j] += near[int(item)] if item in kept else 0.0
    return scores


@pytest.mark.parametrize("tag_weight", [0.0, 0.7])
@pytest.mark.parametrize("neighbours", [1, 3, None])
def test_scores_are_sums_over_the_history_however_the_items_are_cut(
    cold: Split,
    texts: Semantics,
    tags: TagGraph,
    neighbours: int | None,
    tag_weight: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hyperllm.baselines.content._ITEMS_AT_ONCE", 5)
    config = ContentConfig(neighbours=neighbours, tag_weight=tag_weight)
    model = fit_content(cold, config, texts, tags)
    found = model.user_vectors @ model.item_vectors.T
    np.testing.assert_allclose(found, plainly(cold, texts, tags, config), atol=1e-5)


def test_places_go_to_items_that_somebody_has(cold: Split, texts: Semantics) -> None:
    model = fit_content(cold, ContentConfig(neighbours=2), texts)
    unknown = np.setdiff1d(np.arange(16), cold.train.item)
    assert len(unknown) == 3
    assert not model.item_vectors[:, unknown].any()
    assert model.item_vectors[unknown].any(axis=1).all()
    assert (np.count_nonzero(model.item_vectors, axis=1) <= 2).all()
    assert not model.item_vectors[4].any(), "without a text nothing is similar"


def test_an_item_nobody_has_is_found_by_its_text(cold: Split) -> None:
    parity = np.arange(16) % 2
    texts = semantics(cold, np.stack([parity, 1 - parity], axis=1))
    found = evaluate(fit_content(cold, ContentConfig(), texts), cold, k=(1,), candidates="cold")
    assert found.metrics["hit@1"] == 1.0


def test_what_does_not_fit_is_refused(cold: Split, texts: Semantics, tags: TagGraph) -> None:
    other = Vocabulary.of(range(100, 116))
    with pytest.raises(MisalignedArrays, match="other items than the split"):
        fit_content(cold, ContentConfig(), replace(texts, items=other))
    with pytest.raises(MisalignedArrays, match="other items than the split"):
        fit_content(cold, ContentConfig(tag_weight=1.0), texts, replace(tags, items=other))
    with pytest.raises(DataError, match="tag_weight above 0 needs tags"):
        fit_content(cold, ContentConfig(tag_weight=1.0), texts)
    with pytest.raises(DataError, match="no item has a text vector"):
        fit_content(cold, ContentConfig(), semantics(cold, np.zeros((16, 3))))
    with pytest.raises(DataError, match="16 by 16 items"):
        fit_content(cold, ContentConfig(max_items=15), texts)
