"""A guest stands where a trained user with the same history does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from tests.serving.coherent import FLAT, shop
from tests.serving.conftest import build

from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.errors import UnknownId
from hyperllm.frameworks import HyperLLMConfig, train_hyperllm
from hyperllm.serving.folding import Folding, folded, history_matrix
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import expmap0, tangents
from hyperllm.serving.recommender import Recommender
from hyperllm.testing.worlds import tree_world
from hyperllm.training.loop import FitConfig

KINDS: dict[str, dict[str, Any]] = {"lorentz": {}, "fused": {"flat": FLAT}, "inner": {"geometry": "inner"}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_with_a_users_history_gets_nearly_that_users_list(kind: str) -> None:
    model = shop(**KINDS[kind]).model
    us = Recommender(model)
    told = us.fold_in({user: us.history(user) for user in model.users.ids[:20]}, k=10)
    kept = us.recommend(model.users.ids[:20], k=10)
    shared = [len({r.item_id for r in told.of(u)} & {r.item_id for r in kept.of(u)}) for u in model.users.ids[:20]]
    assert np.mean(shared) > 9
    assert not any(row.item_id in us.history(row.user_id) for row in told)


def test_histories_of_item_item_models_are_the_vectors() -> None:
    model = build("inner", sparse_users=True)
    square = replace(
        model, user_vectors=model.seen.copy(), item_vectors=np.random.default_rng(0).random((30, 30), dtype=np.float32)
    )
    found = Folding(square).vectors(square.seen[:3])
    assert isinstance(found, sparse.csr_matrix)
    np.testing.assert_array_equal(found.toarray(), square.seen[:3].toarray())


def test_factors_are_those_of_training() -> None:
    """From a trained user's own point, the factors come out as they were trained."""
    world = tree_world(depth=3)
    trained = train_hyperllm(
        world.split,
        tags=world.tags,
        semantics=world.semantics,
        config=HyperLLMConfig(dim=4, batch_size=50, experts=2, text_dim=4, meta_epochs=1, linear_expert=True),
        fit_config=FitConfig(epochs=1),
    )
    assert trained.experts is not None
    model = ScoreModel.of_points(
        world.split, users=trained.users, items=trained.items, flat=trained.flat, linear=trained.linear
    )
    points = np.asarray(model.user_points, dtype=np.float64)
    factors = Folding(model)._factors(model.seen, points)
    np.testing.assert_allclose(factors, np.asarray(model.user_vectors)[:, model.curved :], rtol=2e-3, atol=2e-4)


def test_a_fused_model_without_inputs_is_folded_by_regression() -> None:
    model = replace(shop(flat=FLAT).model, linear=None)
    found = Folding(model).vectors(model.seen)
    assert isinstance(found, np.ndarray)
    told = np.asarray(model.user_vectors)
    assert np.corrcoef(found[:, model.curved :].ravel(), told[:, model.curved :].ravel())[0, 1] > 0.8


def test_nobody_with_no_history_stands_in_the_middle_of_all() -> None:
    model = shop().model
    found = Folding(model).vectors(history_matrix([np.empty(0, dtype=np.int64)], len(model.items)))
    middle = tangents(model.user_points, curved=True).mean(axis=0)
    np.testing.assert_allclose(tangents(found, curved=True)[0], middle, atol=1e-5)
    assert len(Recommender(model).fold_in({"guest": []}, k=3)) == 3


def test_who_does_not_depend_on_histories_does_not_either() -> None:
    model = popularity(tree_world(depth=3).split)
    us = Recommender(model)
    guest, known = us.fold_in({"guest": us.items.ids[:2]}, k=4), us.recommend(us.users.ids[:1], k=40, filter_seen=False)
    score = {row.item_id: row.score for row in known}
    assert all(row.score == pytest.approx(score[row.item_id], rel=1e-6) for row in guest)
    reasons = us.explain(us.users.ids[0], us.items.ids[3]).reasons
    assert reasons is not None
    assert not reasons.nearest


def test_a_table_of_guests() -> None:
    us = Recommender(shop().model)
    table = pl.DataFrame({"user_id": ["a", "b", "a"], "item_id": ["i00", "i30", "i01"]})
    found = us.fold_in(table, k=3)
    assert found == us.fold_in({"a": ["i00", "i01"], "b": ["i30"]}, k=3)


def test_histories_count_an_item_once() -> None:
    assert history_matrix([np.array([2, 2, 0])], 4).toarray().tolist() == [[1, 0, 1, 0]]
    assert history_matrix([], 4).shape == (0, 4)


def test_folded_users_see_what_was_given_of_them() -> None:
    model = shop().model
    given = Pairs(np.array([3, 3, 5]), np.array([0, 1, 40]))
    blank = replace(model, seen=sparse.csr_matrix(model.seen.multiply(np.arange(80)[:, None] > 5), dtype=np.float32))
    met = folded(blank, given)
    assert met.seen[3].indices.tolist() == [0, 1]
    np.testing.assert_array_equal(np.asarray(met.user_vectors)[10], np.asarray(model.user_vectors)[10])
    assert not np.array_equal(np.asarray(met.user_vectors)[3], np.asarray(model.user_vectors)[3])
    with pytest.raises(UnknownId, match="unknown item 'nothing'"):
        Recommender(model).fold_in({"guest": ["nothing"]})


def test_maps_to_and_from_the_tangent_space() -> None:
    tangent = np.random.default_rng(0).standard_normal((20, 4))
    tangent[0] = 0
    np.testing.assert_allclose(tangents(expmap0(tangent).astype(np.float64), curved=True), tangent, atol=1e-12)
    np.testing.assert_array_equal(tangents(tangent, curved=False), tangent)
