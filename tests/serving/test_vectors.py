"""Exported vectors rank by a plain product or distance, and rescoring gives the model's own answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hyperllm.errors import ConfigError, DataError, MisalignedArrays, UnknownId
from hyperllm.serving import vectors as module
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.vectors import Metric, export_vectors, query_vectors, rescore

ALL = np.arange(7)
METRICS: tuple[Metric, ...] = ("dot", "l2")


@pytest.fixture
def dense(model: ScoreModel) -> ScoreModel:
    """Each kind of model in turn, users' vectors dense."""
    users: Any = model.user_vectors
    return model if isinstance(users, np.ndarray) else replace(model, user_vectors=users.toarray())


def exported(model: ScoreModel, path: Path, metric: Metric) -> tuple[list[str], Any]:
    assert export_vectors(model, path, metric=metric) == len(model.items)
    frame = pl.read_parquet(path)
    width = model.item_vectors.shape[1] + (metric == "l2")
    assert frame.schema == {"item_id": pl.String, "vector": pl.Array(pl.Float32, width)}
    return frame["item_id"].to_list(), frame["vector"].to_numpy()


@pytest.mark.parametrize("metric", METRICS)
def test_the_databases_metric_ranks_as_the_model(dense: ScoreModel, tmp_path: Path, metric: Metric) -> None:
    ids, items = exported(dense, tmp_path / "v.parquet", metric)
    queries = query_vectors(dense, ALL, metric=metric)
    assert ids == list(dense.items.ids)
    assert queries.dtype == items.dtype == np.float32
    if metric == "dot":
        scores = queries.astype(float) @ items.T.astype(float)
    else:
        scores = -((queries[:, None].astype(float) - items[None].astype(float)) ** 2).sum(axis=2)
        np.testing.assert_allclose(
            (items.astype(float) ** 2).sum(axis=1), (items[0].astype(float) ** 2).sum(), rtol=1e-5
        )
    truth = dense.topk(ALL, 30)
    ranked = np.take_along_axis(scores, truth.items, axis=1)
    assert (np.diff(ranked, axis=1) <= 1e-4).all()
    if metric == "dot":
        np.testing.assert_allclose(ranked, truth.scores, rtol=1e-5, atol=1e-5)


def test_blocks_do_not_show(dense: ScoreModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exported(dense, tmp_path / "one.parquet", "l2")
    monkeypatch.setattr(module, "_ITEMS_AT_ONCE", 7)
    parts = exported(dense, tmp_path / "many.parquet", "l2")
    assert parts[0] == whole[0]
    np.testing.assert_array_equal(parts[1], whole[1])


def test_rescoring_everything_is_the_exact_answer(dense: ScoreModel) -> None:
    for mask in (None, dense.seen):
        truth = dense.topk(ALL, 30, mask=mask)
        found = rescore(dense, ALL, [dense.items.ids[::-1]] * 7, 30, mask=mask)
        np.testing.assert_array_equal(found.items, truth.items)
        np.testing.assert_array_equal(found.scores, truth.scores)


def test_rescoring_what_a_database_found(dense: ScoreModel) -> None:
    answers = [["i03", "i07", "i03"], [], ["i29"]]
    found = rescore(dense, np.array([5, 0, 5]), answers, 2)
    truth = dense.topk(np.array([5]), 2, candidates=np.array([3, 7]))
    np.testing.assert_array_equal(found.items, [truth.items[0], [-1, -1], [29, -1]])
    np.testing.assert_array_equal(found.scores[0], truth.scores[0])
    assert rescore(dense, np.empty(0, dtype=np.int64), [], 2).items.shape == (0, 2)


def test_wrong_calls_say_so(dense: ScoreModel, tmp_path: Path) -> None:
    with pytest.raises(UnknownId, match="nobody"):
        rescore(dense, ALL[:1], [["nobody"]], 2)
    with pytest.raises(MisalignedArrays, match="answers for 1 users; expected 2"):
        rescore(dense, ALL[:2], [["i03"]], 2)
    with pytest.raises(DataError, match="does not exist"):
        export_vectors(dense, tmp_path / "none" / "v.parquet")
    with pytest.raises(ConfigError, match="'cosine'; choose one of dot, l2"):
        query_vectors(dense, ALL, metric="cosine")  # pyright: ignore[reportArgumentType]


def test_sparse_users_have_no_query(euclidean: ScoreModel, tmp_path: Path) -> None:
    if isinstance(euclidean.user_vectors, np.ndarray):
        pytest.skip("dense")
    with pytest.raises(ConfigError, match="sparse"):
        export_vectors(euclidean, tmp_path / "v.parquet")


def test_a_failed_export_leaves_nothing(dense: ScoreModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sizes", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_vectors(dense, tmp_path / "v.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("metric", METRICS)
def test_a_real_database_finds_the_exact_answer(dense: ScoreModel, tmp_path: Path, metric: Metric) -> None:
    lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed: pip install lancedb")
    from pyarrow import parquet

    export_vectors(dense, tmp_path / "v.parquet", metric=metric)
    table = lancedb.connect(tmp_path / "db").create_table("items", parquet.read_table(tmp_path / "v.parquet"))
    asked = np.flatnonzero(np.asarray(dense.user_vectors).any(axis=1))  # to a user of zeros all items are equal
    answers = [
        table.search(query).distance_type(metric).limit(12).to_arrow()["item_id"].to_pylist()
        for query in query_vectors(dense, asked, metric=metric)
    ]
    truth, found = dense.topk(asked, 10), rescore(dense, asked, answers, 10)
    np.testing.assert_array_equal(found.items, truth.items)
    np.testing.assert_array_equal(found.scores, truth.scores)
