"""Evaluations that are kept, and groups of seeds that are compared as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperllm import artifacts
from hyperllm.data.split import Split, without_items
from hyperllm.errors import ConfigError
from hyperllm.evaluation.evaluate import KIND, Evaluation
from hyperllm.evaluation.ledger import recorded
from hyperllm.experiments.measure import compare_runs, evaluate_run, kept
from hyperllm.experiments.workspace import RUN
from hyperllm.serving.model import ScoreModel
from hyperllm.testing import tree_world

WORLD = tree_world(depth=2, seed=3)


def add_run(shop: Path, name: str, *, seed: int | None, tags: str = "one", **config: Any) -> None:
    """A run of random vectors drawn from its seed."""
    split = Split.load(shop / "split")
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(size=(len(ids), 4)).astype(np.float32) for ids in (split.users, split.items))
    model = ScoreModel.of_points(split, users=users, items=items, geometry="inner", tags=WORLD.tags)
    told = {"backbone": "hgcf", **config} | ({} if seed is None else {"seed": seed})
    inputs = {"split": artifacts.fingerprint(shop / "split"), "tags": tags, "phase1": f"of {seed}"}
    with artifacts.writing(shop / "runs" / name, RUN, config=told, inputs=inputs) as work:
        model.save(work / "model")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    WORLD.split.save(tmp_path / "split", config={}, inputs={})
    for seed in (0, 1, 10):
        add_run(tmp_path, f"base-{seed}", seed=seed)
    add_run(tmp_path, "other", seed=5, margin=2)
    return tmp_path


def test_an_evaluation_is_kept_with_what_lies_beyond_accuracy(shop: Path) -> None:
    found = evaluate_run(shop, "base-0", k=(5,)).evaluation
    assert {"coverage@5", "diversity@5"} <= set(found.beyond)  # the model folder has its tags
    stored = Evaluation.load(kept(shop / "runs" / "base-0", "test", "train"))
    assert stored.beyond == found.beyond
    assert recorded(shop)[-1]["beyond"] == found.beyond


def test_cold_items_have_a_folder_and_a_line_of_their_own(shop: Path) -> None:
    split = without_items(WORLD.split, 0.2)
    split.save(shop / "split", config={}, inputs={})
    add_run(shop, "cold", seed=0)
    usual, found = (evaluate_run(shop, "cold", candidates=among).evaluation for among in ("all", "cold"))
    assert found.metrics != usual.metrics
    names = sorted(path.name for path in (shop / "runs" / "cold" / "evaluations").iterdir())
    assert names == ["test-train", "test-train-cold"]
    assert Evaluation.load(kept(shop / "runs" / "cold", "test", "train")).metrics == usual.metrics
    assert [line.get("candidates") for line in recorded(shop)] == [None, "cold"]


def test_an_evaluation_without_it_serves_a_comparison(shop: Path) -> None:
    folder = kept(shop / "runs" / "base-0", "test", "train")
    evaluate_run(shop, "base-0")
    manifest, found = artifacts.read(folder, KIND), Evaluation.load(folder)
    with artifacts.writing(folder, KIND, config=manifest.config, inputs=manifest.inputs) as work:
        told = found.document("base-0")
        del told["beyond"]
        artifacts.write_json(work / "metrics.json", told)
        found.per_user.write_parquet(work / "per_user.parquet")
    looks = len(recorded(shop))
    compare_runs(shop, ["base-0", "other"])
    assert [line["run"] for line in recorded(shop)[looks:]] == ["other"]


def test_seeds_joined_by_commas_are_one_run(shop: Path) -> None:
    found = compare_runs(shop, ["other", "base-0,base-1,base-10"], k=(5,))
    cell = found.cell("base", "recall@5")
    means = [evaluate_run(shop, f"base-{seed}", k=(5,)).evaluation.metrics["recall@5"] for seed in (0, 1, 10)]
    assert (cell.mean, cell.std) == pytest.approx((np.mean(means), np.std(means, ddof=1)))
    assert (cell.seeds, found.cell("other", "recall@5").seeds) == (3, 1)
    assert compare_runs(shop, ["base-0", "base-1"], k=(5,)).runs == ("base-0", "base-1")


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["base-1", "base-10"], "base"),
        (["kar_2", "kar_3"], "kar"),
        (["k50", "k51"], "k"),
        (["hgcf2-0", "hgcf2-1"], "hgcf2"),
        (["a", "b"], "a,b"),
    ],
)
def test_a_group_is_called_what_its_names_begin_with(shop: Path, names: list[str], called: str) -> None:
    for seed, name in enumerate(names):
        add_run(shop, name, seed=seed)
    assert compare_runs(shop, ["other", ",".join(names)], k=(5,)).runs == ("other", called)


def test_groups_of_one_beginning_keep_the_names_they_were_given(shop: Path) -> None:
    for seed in (2, 3):
        add_run(shop, f"base-{seed}", seed=seed)
    runs = ["base-0,base-1", "base-2,base-3"]
    assert compare_runs(shop, runs, k=(5,)).runs == tuple(runs)


def test_runs_that_are_no_seeds_of_one_configuration_are_refused(shop: Path) -> None:
    looks = len(recorded(shop))
    with pytest.raises(ConfigError, match=r"'base-0' and 'other' are not seeds.*differ in margin"):
        compare_runs(shop, ["base-1", "base-0,other"])
    add_run(shop, "retagged", seed=2, tags="two")
    with pytest.raises(ConfigError, match="differ in tags"):
        compare_runs(shop, ["base-1", "base-0,retagged"])
    add_run(shop, "again", seed=0)
    with pytest.raises(ConfigError, match=r"have the seeds \[0, 0\]"):
        compare_runs(shop, ["base-1", "base-0,again"])
    for name in ("ease", "ease2"):
        add_run(shop, name, seed=None)
    with pytest.raises(ConfigError, match=r"\[None, None\]"):
        compare_runs(shop, ["base-1", "ease,ease2"])
    assert len(recorded(shop)) == looks  # nothing was looked at in vain


@pytest.mark.parametrize("runs", [[], ["base-0"], ["base-0,base-1"], ["base-0,base-1", "base-1"]])
def test_at_least_two_different_runs(shop: Path, runs: list[str]) -> None:
    with pytest.raises(ConfigError, match="two different runs"):
        compare_runs(shop, runs)


def test_an_unknown_seed_is_named(shop: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run 'base-7'"):
        compare_runs(shop, ["other", "base-0,base-7"])
