"""Counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.ids import Vocabulary


def test_by_hand() -> None:
    train = Pairs(np.array([0, 1, 2, 0, 1, 2]), np.array([1, 1, 1, 2, 2, 0]))
    none = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    model = popularity(Split(Vocabulary.of("abc"), Vocabulary.of("wxyz"), train, none, none))
    found = model.topk(np.array([0]), 4)
    np.testing.assert_array_equal(found.items, [[1, 2, 0, 3]])
    np.testing.assert_array_equal(found.scores, [[3, 2, 1, 0]])


def test_it_does_not_find_the_checkerboard(board: Split) -> None:
    assert evaluate(popularity(board), board, k=(4,)).metrics["recall@4"] < 0.7


@pytest.mark.data
def test_beauty(beauty: Split) -> None:
    assert evaluate(popularity(beauty), beauty).metrics["recall@20"] == pytest.approx(0.0407, abs=5e-5)
