"""The three rules of division, as laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperllm.data.interactions import Pairs
from hyperllm.data.sources.published import read_published
from hyperllm.data.split import PARTS, Split, cold_items, split, without_items, without_users
from hyperllm.errors import ConfigError, DataError

loose = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@st.composite
def histories(draw):
    """Distinct (user, item) pairs of at least one user with three events, and a time for each."""
    counts = draw(st.lists(st.integers(1, 35), min_size=1, max_size=6))
    counts[0] = max(counts[0], 3)
    pairs = [(user, item) for user, n in enumerate(counts) for item in range(n)]
    pairs = draw(st.permutations(pairs))
    time = draw(st.lists(st.integers(0, 30), min_size=len(pairs), max_size=len(pairs)))
    return pairs, time


def rows(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.user.tolist(), pairs.item.tolist(), strict=True))


@loose
@given(history=histories(), rule=st.sampled_from(["per-user", "leave-one-out"]), seed=st.integers(0, 3))
def test_parts_are_disjoint_and_cover_everything(events, history, rule, seed):
    pairs, time = history
    parts = split(events(pairs, time=time), rule, seed=seed)
    assert sorted(pair for name in PARTS for pair in rows(parts.part(name))) == sorted(pairs)


@loose
@given(history=histories(), seed=st.integers(0, 3))
def test_per_user_holds_out_a_tenth_at_least_one(events, history, seed):
    whole = events(history[0])
    parts = split(whole, seed=seed)
    total = np.bincount(whole.user)
    for name in ("valid", "test"):
        held = np.bincount(parts.part(name).user, minlength=len(total))
        np.testing.assert_array_equal(held, np.where(total >= 3, np.maximum(1, np.floor(0.1 * total)), 0))


@loose
@given(history=histories())
def test_per_user_depends_on_the_seed_alone(events, history):
    whole = events(history[0])
    assert rows(split(whole, seed=5).test) == rows(split(whole, seed=5).test)


def test_seeds_differ(events):
    whole = events([(u, i) for u in range(20) for i in range(20)])
    assert rows(split(whole, seed=0).test) != rows(split(whole, seed=1).test)


@loose
@given(history=histories())
def test_leave_one_out_tests_the_last_event(events, history):
    pairs, time = history
    parts = split(events(pairs, time=time), "leave-one-out")
    when = dict(zip(pairs, time, strict=True))
    assert len(parts.valid) == len(parts.test) == sum(n >= 3 for n in np.bincount([u for u, _ in pairs]))
    for (user, tested), (also, validated) in zip(sorted(rows(parts.test)), sorted(rows(parts.valid)), strict=True):
        earlier = [when[pair] for pair in rows(parts.train) if pair[0] == user]
        assert user == also
        assert max(earlier) <= when[user, validated] <= when[user, tested]


@loose
@given(history=histories())
def test_time_never_trains_on_what_comes_later(events, history):
    pairs, time = history
    parts = split(events(pairs, time=time), "time")
    when = dict(zip(pairs, time, strict=True))
    trained, validated, tested = ([when[pair] for pair in rows(parts.part(name))] for name in PARTS)
    assert max(trained) <= min([*validated, *tested], default=max(trained))
    assert max(validated, default=0) <= min(tested, default=max(time))
    assert len(parts.train) == int(np.ceil(0.8 * len(pairs)))
    for name in ("valid", "test"):
        assert set(parts.part(name).user.tolist()) <= set(parts.train.user.tolist())
        assert set(parts.part(name).item.tolist()) <= set(parts.train.item.tolist())


@pytest.mark.parametrize("rule", ["leave-one-out", "time"])
def test_rules_by_time_need_a_time(events, rule):
    with pytest.raises(DataError, match="--time-column"):
        split(events([(0, 0), (0, 1), (0, 2)]), rule)


def test_an_unknown_rule_lists_the_rules(events):
    with pytest.raises(ConfigError, match="per-user, leave-one-out, time"):
        split(events([(0, 0)]), "random")


def test_a_saved_split_is_read_back(events, tmp_path):
    parts = split(events([(u, i) for u in range(3) for i in range(12)]))
    parts.save(tmp_path / "split", config={}, inputs={})
    again = Split.load(tmp_path / "split")
    assert (again.users, again.items) == (parts.users, parts.items)
    assert all(rows(again.part(name)) == rows(parts.part(name)) for name in PARTS)


def test_an_empty_part_is_read_back(events, tmp_path):
    parts = split(events([(0, 0), (0, 1), (1, 0)]))
    parts.save(tmp_path / "split", config={}, inputs={})
    assert len(Split.load(tmp_path / "split").test) == 0


@loose
@given(history=histories(), share=st.floats(0.03, 0.9), seed=st.integers(0, 3))
def test_a_cold_item_is_in_test_alone_and_nothing_warm_is_tested(events, history, share, seed):
    whole = split(events(history[0]))
    cold = set(cold_items(whole, share, seed=seed).tolist())
    assert len(cold) == round(share * len(whole.items))
    everything = [pair for name in PARTS for pair in rows(whole.part(name))]
    trained = {user for user, item in rows(whole.train) if item not in cold}
    tested = sorted(pair for pair in everything if pair[1] in cold and pair[0] in trained)
    if not tested:
        with pytest.raises(DataError, match="take another share"):
            without_items(whole, share, seed=seed)
        return
    parts = without_items(whole, share, seed=seed)
    assert (parts.users, parts.items) == (whole.users, whole.items)
    for name in ("train", "valid"):
        assert rows(parts.part(name)) == [pair for pair in rows(whole.part(name)) if pair[1] not in cold]
    assert sorted(rows(parts.test)) == tested


def test_cold_items_are_drawn_by_the_seed(events):
    whole = split(events([(u, i) for u in range(20) for i in range(20)]))
    drawn = [cold_items(whole, 0.25, seed=seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(set(drawn[0]))
    assert drawn[0] != drawn[2]
    assert set(without_items(whole, 0.25, seed=1).test.item.tolist()) == set(drawn[2])


def test_without_cold_items_a_split_stays_as_it_is(events):
    whole = split(events([(0, 0), (0, 1), (0, 2)]))
    assert without_items(whole, 0.0, seed=1) is whole


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_nothing_to_test_or_to_train_on_is_refused(events, share):
    with pytest.raises(DataError, match="take another share"):
        without_items(split(events([(u, i) for u in range(3) for i in range(5)])), share)


@loose
@given(history=histories(), share=st.floats(0.03, 0.9), seed=st.integers(0, 3))
def test_a_new_user_is_in_no_other_part_and_a_fifth_of_their_items_is_tested(events, history, share, seed):
    whole = split(events(history[0]))
    new_count = round(share * len(whole.users))
    if not 0 < new_count < len(whole.users):
        return
    try:
        parts = without_users(whole, share, seed=seed)
    except DataError:
        drawn = np.random.default_rng(seed).permutation(len(whole.users))[:new_count]
        assert set(whole.train.user.tolist()) <= set(drawn.tolist()) or all(
            sum(pair[0] == user for name in PARTS for pair in rows(whole.part(name))) < 2 for user in drawn.tolist()
        )
        return
    new = set(parts.given.user.tolist()) | set(parts.test.user.tolist())
    assert (parts.users, parts.items) == (whole.users, whole.items)
    for name in ("train", "valid"):
        assert rows(parts.part(name)) == [pair for pair in rows(whole.part(name)) if pair[0] not in new]
    everything = sorted(pair for name in PARTS for pair in rows(whole.part(name)) if pair[0] in new)
    assert sorted([*rows(parts.given), *rows(parts.test)]) == everything
    for user in set(parts.test.user.tolist()):
        of = [pair for pair in everything if pair[0] == user]
        assert sum(pair[0] == user for pair in rows(parts.test)) == max(1, round(len(of) / 5))
    told = parts.told()
    assert sorted(rows(told.train)) == sorted([*rows(parts.train), *rows(parts.given)])
    assert not len(told.given)


def test_new_users_are_kept_on_disk(events, tmp_path):
    whole = split(events([(u, i) for u in range(20) for i in range(10)]))
    parts = without_users(whole, 0.2, seed=1)
    assert rows(without_users(whole, 0.2, seed=1).test) == rows(parts.test) != rows(without_users(whole, 0.2).test)
    parts.save(tmp_path / "split", config={}, inputs={})
    again = Split.load(tmp_path / "split")
    assert rows(again.given) == rows(parts.given)
    assert len(again.given) == 4 * 8
    assert without_users(whole, 0.0) is whole
    whole.save(tmp_path / "split", config={}, inputs={})
    assert not len(Split.load(tmp_path / "split").given)


@pytest.mark.data
def test_our_rule_gives_the_published_sizes(events, real_data):
    published = read_published(real_data / "amazon-beauty").interactions
    pairs = [pair for name in PARTS for pair in rows(published.part(name))]
    parts = split(events(pairs), seed=3)
    assert [len(parts.part(name)) for name in PARTS] == [70_614, 11_767, 11_767]
    for name in PARTS:
        ours, theirs = (np.bincount(p.part(name).user, minlength=10_553) for p in (parts, published))
        np.testing.assert_array_equal(ours, theirs)
