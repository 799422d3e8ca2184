"""The claim on planted worlds: a tree wants a curved space, a grid does not, tags help most where clicks are few.

What holds in each of ten worlds (`make bench WHAT=claim`) is asked of one or two, at fixed settings.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.testing.worlds import PlantedWorld, Tree, click_chances, deep_tree_world, grid_distances, grid_world

FOLDER = Path(__file__).parents[2] / "benchmarks"
SEEDS = (0, 1)


@pytest.fixture
def claim(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("claim")


def _gap(claim: Any, split: Split, *, curved: float, flat: float, seed: int) -> float:
    """Test recall@10 at dim 2 of hyperbolic − flat, each at its margin."""
    both = [
        claim.tested(claim.by_geometry(model, split, claim.Setting(margin), dim=2, seed=seed), split)
        for model, margin in (("hyperbolic", curved), ("flat", flat))
    ]
    return both[0].metrics["recall@10"] - both[1].metrics["recall@10"]


@pytest.mark.parametrize("seed", SEEDS)
def test_in_two_dimensions_a_tree_wants_curvature(claim: Any, seed: int) -> None:
    assert _gap(claim, deep_tree_world(seed=seed).split, curved=32, flat=0.5, seed=seed) > 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_in_two_dimensions_a_grid_does_not(claim: Any, seed: int) -> None:
    assert _gap(claim, grid_world(seed=seed), curved=0.5, flat=0.5, seed=seed) < 0.02


def _recall(claim: Any, model: str, world: PlantedWorld, *, seed: int = 0) -> float:
    weight = None if model == "base" else 1.0
    trained = claim.by_tags(model, world, claim.Setting(2, contrast_weight=weight), seed=seed)
    return claim.tested(trained, world.split).metrics["recall@10"]


def test_tags_help_a_world_of_few_clicks_most(claim: Any) -> None:
    worlds = [claim.even_world(clicks, 0) for clicks in (1, 4)]
    few, more = (_recall(claim, "structural", world) - _recall(claim, "base", world) for world in worlds)
    assert few > 0.2
    assert few > more + 0.05


def test_tags_help_by_what_they_say(claim: Any) -> None:
    world = claim.tagged_world(0)
    assert _recall(claim, "structural", world) > _recall(claim, "wrong tags", world) + 0.05


def test_both_worlds_are_equally_large_busy_and_hard() -> None:
    tree, grid = deep_tree_world(seed=3).split, grid_world(seed=3)
    for part in ("train", "valid", "test"):
        counts = [np.bincount(world.part(part).user) for world in (tree, grid)]
        assert np.array_equal(*counts)
    assert (len(tree.users), len(tree.items)) == (len(grid.users), len(grid.items)) == (512, 256)
    for distances in (Tree(8, 2).distances(), grid_distances(16)):
        chance = click_chances(distances, spread=16)
        entropy = -(chance * np.log(chance)).sum(axis=1).mean()
        assert np.exp(entropy) == pytest.approx(16, rel=1e-6)
        assert chance.sum(axis=1) == pytest.approx(1)
        assert all(np.all(np.diff(row[np.argsort(d)]) <= 1e-12) for row, d in zip(chance, distances, strict=True))


@pytest.mark.parametrize("name", ["tree", "grid"])
def test_users_take_turns_in_activity_and_click_nothing_twice(name: str) -> None:
    split = deep_tree_world(clicks=(1, 4, 2)).split if name == "tree" else grid_world(clicks=(1, 4, 2))
    assert np.bincount(split.train.user).tolist() == [(1, 4, 2)[user % 3] for user in range(512)]
    parts = (split.train, split.valid, split.test)
    pairs = [pair for part in parts for pair in zip(part.user.tolist(), part.item.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs))


def test_clicks_follow_their_chances() -> None:
    split = grid_world(side=4, users_per_place=2000, clicks=1, spread=6, seed=0)
    found = np.zeros((16, 16))
    np.add.at(found, (split.test.user // 2000, split.test.item), 1 / 2000)
    assert found == pytest.approx(click_chances(grid_distances(4), spread=6), abs=0.05)


def test_distances_by_hand() -> None:
    assert Tree(2, 2).distances().tolist() == [[0, 2, 4, 4], [2, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]]
    assert grid_distances(2)[0] == pytest.approx([0, 1, 1, 2**0.5])


@pytest.mark.parametrize("settings", [{"spread": 1}, {"spread": 20}, {"clicks": 15}, {"clicks": (3, 0)}])
def test_an_impossible_world_says_so(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        grid_world(**{"side": 4, "spread": 6, **settings})
