"""The disk keeps radii, puts likes side by side, and holds what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.serving.coherent import EACH, shop

from hyperllm.errors import ConfigError
from hyperllm.serving.disk import Disk, polar
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender


def test_radii_are_kept_up_to_one_factor() -> None:
    model = shop().model
    disk = Disk.of(model)
    radius = 2 * np.arctanh(np.linalg.norm(disk.xy, axis=1))
    np.testing.assert_allclose(radius, disk.scale * model.radii[disk.rows], rtol=1e-9)
    assert np.linalg.norm(disk.xy, axis=1).max() < 1


def test_a_shelf_is_an_arc() -> None:
    """Around the circle, neighbours are mostly of one shelf."""
    disk = Disk.of(shop().model)
    around = np.argsort(np.arctan2(disk.xy[:, 1], disk.xy[:, 0]) % (2 * np.pi))
    shelf = disk.rows[around] // EACH
    assert (shelf == np.roll(shelf, 1)).mean() > 0.85


def test_a_broad_tag_lies_inside_the_outermost_below_it() -> None:
    model = shop().model
    disk = Disk.of(model)
    assert model.tags is not None
    away = dict(zip((model.tags.names[t] for t in disk.tag_rows), np.linalg.norm(disk.tag_xy, axis=1), strict=True))
    assert "Beauty" not in away  # nothing carries it
    assert away["Hair"] < max(away["Shampoo"], away["Brush"])
    assert away["Makeup"] < max(away["Lipstick"], away["Mascara"])


def test_the_most_clicked_items_are_shown() -> None:
    model = shop(unclicked=4).model
    disk = Disk.of(model, items=10, tags=2)
    assert len(disk.rows) == 10
    assert model.clicks[disk.rows].min() >= np.sort(model.clicks)[-10]
    assert len(disk.tag_rows) == 2


def test_items_without_clicks_stand_by_their_neighbours_and_move_nobody() -> None:
    few, disk = shop(unclicked=2).model, Disk.of(shop(unclicked=2).model)
    angle = np.arctan2(disk.xy[:, 1], disk.xy[:, 0])
    for row in np.flatnonzero(few.clicks == 0):
        mine = np.flatnonzero((disk.rows // EACH == row // EACH) & (few.clicks > 0))
        towards = np.angle(np.exp(1j * angle[mine]).mean())
        assert abs(np.angle(np.exp(1j * (angle[row] - towards)))) < 1.2


def test_users_and_weighted_places() -> None:
    us = Recommender(shop().model)
    x, y = us.disk.user(us.model, 3)
    assert 0 < np.hypot(x, y) < 1
    assert us.disk.between(0.5, [], []) == pytest.approx((np.tanh(us.disk.scale * 0.25), 0))
    first = us.disk.xy[0]
    assert np.arctan2(*us.disk.between(1.0, [0], [2.0])[::-1]) == pytest.approx(np.arctan2(first[1], first[0]))


def test_document_is_json_and_true_of_the_catalogue() -> None:
    told = json.loads(json.dumps(Disk.of(shop().model).document()))
    assert set(told["categories"]) == {"Hair", "Makeup"}
    assert len(told["items"]["x"]) == len(told["items"]["id"]) == 48
    assert {told["categories"][c] for c in told["items"]["category"][:24]} == {"Hair"}
    assert told["tags"]["level"].count(2) == 2


def test_same_every_time_and_only_of_hyperbolic_models(euclidean: ScoreModel) -> None:
    np.testing.assert_array_equal(Disk.of(shop().model).xy, Disk.of(shop().model).xy)
    with pytest.raises(ConfigError, match="no disk to draw"):
        Disk.of(euclidean)
    assert polar(np.array([0.0]), np.array([1.0])).tolist() == [[0, 0]]


def test_many_items_go_by_branches() -> None:
    from hyperllm.serving.disk import _dendrogram_order

    rows = np.random.default_rng(0).standard_normal((900, 5))
    assert sorted(_dendrogram_order(rows, 0).tolist()) == list(range(900))
    assert _dendrogram_order(rows[:2], 0).tolist() == [0, 1]
