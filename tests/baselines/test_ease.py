"""The closed form in dense NumPy, and the published split."""

from __future__ import annotations

import numpy as np
import pytest

from hyperllm.baselines.ease import EaseConfig, ease, fit_ease
from hyperllm.data.split import Split
from hyperllm.errors import DataError
from hyperllm.evaluation.evaluate import evaluate


def test_it_equals_the_closed_form(board: Split) -> None:
    model = ease(board, regularisation=3.0)
    x = model.seen.toarray().astype(float)
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    np.testing.assert_allclose(model.item_vectors, b.T, atol=1e-6)
    assert (np.diag(model.item_vectors) == 0).all()


def test_too_many_items_for_a_dense_matrix(board: Split) -> None:
    with pytest.raises(DataError, match="16 by 16 items"):
        fit_ease(board, EaseConfig(max_items=15))


@pytest.mark.data
def test_beauty(beauty: Split) -> None:
    found = evaluate(ease(beauty, regularisation=200.0), beauty).metrics
    told = [found[name] for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20")]
    assert told == pytest.approx([0.1345, 0.1761, 0.0811, 0.0921], abs=5e-5)
