"""Orders: diverse lists are less alike, broad ones lie nearer the origin, and no order changes nothing."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from tests.serving.coherent import shop

from hyperllm.errors import ConfigError
from hyperllm.evaluation.rank import NOTHING
from hyperllm.serving.arrange import Order, _marginal, likeness
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender

US = Recommender(shop().model)
USERS = US.users.ids[:10]


def rows_of(user: str, order: Order | None) -> list[int]:
    return [US.items.row(row.item_id) for row in US.recommend([user], k=8, order=order)]


def test_no_order_is_no_change() -> None:
    assert US.recommend(USERS, k=8, order=Order()) == US.recommend(USERS, k=8)
    assert not Order()


def test_diverse_lists_are_less_alike() -> None:
    def alike(order: Order) -> float:
        found = [likeness(US.model, np.array(rows_of(user, order))) for user in USERS]
        return float(np.mean([m[i, j] for m in found for i, j in combinations(range(len(m)), 2)]))

    values = [alike(Order(diversity=weight)) for weight in (0.0, 0.5, 1.0)]
    assert values[0] > values[2]
    assert values[0] >= values[1] >= values[2]


def test_the_best_item_stays_first() -> None:
    for user in USERS:
        assert rows_of(user, Order(diversity=0.7))[0] == rows_of(user, None)[0]


def test_marginal_relevance_by_hand() -> None:
    alike = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1.0]])
    assert _marginal(np.array([1.0, 0.9, 0.5]), alike, 0.5, 3).tolist() == [0, 2, 1]
    assert _marginal(np.array([1.0, 0.9, 0.5]), alike, 0.0, 2).tolist() == [0, 1]


def test_broad_lists_lie_nearer_the_origin() -> None:
    def radius(breadth: float) -> float:
        return float(np.mean([US.model.radii[rows_of(user, Order(breadth=breadth))].mean() for user in USERS]))

    assert radius(0.8) < radius(0.0) < radius(-0.8)


def test_by_level_of_the_tags() -> None:
    def depth(breadth: float) -> float:
        order = Order(breadth=breadth, by="level")
        return float(np.mean([model.tag_depth[rows_of(user, order)].mean() for user in USERS]))

    model = US.model
    assert model.tags is not None
    assert model.tag_depth[0] == pytest.approx(2.5)
    assert depth(0.9) <= depth(-0.9)


def test_scores_stay_what_they_are(model: ScoreModel) -> None:
    us = Recommender(model)
    order = Order(diversity=0.6)
    plain = {row.item_id: row.score for row in us.recommend(["u0"], k=30)}
    found = us.recommend(["u0"], k=5, order=order)
    assert len(found) == 5
    assert all(row.score == pytest.approx(plain[row.item_id], rel=1e-6) for row in found)


def test_short_and_empty_pools(hyperbolic: ScoreModel) -> None:
    order = Order(diversity=0.5, breadth=0.2)
    found = order.arranged(hyperbolic, hyperbolic.topk(np.array([0]), 100, candidates=np.array([3, 4])), 5)
    assert (found.items[0] != NOTHING).sum() == 2
    nothing = order.arranged(hyperbolic, hyperbolic.topk(np.array([0]), 100, candidates=np.array([], dtype=int)), 5)
    assert (nothing.items == NOTHING).all()


def test_wrong_settings(euclidean: ScoreModel) -> None:
    with pytest.raises(ConfigError, match="diversity is 2"):
        Order(diversity=2)
    with pytest.raises(ConfigError, match="by is 'size'"):
        Order(by="size")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="not hyperbolic"):
        Recommender(euclidean).recommend(["u0"], order=Order(breadth=0.5))
