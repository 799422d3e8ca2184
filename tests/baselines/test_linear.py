"""Neighbours by hand, a model that scores histories, and a catalogue that is too large."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hyperllm.baselines.linear import LinearConfig, histories, neighbours, served
from hyperllm.data.split import Split
from hyperllm.errors import DataError


def test_the_largest_of_each_row_stay_but_not_its_own() -> None:
    weights = sparse.csr_matrix([[9.0, 1, 3, 2], [0, 0, 0, 0], [4, 4, 9, 4], [0, 5, 0, 0]])
    wanted = [[0, 0, 3, 2], [0, 0, 0, 0], [4, 4, 0, 0], [0, 5, 0, 0]]
    np.testing.assert_array_equal(neighbours(weights, 2).toarray(), wanted)


@given(seed=st.integers(0, 1000), k=st.integers(1, 9))
def test_it_is_the_sorted_row_cut_at_k(seed: int, k: int) -> None:
    dense = np.random.default_rng(seed).integers(0, 4, (7, 7)).astype(float)
    found = neighbours(sparse.csr_matrix(dense), k).toarray()
    np.fill_diagonal(dense, 0)
    for row, kept in zip(dense, found, strict=True):
        best = np.argsort(-row, kind="stable")[:k]
        np.testing.assert_array_equal(kept[best], row[best])
        assert np.count_nonzero(kept) == np.count_nonzero(row[best])


def test_scores_are_history_times_weights(board: Split) -> None:
    history = histories(board, LinearConfig())
    weights = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    scores = history.toarray() @ weights
    for form in (weights, sparse.csr_matrix(weights)):
        found = served(board, history, form).topk(np.arange(24), 16)
        wanted = np.take_along_axis(scores, found.items, axis=1)
        np.testing.assert_allclose(found.scores, wanted, rtol=1e-6)


def test_a_catalogue_too_large_for_a_dense_matrix_is_refused(board: Split) -> None:
    with pytest.raises(DataError, match=r"16 by 16 items .*max_items is 15"):
        histories(board, LinearConfig(max_items=15))
