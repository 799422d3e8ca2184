"""Groups are equal parts by activity, ties by row number."""

from __future__ import annotations

import numpy as np
import pytest

from hyperllm.baselines.popularity import popularity
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.evaluation.groups import activity_groups, by_activity
from hyperllm.ids import Vocabulary


def test_equal_parts_by_count_then_row() -> None:
    counts = [3, 1, 2, 1, 2, 1]
    train = Pairs(np.repeat(np.arange(6), counts), np.concatenate([np.arange(c) for c in counts]))
    held = Pairs(np.arange(6), np.full(6, 3))
    split = Split(Vocabulary.of("abcdef"), Vocabulary.of(range(5)), train, held, Pairs(np.arange(6), np.full(6, 4)))
    np.testing.assert_array_equal(activity_groups(split, 3), [2, 0, 1, 0, 2, 1])
    table = by_activity(evaluate(popularity(split), split, k=(4,)), split, groups=3)
    assert table["group"].to_list() == [1, 2, 3]
    assert table["fewest"].to_list() == [1, 1, 2]
    assert table["most"].to_list() == [1, 2, 3]
    assert table["users"].to_list() == [2, 2, 2]


def test_equally_active_users_go_by_row_number() -> None:
    counts = np.random.default_rng(0).integers(1, 4, size=1000)
    train = Pairs(np.repeat(np.arange(1000), counts), np.concatenate([np.arange(c) for c in counts]))
    split = Split(Vocabulary.of(range(1000)), Vocabulary.of(range(3)), train, train, train)
    order = sorted(range(1000), key=lambda user: (counts[user], user))
    np.testing.assert_array_equal(activity_groups(split)[order], np.arange(1000) // 200)


def test_group_means_average_to_the_whole(small: Split) -> None:
    found = evaluate(popularity(small), small, k=(3,))
    table = by_activity(found, small)
    whole = np.average(table["recall@3"].to_numpy(), weights=table["users"].to_numpy())
    assert table["users"].sum() == found.users
    assert whole == pytest.approx(found.metrics["recall@3"])


@pytest.mark.data
def test_beauty_groups_are_equal(beauty: Split) -> None:
    assert sorted(np.bincount(activity_groups(beauty)).tolist()) == [2110, 2110, 2111, 2111, 2111]


@pytest.mark.parametrize("groups", [0, 13])
def test_impossible_number(small: Split, groups: int) -> None:
    with pytest.raises(ConfigError, match="1 to 12"):
        activity_groups(small, groups)
