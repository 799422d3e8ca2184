"""A fixed point of the objective, and the same bits for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from hyperllm.baselines.als import AlsConfig, fit_als
from hyperllm.data.split import Split
from hyperllm.testing import checkerboard_world


def test_items_are_the_best_answer_to_the_users(board: Split) -> None:
    config = AlsConfig(factors=3, regularisation=2.0, alpha=5.0, iterations=200)
    model = fit_als(board, config)
    x, p = model.seen.toarray().astype(float), np.asarray(model.user_vectors, dtype=float)
    for clicks, found in zip(x.T, model.item_vectors, strict=True):
        confidence = np.where(clicks > 0, 5.0, 1.0)[:, None]
        wanted = np.linalg.solve(p.T @ (confidence * p) + 2.0 * np.eye(3), p.T @ (confidence[:, 0] * clicks))
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_seed_decides_and_the_number_of_threads_does_not(threads: int) -> None:
    split = checkerboard_world(users=300, items=200)
    config = AlsConfig(factors=32, iterations=3)
    once = fit_als(split, config)
    with threadpool_limits(threads):
        again, other = fit_als(split, config), fit_als(split, AlsConfig(factors=32, iterations=3, seed=1))
    np.testing.assert_array_equal(again.item_vectors, once.item_vectors)
    np.testing.assert_array_equal(again.user_vectors, once.user_vectors)
    assert not np.array_equal(other.item_vectors, once.item_vectors)
