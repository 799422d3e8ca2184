"""Walks counted one by one, and the published split."""

from __future__ import annotations

import numpy as np
import pytest

from hyperllm.baselines.rp3beta import Rp3betaConfig, fit_rp3beta
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.ids import Vocabulary


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.6, 0.3), (0.0, 0.0)])
def test_weights_are_walks_from_item_to_user_to_item(alpha: float, beta: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((9, 6)) < 0.5) * np.array([1, 1, 1, 1, 1, 0])  # the last item has no click
    x[4] = 0  # a user without a click
    none = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    split = Split(Vocabulary.of(range(9)), Vocabulary.of(range(6)), Pairs(*np.nonzero(x)), none, none)
    wanted = np.zeros((6, 6))
    for user, i, j in np.ndindex(9, 6, 6):
        if i != j and x[user, i] and x[user, j]:
            wanted[i, j] += (1 / x[:, i].sum()) ** alpha * (1 / x[user].sum()) ** alpha / x[:, j].sum() ** beta
    model = fit_rp3beta(split, Rp3betaConfig(alpha=alpha, beta=beta))
    np.testing.assert_allclose(model.item_vectors.T, wanted, rtol=1e-6)


def test_only_neighbours_are_kept(board: Split) -> None:
    model = fit_rp3beta(board, Rp3betaConfig(neighbours=3))
    assert (np.count_nonzero(model.item_vectors, axis=0) == 3).all()


@pytest.mark.data
def test_beauty(beauty: Split) -> None:
    found = evaluate(fit_rp3beta(beauty, Rp3betaConfig(alpha=0.4, beta=0.1)), beauty, part="valid").metrics
    told = [found[name] for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20")]
    assert told == pytest.approx([0.1293, 0.1733, 0.0758, 0.0874], abs=5e-5)
