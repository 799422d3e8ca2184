"""Items that nobody has clicked get a place between those whose content is like theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from hyperllm.data.interactions import Pairs
from hyperllm.data.semantics import centred
from hyperllm.frameworks import HyperLLMConfig, train_hyperllm
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.serving.placement import NEIGHBOURS, Placement, nearest
from hyperllm.testing import tree_world
from hyperllm.training.loop import FitConfig

PLANTED = tree_world(depth=3)
COLD = np.unique(PLANTED.split.train.item)[[2, 5]]


def without_clicks() -> Any:
    keep = ~np.isin(PLANTED.split.train.item, COLD)
    return replace(PLANTED.split, train=Pairs(PLANTED.split.train.user[keep], PLANTED.split.train.item[keep]))


def world(**parts: Any) -> World:
    return World.of(without_clicks(), **{"tags": PLANTED.tags, "semantics": PLANTED.semantics, **parts})


def unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_weights_are_fourth_powers_of_the_largest_positive_products(kind: str) -> None:
    rng = np.random.default_rng(0)
    new, known = unit(rng.standard_normal((3, 4))), unit(rng.standard_normal((60, 4)))
    given = (new, known) if kind == "dense" else (sparse.csr_array(new), sparse.csr_array(known))
    found = nearest(*given).toarray()
    for row, alike in zip(found, new @ known.T, strict=True):
        wanted = np.zeros(60)
        best = np.argsort(-alike)[:NEIGHBOURS]
        wanted[best] = np.maximum(alike[best], 0) ** 4
        np.testing.assert_allclose(row, wanted / wanted.sum(), atol=1e-6)


def test_what_is_like_nothing_has_no_weights() -> None:
    known = np.eye(4)[:2]
    assert not nearest(np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0]]), known).toarray().any()
    np.testing.assert_allclose(nearest(known[:1], known).toarray(), [[1.0, 0.0]])


def test_unclicked_items_are_placed_by_text_and_only_among_clicked_ones() -> None:
    place = world().placement()
    np.testing.assert_array_equal(place.rows, COLD)
    weights = place.weights.toarray()
    assert not weights[:, COLD].any()
    text = centred(PLANTED.semantics.item_vectors)
    known = np.setdiff1d(np.unique(without_clicks().train.item), COLD)
    np.testing.assert_allclose(weights[:, known], nearest(text[COLD], text[known]).toarray(), atol=1e-6)


def test_without_texts_tags_place_and_without_both_nothing_does() -> None:
    at = world(semantics=None)
    place = at.placement()
    np.testing.assert_array_equal(place.rows, COLD)
    tagged = {item: set(PLANTED.tags.tag_items[PLANTED.tags.tag_items[:, 1] == item, 0]) for item in range(at.items)}
    for item, weights in zip(COLD, place.weights.toarray(), strict=True):
        assert all(tagged[item] & tagged[other] for other in np.flatnonzero(weights))
    assert not len(world(semantics=None, tags=None).placement().rows)


@pytest.mark.filterwarnings("error")
def test_an_item_without_text_is_placed_by_its_tags() -> None:
    silent = PLANTED.semantics.item_vectors.copy()
    silent[COLD[0]] = 0
    at = world(semantics=replace(PLANTED.semantics, item_vectors=silent))
    by = {"text": at.placement(), "tags": world(semantics=None).placement()}
    rows = {name: dict(zip(place.rows.tolist(), place.weights.toarray(), strict=True)) for name, place in by.items()}
    np.testing.assert_allclose(rows["text"][COLD[0]], rows["tags"][COLD[0]])
    nobody = replace(PLANTED.semantics, item_vectors=np.zeros_like(silent))
    np.testing.assert_array_equal(world(semantics=nobody).placement().rows, COLD)


def test_what_is_not_placed_does_not_move() -> None:
    vectors = np.random.default_rng(0).standard_normal((PLANTED.split.train.item.max() + 1, 3)).astype(np.float32)
    moved = world().placement().between(vectors)
    assert np.flatnonzero((moved != vectors).any(axis=1)).tolist() == COLD.tolist()
    np.testing.assert_array_equal(Placement.none(len(vectors)).between(vectors), vectors)


def test_compat_leaves_items_where_the_published_code_has_them() -> None:
    config = HyperLLMConfig(
        dim=4, batch_size=50, experts=2, text_dim=None, meta_epochs=1, compat=True, linear_expert=True
    )
    common: dict[str, Any] = {"tags": PLANTED.tags, "semantics": PLANTED.semantics, "fit_config": FitConfig(epochs=1)}
    trained = train_hyperllm(without_clicks(), config=config, **common)
    assert np.abs(trained.items[COLD, -trained.flat :]).max() < 1e-5


def test_a_placed_point_lies_towards_its_neighbours_centroid_as_far_out_as_they_do() -> None:
    at = world()
    place = at.placement()
    tangent = torch.randn(at.items, 3, generator=torch.Generator().manual_seed(0)) + 1
    before = lorentz.expmap0(tangent).numpy()
    after = place.points(before)
    rest = np.setdiff1d(np.arange(at.items), COLD)
    np.testing.assert_array_equal(after[rest], before[rest])
    radius = tangent.norm(dim=1).numpy()
    for item, weights in zip(COLD, place.weights.toarray(), strict=True):
        placed = lorentz.logmap0(torch.from_numpy(after[item])).numpy()
        middle = weights @ before
        assert np.linalg.norm(placed) == pytest.approx(weights @ radius, rel=1e-4)
        np.testing.assert_allclose(placed / np.linalg.norm(placed), middle[1:] / np.linalg.norm(middle[1:]), atol=1e-4)
        assert -(after[item, 0] ** 2) + (after[item, 1:] ** 2).sum() == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("linear", [False, True])
def test_training_places_what_was_never_clicked(linear: bool) -> None:
    config = HyperLLMConfig(dim=4, batch_size=50, experts=2, text_dim=None, meta_epochs=1, linear_expert=linear)
    common: dict[str, Any] = {"tags": PLANTED.tags, "semantics": PLANTED.semantics, "fit_config": FitConfig(epochs=1)}
    trained = train_hyperllm(without_clicks(), config=config, **common)
    d = config.dim + 1
    place = world().placement()
    np.testing.assert_allclose(trained.items[:, :d], place.points(trained.items[:, :d]), atol=1e-6)
    np.testing.assert_allclose(trained.items[:, d:], place.between(trained.items[:, d:]), atol=1e-6)
    assert trained.items.shape[1] == d + trained.flat
    assert bool(trained.flat) == linear
