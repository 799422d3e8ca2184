"""The protocol: what is hidden, who is counted, and agreement with a plain loop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, Corrupt, DataError, MisalignedArrays
from hyperllm.evaluation.evaluate import Evaluation, evaluate, hits
from hyperllm.evaluation.rank import TopK, topk
from hyperllm.ids import Rows, Vocabulary


class Fixed:
    """Ranks by a given score matrix, like any third party's model."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def topk(self, user_rows: Rows, k: int, *, mask: sparse.csr_matrix | None = None) -> TopK:
        return topk(self.scores[user_rows], k, mask=None if mask is None else mask[user_rows])


def plainly(scores: np.ndarray, split: Split, k: int, hidden: list[Pairs]) -> tuple[float, float]:
    """Recall and NDCG of the test part, user by user."""
    recalls, gains = [], []
    for user in range(len(split.users)):
        test = set(split.test.item[split.test.user == user].tolist())
        if not test:
            continue
        gone = {i for p in hidden for i in p.item[p.user == user].tolist()}
        order = sorted((i for i in range(len(split.items)) if i not in gone), key=lambda i: (-scores[user, i], i))[:k]
        recalls.append(len(test & set(order)) / len(test))
        ideal = sum(1 / math.log2(r + 2) for r in range(min(len(test), k)))
        gains.append(sum(1 / math.log2(r + 2) for r, i in enumerate(order) if i in test) / ideal)
    return float(np.mean(recalls)), float(np.mean(gains))


@pytest.mark.parametrize("mask", ["train", "train+valid"])
def test_agrees_with_a_plain_loop(small: Split, mask: str) -> None:
    scores = np.random.default_rng(0).integers(4, size=(12, 9)).astype(float)
    found = evaluate(Fixed(scores), small, k=(2, 3), mask=mask)  # pyright: ignore[reportArgumentType]
    hidden = [small.train] if mask == "train" else [small.train, small.valid]
    for k in (2, 3):
        expected = plainly(scores, small, k, hidden)
        assert (found.metrics[f"recall@{k}"], found.metrics[f"ndcg@{k}"]) == pytest.approx(expected)
    assert (found.users, found.users_skipped) == (10, 2)


def test_a_function_is_as_good_as_a_model(small: Split) -> None:
    model = Fixed(np.random.default_rng(1).random((12, 9)))
    assert evaluate(model.topk, small).metrics == evaluate(model, small).metrics


def test_an_oracle_is_perfect_and_training_pairs_never_show(small: Split) -> None:
    scores = small.test.matrix(12, 9).toarray() + 5 * small.train.matrix(12, 9).toarray()
    found = evaluate(Fixed(scores), small, k=(2,))
    assert found.metrics["recall@2"] == found.metrics["ndcg@2"] == found.metrics["map@2"] == 1.0


def test_validation_part_hides_training_only(small: Split) -> None:
    scores = small.valid.matrix(12, 9).toarray()
    assert evaluate(Fixed(scores), small, part="valid", k=(1,)).metrics["recall@1"] == 1.0
    with pytest.raises(ConfigError, match="hide its answers"):
        evaluate(Fixed(scores), small, part="valid", mask="train+valid")


def test_beyond_accuracy_by_hand() -> None:
    pair = Pairs(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2]))
    test = Pairs(np.array([0, 1]), np.array([3, 3]))
    split = Split(Vocabulary.of("ab"), Vocabulary.of(range(4)), pair, Pairs(test.user, np.array([2, 1])), test)
    found = evaluate(Fixed(np.array([[0.0, 0, 9, 1], [0, 0, 9, 1]])), split, k=(1,))
    assert found.beyond_accuracy["coverage@1"] == 0.5  # user a sees item 2, user b item 3
    assert found.beyond_accuracy["novelty@1"] == 2.0  # one click of four; item 3, never clicked, counts as one


def test_per_user_rows_average_to_the_metrics(small: Split) -> None:
    found = evaluate(Fixed(np.random.default_rng(2).random((12, 9))), small, k=(3,), metrics=("recall", "mrr"))
    assert found.per_user.columns == ["user_id", "recall@3", "mrr@3"]
    assert found.per_user["user_id"].to_list() == [f"u{n:02}" for n in range(10)]
    assert found.per_user["mrr@3"].mean() == pytest.approx(found.metrics["mrr@3"])


def test_document_is_json(small: Split) -> None:
    found = evaluate(popularity(small), small)
    told = json.loads(json.dumps(found.document("pop")))
    assert (told["run"], told["part"], told["mask"], told["users"]) == ("pop", "test", "train", 10)
    assert {"recall@10", "recall@20", "ndcg@10", "ndcg@20"} <= set(told["metrics"])


def test_saved_and_loaded(small: Split, tmp_path: Path) -> None:
    found = evaluate(popularity(small), small)
    found.save(tmp_path / "test", run="pop")
    again = Evaluation.load(tmp_path / "test")
    assert again.document("pop") == found.document("pop")
    assert again.per_user.equals(found.per_user)
    (tmp_path / "test" / "metrics.json").write_text("{}")
    with pytest.raises(Corrupt):
        Evaluation.load(tmp_path / "test")


def test_model_of_another_split_is_refused(small: Split) -> None:
    other = Split(small.users, small.items, small.valid, small.train, small.test)
    with pytest.raises(DataError, match="not the 48"):
        evaluate(popularity(other), small)
    renamed = Split(Vocabulary.of(f"x{n:02}" for n in range(12)), small.items, small.train, small.valid, small.test)
    with pytest.raises(MisalignedArrays, match="another split"):
        evaluate(popularity(renamed), small)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"part": "tset"}, "Did you mean 'test'"),
        ({"mask": "none"}, "choose one of train"),
        ({"metrics": ("recal",)}, "Did you mean 'recall'"),
        ({"metrics": ()}, "at least one"),
        ({"k": (0,)}, "at least 1"),
    ],
)
def test_unknown_options(small: Split, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluate(Fixed(np.zeros((12, 9))), small, **options)  # pyright: ignore[reportArgumentType]


def test_empty_part(small: Split) -> None:
    nothing = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(DataError, match="nothing to measure"):
        evaluate(Fixed(np.zeros((12, 9))), Split(small.users, small.items, small.train, small.valid, nothing))


def test_an_unused_place_is_never_a_hit() -> None:
    relevant = sparse.csr_matrix(np.array([[0, 0, 1], [1, 0, 0]]))
    found = hits(np.array([[2, -1], [-1, 0]]), relevant)
    np.testing.assert_array_equal(found, [[True, False], [False, True]])
