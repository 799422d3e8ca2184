"""Reasons are true of the tags and the history, and of the score: what is named counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.coherent import FLAT, shop

from hyperllm.baselines.ease import ease
from hyperllm.serving.explain import Explainer, Reasons
from hyperllm.serving.folding import Folding, history_matrix
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender
from hyperllm.testing.worlds import tree_world

KINDS: dict[str, dict[str, Any]] = {"lorentz": {}, "fused": {"flat": FLAT}, "inner": {"geometry": "inner"}}


def reasons_for(model: ScoreModel, history: list[int], items: list[int]) -> list[Reasons]:
    """Reasons for a guest with this history."""
    told = history_matrix([np.array(history, dtype=np.int64)], len(model.items))
    folding = Folding(model)
    guest = model.with_users(type(model.users)(("guest",)), folding.vectors(told), told)
    return Explainer.of(folding).explain(guest, 0, np.array(items))


def score(model: ScoreModel, history: list[int], item: int) -> float:
    vectors = Folding(model).vectors(history_matrix([np.array(history, dtype=np.int64)], len(model.items)))
    return float(model.products(vectors, np.array([item]))[0, 0])


def test_path_runs_from_broad_to_specific() -> None:
    model = shop().model
    shampoo, brush, lipstick = reasons_for(model, [0, 1, 2, 14], [3, 13, 30])
    assert (shampoo.tag_path, shampoo.tagged) == (("Hair", "Shampoo"), 3)
    assert (brush.tag_path, brush.tagged) == (("Hair", "Brush"), 1)
    assert (lipstick.tag_path, lipstick.tagged) == ((), 0)
    assert str(shampoo).startswith("Hair > Shampoo (the last tag is on 3 items of the history)")


def test_undirected_tags_without_levels_order_by_frequency() -> None:
    model = shop().model
    assert model.tags is not None
    loose = replace(model.tags, directed=False, level=np.full(7, -1), tag_edges=model.tags.tag_edges[:, ::-1].copy())
    (reasons,) = reasons_for(replace(model, tags=loose), [0, 1], [3])
    assert reasons.tag_path == ("Hair", "Shampoo")


def test_a_cycle_of_directed_edges_is_harmless() -> None:
    model = shop().model
    assert model.tags is not None
    edges = np.concatenate([model.tags.tag_edges, model.tags.tag_edges[:, ::-1]])
    (reasons,) = reasons_for(replace(model, tags=replace(model.tags, tag_edges=edges)), [0, 1], [3])
    assert reasons.tag_path == ("Hair", "Shampoo")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_counts(kind: str) -> None:
    """Without any named item, without all of them, and without all that carry the named tag the score is lower."""
    model = shop(**KINDS[kind]).model
    us, named, paths = Recommender(model), 0, 0
    for user in model.users.ids[:15]:
        history = model.seen[model.users.row(user)].indices.tolist()
        for row in us.recommend([user], k=5, explain=True):
            item, reasons = model.items.row(row.item_id), row.reasons
            assert reasons is not None
            whole = score(model, history, item)
            near = [model.items.row(h.item_id) for h in reasons.nearest]
            for place, h in zip(near, reasons.nearest, strict=True):
                without = score(model, [other for other in history if other != place], item)
                assert h.effect == pytest.approx(whole - without, rel=1e-4, abs=1e-6)
                assert without < whole
                named += 1
            if near:
                assert score(model, [other for other in history if other not in near], item) < whole
            if reasons.tag_path:
                assert model.tags is not None
                last = model.tags.names.index(reasons.tag_path[-1])
                having = set(model.tags.tag_items[model.tags.tag_items[:, 0] == last, 1].tolist())
                assert len(having & set(history)) == reasons.tagged
                assert score(model, [other for other in history if other not in having], item) < whole
                paths += 1
    assert named > 100
    assert paths > 40


def test_nearest_come_first_and_only_with_an_effect() -> None:
    model = shop().model
    (reasons,) = reasons_for(model, [0, 1, 2, 30], [3])
    assert reasons.nearest
    assert "i30" not in {near.item_id for near in reasons.nearest}
    scores = [near.score for near in reasons.nearest]
    assert scores == sorted(scores, reverse=True)
    assert all(near.effect > 0 for near in reasons.nearest)


def test_parts_add_up_to_the_score() -> None:
    for kind in KINDS.values():
        us = Recommender(shop(**kind).model)
        row = us.explain("u03", "i20")
        assert row.reasons is not None
        parts = row.reasons.parts
        exact = us.model.products(us.model.user_vectors[np.array([3])], np.array([20]))[0, 0]
        assert parts.total == pytest.approx(exact, rel=1e-6)
        if parts.distance is not None:
            assert parts.hyperbolic == pytest.approx(-np.cosh(parts.distance))
            assert bool(abs(parts.linear) > 1e-6) == bool(us.model.flat)
            assert "distance" in str(parts)
        else:
            assert str(parts) == f"score {parts.total:.4f}"


def test_the_item_itself_is_no_reason() -> None:
    (reasons,) = reasons_for(shop().model, [2], [2])
    assert (reasons.tag_path, reasons.nearest) == ((), ())


def test_without_history_or_tags() -> None:
    model = shop().model
    (nothing,) = reasons_for(replace(model, tags=None), [], [0])
    assert str(nothing) == "nothing in the history speaks for it"
    assert nothing.parts.distance is not None
    (tagless,) = reasons_for(replace(model, tags=None), [0, 1], [2])
    assert tagless.tag_path == ()
    assert tagless.nearest


def test_no_evidence_is_invented_for_random_vectors(model: ScoreModel) -> None:
    for row in Recommender(model).recommend(["u0", "u1"], k=5, explain=True):
        assert row.reasons is not None
        history = model.seen[model.users.row(row.user_id)].indices.tolist()
        item = model.items.row(row.item_id)
        for near in row.reasons.nearest:
            left = [other for other in history if other != model.items.row(near.item_id)]
            assert score(model, left, item) < score(model, history, item)


def test_what_is_named_counts_for_item_item_models() -> None:
    us = Recommender(ease(tree_world(depth=3).split, regularisation=10.0))
    named = 0
    for user in us.users.ids[:8]:
        history = us.model.seen[us.users.row(user)].indices.tolist()
        for row in us.recommend([user], k=4, explain=True):
            assert row.reasons is not None
            for near in row.reasons.nearest:
                left = [other for other in history if other != us.items.row(near.item_id)]
                item = us.items.row(row.item_id)
                assert near.effect == pytest.approx(score(us.model, history, item) - score(us.model, left, item))
                assert near.effect > 0
                named += 1
    assert named > 20
