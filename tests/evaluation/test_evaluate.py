"""The protocol: what is hidden, who is counted, and agreement with a plain loop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from hyperllm import artifacts
from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split, without_items
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, Corrupt, DataError, MisalignedArrays
from hyperllm.evaluation.beyond import beyond_accuracy
from hyperllm.evaluation.evaluate import KIND, Evaluation, evaluate, hits
from hyperllm.evaluation.rank import TopK, topk
from hyperllm.ids import Rows, Vocabulary
from hyperllm.serving.model import ScoreModel


class Fixed:
    """Ranks by a given score matrix, like any third party's model."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def topk(self, user_rows: Rows, k: int, *, mask: sparse.csr_matrix | None = None) -> TopK:
        return topk(self.scores[user_rows], k, mask=None if mask is None else mask[user_rows])


def plainly(
    scores: np.ndarray, split: Split, k: int, hidden: list[Pairs], only: list[int] | None = None
) -> tuple[float, float]:
    """Recall and NDCG of the test part, user by user, among all items or these ``only``."""
    recalls, gains = [], []
    ranked = range(len(split.items)) if only is None else only
    for user in range(len(split.users)):
        test = set(split.test.item[split.test.user == user].tolist()) & set(ranked)
        if not test:
            continue
        gone = {i for p in hidden for i in p.item[p.user == user].tolist()}
        order = sorted((i for i in ranked if i not in gone), key=lambda i: (-scores[user, i], i))[:k]
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


@pytest.mark.parametrize("mask", ["train", "train+valid"])
def test_cold_items_are_ranked_among_themselves(small: Split, mask: str) -> None:
    """Items 1 and 7 are in no training pair, but validated too; test has warm items beside them."""
    warm = ~np.isin(small.train.item, [1, 7])
    split = Split(small.users, small.items, small.train.take(warm), small.valid, small.test)
    assert {1, 7} & set(split.valid.item.tolist())
    assert {1, 7} < set(split.test.item.tolist())
    users, items = (np.random.default_rng(5).integers(3, size=(n, 2)).astype(np.float32) for n in (12, 9))
    model = ScoreModel.of_points(split, users=users, items=items, geometry="inner")
    found = evaluate(model, split, k=(1, 2), mask=mask, candidates="cold")  # pyright: ignore[reportArgumentType]
    hidden = [split.train] if mask == "train" else [split.train, split.valid]
    for k in (1, 2):
        expected = plainly(users @ items.T, split, k, hidden, only=[1, 7])
        assert (found.metrics[f"recall@{k}"], found.metrics[f"ndcg@{k}"]) == pytest.approx(expected)
    tested = set(split.test.user[np.isin(split.test.item, [1, 7])].tolist())
    assert (found.users, found.users_skipped) == (len(tested), 12 - len(tested))
    assert found.metrics != evaluate(model, split, k=(1, 2), mask=mask).metrics  # pyright: ignore[reportArgumentType]


def test_candidates_are_told_and_kept_only_where_they_are_not_all(small: Split, tmp_path: Path) -> None:
    split = without_items(small, 0.3)
    model = popularity(split)
    found = evaluate(model, split, candidates="cold")
    assert found.document("pop")["candidates"] == "cold"
    found.save(tmp_path / "cold", run="pop")
    assert artifacts.read(tmp_path / "cold", KIND).config["candidates"] == "cold"
    assert Evaluation.load(tmp_path / "cold").document("pop") == found.document("pop")
    usual = evaluate(model, split)
    assert "candidates" not in usual.document("pop")
    usual.save(tmp_path / "all", run="pop")
    assert artifacts.read(tmp_path / "all", KIND).config == {"run": "pop", "part": "test", "mask": "train"}
    assert Evaluation.load(tmp_path / "all").candidates == "all"


def test_without_a_cold_item_or_one_held_out_there_is_nothing_to_rank(small: Split) -> None:
    with pytest.raises(ConfigError, match=r"every item of this split has a training interaction.*--cold-items"):
        evaluate(popularity(small), small, candidates="cold")
    split = without_items(small, 0.3)
    with pytest.raises(DataError, match="valid part of this split holds no interaction with a cold item"):
        evaluate(popularity(split), split, part="valid", candidates="cold")


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


def test_beyond_is_about_the_lists_and_the_model_s_own_tags(small: Split) -> None:
    edges = np.array([[0, 0], [0, 1], [1, 2]])
    tags = TagGraph(Vocabulary.of("xy"), small.items, ("x", "y"), np.array([1, 1]), edges, np.empty((0, 2), int), False)
    model = Fixed(np.random.default_rng(4).random((12, 9)))
    assert "diversity@3" not in evaluate(model, small, k=(3,)).beyond
    model.tags = tags  # pyright: ignore[reportAttributeAccessIssue]
    found = evaluate(model, small, k=(1, 3))
    users, train = np.arange(10), small.train.matrix(12, 9)
    lists = model.topk(users, 3, mask=train).items
    assert found.beyond == beyond_accuracy(lists, train, user_rows=users, k=(1, 3), tags=tags)
    assert "diversity@3" in found.beyond
    assert set(found.metrics).isdisjoint(found.beyond)


def test_tags_of_other_items_are_refused(small: Split) -> None:
    nothing = np.empty((0, 2), dtype=np.int64)
    model = Fixed(np.zeros((12, 9)))
    other = Vocabulary.of(f"x{n}" for n in range(9))
    model.tags = TagGraph(Vocabulary.of("x"), other, ("x",), np.array([1]), nothing, nothing, False)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(MisalignedArrays, match="tags belong to other items"):
        evaluate(model, small)


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
    assert {"coverage@10", "gini@20", "novelty@20", "arp@20", "popularity_lift@20"} <= set(told["beyond"])


def test_saved_and_loaded(small: Split, tmp_path: Path) -> None:
    found = evaluate(popularity(small), small)
    found.save(tmp_path / "test", run="pop")
    again = Evaluation.load(tmp_path / "test")
    assert again.document("pop") == found.document("pop")
    assert again.per_user.equals(found.per_user)
    (tmp_path / "test" / "metrics.json").write_text("{}")
    with pytest.raises(Corrupt):
        Evaluation.load(tmp_path / "test")


def test_an_evaluation_stored_without_beyond_is_read(small: Split, tmp_path: Path) -> None:
    found = evaluate(popularity(small), small)
    with artifacts.writing(tmp_path / "old", KIND) as work:
        told = found.document("pop")
        told["beyond_accuracy"] = told.pop("beyond")
        artifacts.write_json(work / "metrics.json", told)
        found.per_user.write_parquet(work / "per_user.parquet")
    again = Evaluation.load(tmp_path / "old")
    assert (again.metrics, again.beyond) == (found.metrics, {})


def test_stored_metrics_of_another_shape_are_corrupt(small: Split, tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "odd", KIND) as work:
        (work / "metrics.json").write_text("[]")
    with pytest.raises(Corrupt, match="Run `evaluate` again"):
        Evaluation.load(tmp_path / "odd")


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
        ({"candidates": "old"}, "Did you mean 'cold'"),
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
