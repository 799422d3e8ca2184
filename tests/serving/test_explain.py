"""Reasons are true of the tags and the history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from hyperllm.serving.explain import Explainer
from hyperllm.serving.model import ScoreModel


def with_history(model: ScoreModel, items: list[int]) -> ScoreModel:
    seen = sparse.csr_matrix((np.ones(len(items), dtype=np.float32), (np.zeros(len(items)), items)), shape=(7, 30))
    return replace(model, seen=seen)


def test_path_runs_from_broad_to_specific(hyperbolic: ScoreModel) -> None:
    model = with_history(hyperbolic, [0, 1, 8, 15])
    shampoo, hair, beauty, makeup = Explainer.of(model).explain(0, np.array([2, 7, 18, 25]))
    assert (shampoo.tag_path, shampoo.tagged) == (("Beauty", "Hair", "Shampoo"), 2)
    assert (hair.tag_path, hair.tagged) == (("Beauty", "Hair"), 3)
    assert (beauty.tag_path, beauty.tagged) == (("Beauty",), 4)
    assert (makeup.tag_path, makeup.tagged) == ((), 0)
    assert str(shampoo).startswith("Beauty > Hair > Shampoo (the last tag is on 2 items of the history)")


def test_undirected_tags_without_levels_order_by_frequency(hyperbolic: ScoreModel) -> None:
    model = with_history(hyperbolic, [0])
    assert model.tags is not None
    loose = replace(
        model.tags, directed=False, level=np.full(4, -1), tag_edges=np.array([(2, 1), (1, 0), (3, 0), (1, 1)])
    )
    (reasons,) = Explainer.of(replace(model, tags=loose)).explain(0, np.array([2]))
    assert reasons.tag_path == ("Beauty", "Hair", "Shampoo")


def test_a_cycle_of_directed_edges_is_harmless(hyperbolic: ScoreModel) -> None:
    model = with_history(hyperbolic, [0])
    assert model.tags is not None
    edges = np.array([(0, 1), (1, 2), (2, 0), (1, 0)])
    (reasons,) = Explainer.of(replace(model, tags=replace(model.tags, tag_edges=edges))).explain(0, np.array([2]))
    assert reasons.tag_path == ("Beauty", "Hair", "Shampoo")


def test_nearest_history_items(model: ScoreModel) -> None:
    (reasons,) = Explainer.of(with_history(model, [4, 11, 20, 27])).explain(0, np.array([9]))
    assert reasons.nearest[0].item_id == "i04"  # its twin
    assert len(reasons.nearest) == 3
    scores = [near.score for near in reasons.nearest]
    assert scores == sorted(scores, reverse=True)


def test_nearest_is_said_of_points_not_factors(mixed: ScoreModel, hyperbolic: ScoreModel) -> None:
    history, items = [4, 11, 20, 27], np.array([9, 2, 17])
    found, alone = (Explainer.of(with_history(model, history)).explain(0, items) for model in (mixed, hyperbolic))
    assert [reasons.nearest for reasons in found] == [reasons.nearest for reasons in alone]


def test_the_item_itself_is_no_reason(hyperbolic: ScoreModel) -> None:
    (reasons,) = Explainer.of(with_history(hyperbolic, [2])).explain(0, np.array([2]))
    assert (reasons.tag_path, reasons.nearest) == ((), ())


def test_without_history_or_tags(hyperbolic: ScoreModel) -> None:
    (nothing,) = Explainer.of(replace(hyperbolic, tags=None)).explain(6, np.array([0]))
    assert str(nothing) == "no shared tag and no history"
