"""Filters keep what they promise: laws over random data, and cases small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperllm.data.filters import core, deduplicate, minimum_rating
from hyperllm.data.interactions import Interactions
from hyperllm.errors import ConfigError, DataError

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=80)
loose = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def named(interactions: Interactions) -> list[tuple[str, str]]:
    return list(
        zip(interactions.users.take(interactions.user), interactions.items.take(interactions.item), strict=True)
    )


def largest_core(pairs: set[tuple[str, str]], k: int) -> set[tuple[str, str]]:
    """The definition, written as slowly as it reads."""
    while True:
        kept = {(u, i) for u, i in pairs if sum(u == v for v, _ in pairs) >= k and sum(i == j for _, j in pairs) >= k}
        if kept == pairs:
            return kept
        pairs = kept


@loose
@given(pairs=PAIRS, k=st.integers(0, 4))
def test_core_is_the_largest_subset_in_which_all_have_k_partners(events, pairs, k):
    whole = events(pairs)
    expected = largest_core(set(named(whole)), k)
    if not expected:
        with pytest.raises(DataError, match="is empty"):
            core(whole, k)
        return
    kept, dropped = core(whole, k)
    assert set(named(kept)) == expected
    assert named(kept) == [pair for pair in named(whole) if pair in expected]
    assert dropped.interactions == len(whole) - len(kept)
    assert set(kept.users.ids) == {u for u, _ in expected}
    assert core(kept, k).dropped.interactions == 0


@loose
@given(pairs=PAIRS, k=st.integers(1, 3), keep=st.sampled_from(["first", "last", "max"]))
def test_core_and_deduplication_may_change_places(events, pairs, k, keep):
    whole = events(pairs, rating=[float(n % 5) for n in range(len(pairs))])
    try:
        one = deduplicate(core(whole, k).interactions, keep).interactions
    except DataError:
        return
    other = core(deduplicate(whole, keep).interactions, k).interactions
    assert named(one) == named(other)
    np.testing.assert_array_equal(one.rating, other.rating)


@loose
@given(pairs=PAIRS, keep=st.sampled_from(["first", "last", "max"]))
def test_deduplication_leaves_each_pair_once_and_settles(events, pairs, keep):
    kept = deduplicate(events(pairs), keep).interactions
    assert sorted(named(kept)) == sorted(set(named(events(pairs))))
    assert deduplicate(kept, keep).dropped.interactions == 0


@pytest.mark.parametrize(("keep", "rating"), [("first", 3.0), ("last", 4.0), ("max", 5.0)])
def test_which_of_three_repeated_events_stays(events, keep, rating):
    whole = events([(0, 0)] * 3 + [(0, 1)], rating=[3, 5, 4, 1])
    kept = deduplicate(whole, keep).interactions
    assert kept.rating.tolist() == [rating, 1.0]


def test_first_and_last_go_by_time_where_there_is_one(events):
    whole = events([(0, 0), (0, 0)], rating=[1, 2], time=[9, 3])
    assert deduplicate(whole, "first").interactions.rating.tolist() == [2.0]
    assert deduplicate(whole, "last").interactions.rating.tolist() == [1.0]


def test_max_without_ratings_keeps_the_first(events):
    assert deduplicate(events([(0, 0), (0, 0)], time=[1, 2]), "max").interactions.time.tolist() == [1.0]


def test_minimum_rating_drops_low_events_and_who_is_left_without(events):
    kept, dropped = minimum_rating(events([(0, 0), (1, 1), (1, 0)], rating=[4, 3.9, 5]), 4)
    assert named(kept) == [("u0", "i0"), ("u1", "i0")]
    assert (dropped.interactions, dropped.users, dropped.items) == (1, 0, 1)
    assert str(dropped) == "rating >= 4: 1 interactions, 0 users, 1 items dropped"


def test_a_threshold_nobody_reaches_names_the_range(events):
    with pytest.raises(
        DataError, match=r"no rating reaches 4; the 2 ratings run from 0 to 1\. Choose a lower --min-rating"
    ):
        minimum_rating(events([(0, 0), (1, 0)], rating=[0, 1]), 4)


def test_a_threshold_without_ratings_names_the_option(events):
    with pytest.raises(DataError, match="--rating-column"):
        minimum_rating(events([(0, 0)]), 4)


def test_an_unknown_rule_lists_the_rules(events):
    with pytest.raises(ConfigError, match="first, last, max"):
        deduplicate(events([(0, 0)]), "median")
