"""The closed form in dense NumPy, what tags add, and what they must belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hyperllm.baselines.ease import ease
from hyperllm.baselines.ease_tags import EaseTagsConfig, fit_ease_tags
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.ids import Rows, Vocabulary


def tagged(split: Split, pairs: Rows, *, tags: int) -> TagGraph:
    names = Vocabulary.of(range(tags))
    none = np.empty((0, 2), dtype=np.int64)
    return TagGraph(names, split.items, names.ids, np.full(tags, -1), pairs, none, directed=False)


@pytest.fixture
def tags(board: Split) -> TagGraph:
    """Random pairs, some twice; tag 6 and item 15 have none."""
    rng = np.random.default_rng(1)
    pairs = np.stack([rng.integers(0, 6, 60), rng.integers(0, 15, 60)], axis=1)
    assert len(np.unique(pairs, axis=0)) < len(pairs)
    return tagged(board, pairs, tags=7)


def test_rows_hold_cosines_of_rarity(board: Split, tags: TagGraph) -> None:
    has = np.zeros((7, 16))
    has[tuple(tags.tag_items.T)] = 1
    wanted = has * np.log(16 / np.maximum(has.sum(axis=1, keepdims=True), 1))
    wanted /= np.maximum(np.linalg.norm(wanted, axis=0), 1e-9)
    np.testing.assert_allclose(tags.rows().toarray(), wanted)


def test_a_tag_that_every_item_has_says_nothing(board: Split) -> None:
    everything = np.stack([np.zeros(16, dtype=np.int64), np.arange(16)], axis=1)
    assert not tagged(board, everything, tags=1).rows().toarray().any()


def test_it_equals_the_closed_form_however_the_items_are_cut(
    board: Split, tags: TagGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperllm.baselines.ease_tags._ITEMS_AT_ONCE", 5)
    model = fit_ease_tags(board, EaseTagsConfig(regularisation=3.0, tag_weight=2.0), tags)
    x, t = model.seen.toarray().astype(float), tags.rows().toarray()
    p = np.linalg.inv(x.T @ x + 2.0 * t.T @ t + 3.0 * np.eye(16))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    np.testing.assert_allclose(model.item_vectors, b.T, atol=1e-6)
    assert model.tags is tags


def test_without_weight_it_is_ease(board: Split, tags: TagGraph) -> None:
    model = fit_ease_tags(board, EaseTagsConfig(tag_weight=0.0), tags)
    np.testing.assert_array_equal(model.item_vectors, ease(board).item_vectors)


def test_an_item_nobody_chose_is_found_by_its_tags(board: Split) -> None:
    parity = np.stack([np.arange(16) % 2, np.arange(16)], axis=1)
    kept = board.train.item < 14  # items 14 and 15 are new
    cold = replace(board, train=Pairs(board.train.user[kept], board.train.item[kept]))
    model = fit_ease_tags(cold, EaseTagsConfig(), tagged(board, parity, tags=2))
    found = model.topk(np.arange(24), 1, candidates=np.array([14, 15])).items[:, 0]
    np.testing.assert_array_equal(found % 2, np.arange(24) % 2)


def test_tags_of_other_items_and_too_many_items_are_refused(board: Split, tags: TagGraph) -> None:
    other = replace(tags, items=Vocabulary.of(range(100, 116)))
    with pytest.raises(MisalignedArrays, match="other items than the split"):
        fit_ease_tags(board, EaseTagsConfig(), other)
    with pytest.raises(DataError, match="16 by 16 items"):
        fit_ease_tags(board, EaseTagsConfig(max_items=15), tags)
