"""The order is exact: score descending, ties by row number, hidden pairs never."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.evaluation.rank import topk


def by_sorting(scores: np.ndarray, k: int) -> np.ndarray:
    """The definition, written plainly."""
    out = np.full((len(scores), k), -1)
    for row, values in enumerate(scores):
        order = sorted((c for c in range(len(values)) if values[c] > -np.inf), key=lambda c: (-values[c], c))
        out[row, : len(order[:k])] = order[:k]
    return out


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 400), st.integers(1, 40), st.integers(1, 50))
def test_equals_sorting_whatever_the_ties(seed: int, users: int, items: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(users, items)).astype(np.float32 if seed % 2 else np.float64)
    mask = sparse.csr_matrix(rng.random((users, items)) < rng.random())
    hidden = np.where(mask.toarray(), -np.inf, scores)
    found = topk(scores, k, mask=mask)
    np.testing.assert_array_equal(found.items, by_sorting(hidden, k))
    expected = np.where(found.items < 0, -np.inf, np.take_along_axis(hidden, np.maximum(found.items, 0), axis=1))
    np.testing.assert_array_equal(found.scores, expected.astype(np.float32))


def test_wide_continuous_scores() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 5000))
    np.testing.assert_array_equal(topk(scores, 20).items, by_sorting(scores, 20))


def test_all_equal_gives_the_first_rows() -> None:
    np.testing.assert_array_equal(topk(np.zeros((3, 10_000), dtype=np.float32), 4).items, [[0, 1, 2, 3]] * 3)


def test_scores_are_left_alone() -> None:
    scores = np.ones((2, 3))
    topk(scores, 2, mask=sparse.csr_matrix(np.eye(2, 3)))
    np.testing.assert_array_equal(scores, np.ones((2, 3)))


def test_fewer_candidates_than_places() -> None:
    found = topk(np.array([[1.0, -np.inf, 2.0]]), 5)
    np.testing.assert_array_equal(found.items, [[2, 0, -1, -1, -1]])
    assert found.scores[0, 2] == -np.inf


def test_no_users_and_no_items() -> None:
    assert topk(np.empty((0, 5)), 2).items.shape == (0, 2)
    np.testing.assert_array_equal(topk(np.empty((2, 0)), 2).items, [[-1, -1]] * 2)


@pytest.mark.parametrize("items", [3, 4000])
def test_nan_is_refused(items: int) -> None:
    scores = np.zeros((2, items))
    scores[1, items - 1] = np.nan
    with pytest.raises(DataError, match="not a number"):
        topk(scores, 2)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3"])
def test_k_must_be_a_positive_whole_number(k: object) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        topk(np.zeros((1, 3)), k)  # pyright: ignore[reportArgumentType]


def test_mask_of_another_shape() -> None:
    with pytest.raises(MisalignedArrays, match=r"\(2, 4\)"):
        topk(np.zeros((2, 3)), 1, mask=sparse.csr_matrix((2, 4)))
