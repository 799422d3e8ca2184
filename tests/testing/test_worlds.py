"""The small worlds have the structure they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.testing.worlds import Tree, checkerboard_world, tree_world


def _keys(split: Split) -> list[set[tuple[int, int]]]:
    return [set(zip(p.user.tolist(), p.item.tolist(), strict=True)) for p in (split.train, split.valid, split.test)]


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(2, 3), st.integers(3, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 9))
def test_tree_world(depth: int, branching: int, items: int, users: int, clicks: int, seed: int) -> None:
    world = tree_world(
        depth=depth, branching=branching, items_per_leaf=items, users_per_leaf=users, clicks=clicks, seed=seed
    )
    split = world.split
    train, valid, test = _keys(split)
    assert not train & valid
    assert not train & test
    assert not valid & test
    leaves = branching**depth
    assert (len(split.users), len(split.items)) == (leaves * users, leaves * items)
    for user, item in valid | test:
        assert user // users == item // items
    for user, item in train:
        assert user // users // branching == item // items // branching
    assert len(world.tags.tag_items) == depth * len(split.items)
    assert len(world.tags.tag_edges) == len(world.tags.tags) - branching
    assert all(world.tags.level[a] + 1 == world.tags.level[b] for a, b in world.tags.tag_edges)


def test_paths_of_a_small_tree_by_hand() -> None:
    assert Tree(2, 2).paths().tolist() == [[0, 2], [0, 3], [1, 4], [1, 5]]


def test_text_vectors_of_one_leaf_are_nearer_than_others() -> None:
    world = tree_world(seed=3)
    vectors = world.semantics.item_vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit @ unit.T
    leaf = np.arange(len(unit)) // 4
    same = leaf[:, None] == leaf
    assert near[same].mean() > near[~same].mean() + 0.5


def test_user_vectors_are_means_over_training_items_only() -> None:
    world = tree_world(seed=1)
    rows = world.split.train.item[world.split.train.user == 7]
    assert world.semantics.user_vectors[7] == pytest.approx(world.semantics.item_vectors[rows].mean(axis=0), abs=1e-6)


def test_checkerboard_keeps_to_the_parity() -> None:
    split = checkerboard_world(users=10, items=12, seed=2)
    train, valid, test = _keys(split)
    assert all(user % 2 == item % 2 for user, item in train | valid | test)
    assert len(train | valid | test) == 10 * 6
    assert not train & valid
    assert not train & test
    assert not valid & test


@pytest.mark.parametrize("settings", [{"depth": 0}, {"branching": 1}, {"items_per_leaf": 2}])
def test_an_impossible_tree_says_so(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"expected at least|needs depth"):
        tree_world(**settings)  # type: ignore[arg-type]
