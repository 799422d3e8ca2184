"""Every candidate is measured on validation alone, and the best comes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hyperllm.baselines import BASELINES
from hyperllm.baselines.tune import Trial, tuned
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.testing import tree_world


def test_the_grid_is_tried_and_ordered() -> None:
    world, heard = tree_world(depth=2, seed=3), list[Trial]()
    found = tuned(world.split, "ease-tags", tags=world.tags, on_trial=heard.append)
    assert [trial.settings for trial in heard] == list(BASELINES["ease-tags"].grid)
    assert sorted(heard, key=lambda trial: -trial.score) == found
    best = BASELINES["ease-tags"].fit(world.split, settings=found[0].settings, tags=world.tags)
    metrics = evaluate(best, world.split, part="valid").metrics
    assert found[0].score == sum(metrics[name] for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20"))


def test_candidates_that_need_tags_are_passed_over_without_any() -> None:
    world, grid = tree_world(depth=2, seed=3), BASELINES["content"].grid
    plain = tuned(world.split, "content", semantics=world.semantics)
    assert len(plain) == sum(settings["tag_weight"] == 0 for settings in grid)
    assert {trial.settings["tag_weight"] for trial in plain} == {0}
    assert len(tuned(world.split, "content", semantics=world.semantics, tags=world.tags)) == len(grid)


def test_the_test_part_is_not_looked_at(board: Split) -> None:
    without = replace(board, test=board.train)
    assert tuned(board, "rp3beta") == tuned(without, "rp3beta")


def test_what_cannot_be_tuned_is_refused(board: Split) -> None:
    with pytest.raises(ConfigError, match=r"unknown baseline 'eas'.*Did you mean 'ease'"):
        tuned(board, "eas")
    with pytest.raises(DataError, match="needs tags"):
        tuned(board, "ease-tags")
