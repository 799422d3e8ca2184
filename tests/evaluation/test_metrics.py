"""Three hand-computed cases a metric, bounds, and monotonicity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.evaluation.metrics import METRICS

L2, L3 = math.log2(2), math.log2(3)
CASES = {  # hits, relevant -> value
    "recall": [([1, 0, 1], 4, 0.5), ([0, 0, 0], 2, 0.0), ([1, 1, 0], 2, 1.0)],
    "precision": [([1, 0, 1], 4, 2 / 3), ([0, 0, 0], 2, 0.0), ([1, 1, 1], 9, 1.0)],
    "hit": [([0, 0, 1], 4, 1.0), ([0, 0, 0], 2, 0.0), ([1, 1, 0], 2, 1.0)],
    "mrr": [([0, 0, 1], 4, 1 / 3), ([0, 0, 0], 2, 0.0), ([0, 1, 1], 2, 0.5)],
    "ndcg": [
        ([0, 1, 0], 1, (1 / L3) / (1 / L2)),
        ([1, 0, 1], 2, (1 + 1 / 2) / (1 + 1 / L3)),
        ([1, 1, 1], 7, 1.0),  # the ideal list is cut at K
    ],
    "map": [([1, 0, 1], 2, (1 + 2 / 3) / 2), ([0, 1, 0], 5, 0.5 / 3), ([1, 1, 1], 3, 1.0)],
}


def test_every_metric_has_cases() -> None:
    assert set(CASES) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_by_hand(name: str) -> None:
    hits = np.array([case[0] for case in CASES[name]], dtype=bool)
    relevant = np.array([case[1] for case in CASES[name]])
    np.testing.assert_allclose(METRICS[name](hits, relevant), [case[2] for case in CASES[name]], atol=1e-12)


lists = st.lists(st.booleans(), min_size=1, max_size=12)


@given(lists, st.integers(0, 20), st.sampled_from(sorted(METRICS)))
def test_between_0_and_1(hits: list[bool], extra: int, name: str) -> None:
    value = METRICS[name](np.array([hits]), np.array([sum(hits) + extra]))
    assert value.shape == (1,)
    assert 0.0 <= value[0] <= 1.0 + 1e-12


@given(lists, st.integers(0, 20), st.data(), st.sampled_from(sorted(METRICS)))
def test_a_further_hit_never_hurts(hits: list[bool], extra: int, data: st.DataObject, name: str) -> None:
    place = data.draw(st.integers(0, len(hits) - 1))
    better = [*hits[:place], True, *hits[place + 1 :]]
    relevant = np.array([sum(better) + extra])
    metric = METRICS[name]
    assert metric(np.array([better]), relevant)[0] >= metric(np.array([hits]), relevant)[0] - 1e-12


@given(lists, st.sampled_from(["ndcg", "mrr", "map"]))
def test_moving_a_hit_up_never_hurts(hits: list[bool], name: str) -> None:
    relevant = np.array([max(1, sum(hits))])
    metric = METRICS[name]
    assert metric(np.array([sorted(hits, reverse=True)]), relevant)[0] >= metric(np.array([hits]), relevant)[0] - 1e-12


@pytest.mark.parametrize("name", METRICS)
def test_nothing_relevant_counts_0(name: str) -> None:
    assert METRICS[name](np.zeros((1, 3), dtype=bool), np.array([0]))[0] == 0.0
