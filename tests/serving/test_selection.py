"""Filters let through what they say, and a name nobody has is an error with a hint."""

from __future__ import annotations

import numpy as np
import pytest

from hyperllm.errors import ConfigError, UnknownId
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender
from hyperllm.serving.selection import Filter


def rows(model: ScoreModel, **asked: object) -> list[int] | None:
    found = Filter(**asked).rows(model)  # pyright: ignore[reportArgumentType]
    return None if found is None else found.tolist()


def test_an_empty_filter_is_none(hyperbolic: ScoreModel) -> None:
    assert rows(hyperbolic) is None
    assert not Filter()
    assert rows(hyperbolic, allow=()) == []


def test_categories_on_any_level_and_in_any_case(hyperbolic: ScoreModel) -> None:
    assert rows(hyperbolic, categories=("hair",)) == list(range(10))
    assert rows(hyperbolic, categories=("Hair", "Makeup")) == list(range(30))
    with pytest.raises(UnknownId, match=r"no item is in a category 'Hairs'\. Did you mean 'Hair'"):
        rows(hyperbolic, categories=("Hairs",))


def test_tags_by_id_or_name(hyperbolic: ScoreModel) -> None:
    assert rows(hyperbolic, tags=("t2",)) == rows(hyperbolic, tags=("shampoo",)) == [0, 1, 2, 3]
    assert rows(hyperbolic, tags=("Shampoo", "Makeup")) == [0, 1, 2, 3, 25]
    with pytest.raises(UnknownId, match=r"no tag 'Shampo'\. Did you mean 'Shampoo'"):
        rows(hyperbolic, tags=("Shampo",))


def test_kinds_add_up(hyperbolic: ScoreModel) -> None:
    asked = {"categories": ("Hair",), "tags": ("Shampoo",), "allow": ("i01", "i02", "i25"), "deny": ("i02",)}
    assert rows(hyperbolic, **asked) == [1]


def test_ids_that_nobody_knows_change_nothing(hyperbolic: ScoreModel) -> None:
    assert rows(hyperbolic, allow=("i01", "sold out"), deny=("never heard of",)) == [1]
    assert rows(hyperbolic, allow=("sold out",)) == []


def test_a_lone_text_is_a_slip() -> None:
    with pytest.raises(ConfigError, match="tags is the single text 'Hair'"):
        Filter(tags="Hair")  # pyright: ignore[reportArgumentType]


def test_lists_obey_their_filter(model: ScoreModel) -> None:
    us = Recommender(model)
    only = Filter(categories=("Hair",), deny=("i04",))
    allowed = set(us.items.take(np.arange(10))) - {"i04"}
    for found in (
        us.recommend(["u0", "u1"], k=30, filter=only),
        us.fold_in({"guest": ["i20"]}, k=30, filter=only),
        us.similar(["i09"], k=30, filter=only),
    ):
        assert {row.item_id for row in found} <= allowed
        assert len(found)
    assert len(us.recommend(["u0"], k=5, filter=Filter(allow=()))) == 0


def test_rank_orders_the_given_items(model: ScoreModel) -> None:
    us = Recommender(model)
    everything = us.recommend(["u1"], k=30, filter_seen=False).item_ids
    found = us.rank(["u1"], ["i07", "i03", "i19", "i07"])
    assert found.item_ids == [item for item in everything if item in ("i07", "i03", "i19")]
    assert [row.rank for row in found] == [1, 2, 3]
    assert len(us.rank(["u1"], [])) == 0
