"""The linear expert against the dense closed form it abbreviates, and fusion against adding the scores up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hyperllm.data.interactions import Pairs
from hyperllm.data.semantics import centred
from hyperllm.frameworks import HyperLLMConfig, fusion
from hyperllm.frameworks.fusion import SHARES, fuse, spread
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.testing import tree_world

PLANTED = tree_world(depth=3)


def world(**parts: Any) -> World:
    return World.of(PLANTED.split, **{"tags": PLANTED.tags, "semantics": PLANTED.semantics, **parts})


def fitted(at: World, seed: int = 0, **settings: Any) -> LinearExpert:
    config = HyperLLMConfig(**{"linear_regularisation": 20.0, **settings})
    return LinearExpert.fit(at, config, rng=np.random.default_rng(seed))


def dense(at: World, *, tags: float, text: float, scaling: float, regularisation: float = 20.0) -> np.ndarray[Any, Any]:
    """X·D·B·D⁻¹ (u, i) with B by inversion, its diagonal 0."""
    x = np.zeros((at.users, at.items))
    x[at.train[:, 0], at.train[:, 1]] = 1
    rows = [x]
    if tags:
        assert at.tags is not None
        rows.append(tags**0.5 * at.tags.rows().toarray())
    if text:
        assert at.semantics is not None
        rows.append(text**0.5 * centred(at.semantics.item_vectors).T)
    every = np.concatenate(rows)
    length = np.linalg.norm(every, axis=0)
    scale = (length / np.exp(np.log(length).mean())) ** -scaling
    inverse = np.linalg.inv((every * scale).T @ (every * scale) + regularisation * np.eye(at.items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return (x * scale) @ weights / scale


@pytest.mark.parametrize(("tags", "text", "scaling"), [(0, 0, 0.0), (5, 0, 0.5), (0, 2, 0.5), (5, 5, 0.0), (3, 5, 1.0)])
def test_at_full_rank_it_ranks_unseen_items_as_the_dense_solution_does(
    tags: float, text: float, scaling: float
) -> None:
    at = world()
    found = fitted(at, linear_tag_weight=tags, linear_text_weight=text, linear_scaling=scaling)
    scores, wanted = found.users @ found.items.T, dense(at, tags=tags, text=text, scaling=scaling)
    unseen = np.ones_like(wanted, dtype=bool)
    unseen[at.train[:, 0], at.train[:, 1]] = False
    np.testing.assert_allclose(scores[unseen], wanted[unseen], atol=2e-5)


def test_a_lower_rank_keeps_most_of_it() -> None:
    at = world()
    full, low = fitted(at), fitted(at, linear_rank=at.items // 3)
    assert low.users.shape == (at.users, at.items // 3)
    assert low.items.shape == (at.items, at.items // 3)
    scores = [(e.users @ e.items.T).ravel() for e in (full, low)]
    assert np.corrcoef(scores)[0, 1] > 0.9


def test_without_tags_and_texts_it_is_made_of_clicks() -> None:
    bare = World.of(PLANTED.split)
    found, wanted = fitted(bare), fitted(world(), linear_tag_weight=0, linear_text_weight=0)
    np.testing.assert_allclose(found.users @ found.items.T, wanted.users @ wanted.items.T, atol=1e-6)


def test_the_seed_does_not_show_in_the_scores() -> None:
    one, other = fitted(world(), seed=0), fitted(world(), seed=1)
    np.testing.assert_allclose(one.users @ one.items.T, other.users @ other.items.T, atol=1e-5)


def without_clicks_on(item: int) -> World:
    keep = PLANTED.split.train.item != item
    train = Pairs(PLANTED.split.train.user[keep], PLANTED.split.train.item[keep])
    return world_of(replace(PLANTED.split, train=train))


def world_of(split: Any) -> World:
    return World.of(split, tags=PLANTED.tags, semantics=PLANTED.semantics)


def test_an_item_without_clicks_has_no_factors_and_changes_nothing() -> None:
    item = int(PLANTED.split.train.item[0])
    at = without_clicks_on(item)
    found = fitted(at, linear_scaling=0.0)
    assert np.abs(found.items[item]).max() < 1e-12
    others = np.delete(np.arange(at.items), item)
    x = np.zeros((at.users, at.items))
    x[at.train[:, 0], at.train[:, 1]] = 1
    assert at.tags is not None
    assert at.semantics is not None
    text = centred(at.semantics.item_vectors)
    every = np.concatenate([x, 5**0.5 * at.tags.rows().toarray(), 5**0.5 * text.T])[:, others]
    inverse = np.linalg.inv(every.T @ every + 20 * np.eye(len(others)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    unseen = x[:, others] == 0
    wanted = (x[:, others] @ weights)[unseen]
    np.testing.assert_allclose((found.users @ found.items[others].T)[unseen], wanted, atol=2e-5)


def points(count: int, seed: int) -> np.ndarray[Any, Any]:
    tangent = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return lorentz.expmap0(tangent).numpy()


def test_spread_is_the_standard_deviation_of_a_users_scores() -> None:
    users, items = (
        np.random.default_rng(seed).standard_normal((n, 5)).astype(np.float32) for seed, n in ((0, 7), (1, 30))
    )
    np.testing.assert_allclose(spread(users, items), (users @ items.T).std(axis=1), rtol=1e-5)


@pytest.mark.parametrize("curved", [True, False])
def test_fused_vectors_score_as_the_two_scores_in_equal_units(curved: bool) -> None:
    at = world()
    users, items = points(at.users, 0), points(at.items, 1)
    expert = fitted(at)
    fused = fuse(at, users, items, expert, curved=curved, share=0.5)
    d = users.shape[1]
    sign = np.array([-1.0 if curved else 1.0, *[1.0] * (d - 1)])
    first, second = (users * sign) @ items.T, expert.users @ expert.items.T
    clicked = np.unique(at.train[:, 1])
    ratio = first[:, clicked].std(axis=1) / second[:, clicked].std(axis=1)
    wanted = first + 0.5 * ratio[:, None] * second
    left = fused.users.copy()
    left[:, :d] *= sign
    np.testing.assert_allclose(left @ fused.items.T, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fused.users[:, :d], users)
    np.testing.assert_array_equal(fused.items[:, :d], items)


def test_the_share_is_the_best_on_validation_of_those_tried() -> None:
    at = world()
    users, items = points(at.users, 0), points(at.items, 1)
    expert = fitted(at)
    fused = fuse(at, users, items, expert, curved=True)
    assert [epoch.terms["share"] for epoch in fused.report.epochs] == list(SHARES)
    alone = [fuse(at, users, items, expert, curved=True, share=share) for share in SHARES]
    for tried, one in zip(fused.report.epochs, alone, strict=True):
        assert tried.metrics == one.report.epochs[0].metrics
    best = fused.report.best
    assert best is not None
    assert best.selection == max(tried.selection for tried in fused.report.epochs)
    np.testing.assert_array_equal(fused.users, alone[best.number - 1].users)


def test_of_very_many_users_some_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    at = world()
    users, items, expert = points(at.users, 0), points(at.items, 1), fitted(at)
    whole = fuse(at, users, items, expert, curved=True, share=1.0)
    monkeypatch.setattr(fusion, "JUDGES", 5)
    monkeypatch.setattr(fusion, "_USERS_AT_ONCE", 7)
    few = fuse(at, users, items, expert, curved=True, share=1.0)
    np.testing.assert_allclose(few.users, whole.users, rtol=1e-6)
    asked = np.unique(at.valid[:, 0])
    judges = asked[[0, *(np.linspace(0, len(asked) - 1, 5).astype(int)[1:])]]
    only = replace(at, valid=at.valid[np.isin(at.valid[:, 0], judges)])
    monkeypatch.undo()
    wanted = fuse(only, users, items, expert, curved=True, share=1.0)
    assert few.report.epochs[0].metrics == wanted.report.epochs[0].metrics
    assert few.report.epochs[0].metrics != whole.report.epochs[0].metrics


def test_without_validation_both_scores_weigh_the_same() -> None:
    at = replace(world(), valid=np.empty((0, 2), dtype=np.int64))
    fused = fuse(at, points(at.users, 0), points(at.items, 1), fitted(at), curved=True)
    best = fused.report.best
    assert best is not None
    assert best.terms["share"] == 1.0


def test_a_user_without_clicks_is_ranked_by_the_points_alone() -> None:
    at = world()
    keep = PLANTED.split.train.user != 0
    less = world_of(replace(PLANTED.split, train=Pairs(PLANTED.split.train.user[keep], PLANTED.split.train.item[keep])))
    fused = fuse(less, points(at.users, 0), points(at.items, 1), fitted(less), curved=True, share=1.0)
    assert np.isfinite(fused.users).all()
    assert not fused.users[0, 4:].any()
