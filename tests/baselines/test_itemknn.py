"""The three similarities in dense NumPy, shrunk or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hyperllm.baselines.itemknn import ItemKnnConfig, fit_itemknn
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.ids import Vocabulary


def weighted(x: np.ndarray, similarity: str, shrinkage: float) -> np.ndarray:
    """Rows of items (I, U) by the definitions, of clicks x (U, I)."""
    rows, rarity = x.T, np.log(x.shape[1] / (1 + x.sum(axis=1)))
    if similarity == "bm25":
        length = rows.sum(axis=1, keepdims=True)
        return rows * (1.2 + 1) / (1.2 * (0.25 + 0.75 * length / length.mean()) + rows) * rarity
    rows = rows * rarity if similarity == "tfidf" else rows
    own = shrinkage * (rows[rows != 0] ** 2).mean()
    return rows / np.sqrt(np.maximum((rows**2).sum(axis=1, keepdims=True) + own, 1e-12))


@pytest.mark.parametrize("shrinkage", [0.0, 4.0])
@pytest.mark.parametrize("similarity", ["cosine", "tfidf", "bm25"])
def test_similarities_are_those_of_the_definitions(similarity: Any, shrinkage: float) -> None:
    x = (np.random.default_rng(2).random((20, 9)) < 0.3).astype(float)
    x[:, 8] = 0  # an item without a click
    none = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    split = Split(Vocabulary.of(range(20)), Vocabulary.of(range(9)), Pairs(*np.nonzero(x)), none, none)
    rows = weighted(x, similarity, shrinkage)
    wanted = rows @ rows.T
    np.fill_diagonal(wanted, 0)
    model = fit_itemknn(split, ItemKnnConfig(similarity=similarity, shrinkage=shrinkage))
    np.testing.assert_allclose(model.item_vectors.T, wanted, atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "tfidf", "bm25"])
def test_each_item_keeps_so_many_others(board: Split, similarity: Any) -> None:
    model = fit_itemknn(board, ItemKnnConfig(neighbours=3, similarity=similarity))
    assert (np.count_nonzero(model.item_vectors, axis=0) == 3).all()
    assert not np.diag(model.item_vectors).any()
