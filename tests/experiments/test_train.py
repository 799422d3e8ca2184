"""The train stage on a planted workspace: what is made, what is found done, what is continued, what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from hyperllm import artifacts
from hyperllm.data.catalog import SCHEMA, Catalog
from hyperllm.data.interactions import Pairs
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.raw import RawData
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, DataError, HyperLLMError, Incomplete
from hyperllm.experiments.measure import compare_runs, evaluate_run
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.experiments.workspace import Workspace
from hyperllm.serving.model import ScoreModel
from hyperllm.testing import PlantedWorld, tree_world

WORLD = tree_world(depth=2, seed=3)
SETTINGS: dict[str, Any] = {
    "dim": "4",
    "batch_size": "100",
    "learning_rate": "0.02",
    "epochs": "2",
    "meta_epochs": "2",
    "experts": "2",
    "text_dim": "6",
    "checkpoint_every_s": "0",
}
PLAIN = {key: SETTINGS[key] for key in ("dim", "batch_size", "learning_rate", "epochs", "checkpoint_every_s")}


def request(**more: Any) -> TrainRequest:
    base = more.get("framework") == "base"
    settings = {**(PLAIN if base else SETTINGS), **more.pop("settings", {})}
    return TrainRequest(settings=settings, device="cpu", **more)


def add_semantics(folder: Path, world: PlantedWorld) -> None:
    inputs = {"split": Workspace.opened(folder).fingerprint("split")}
    world.semantics.save(folder / "semantics" / "text", config={}, inputs=inputs)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    rows = [{"item_id": v, "title": f"thing {v}", "categories": [], "attributes": []} for v in WORLD.split.items.ids]
    catalog = Catalog.of(pl.DataFrame(rows, schema=SCHEMA))
    prepare(tmp_path / "shop", RawData(WORLD.split, catalog, WORLD.tags), source="published")
    add_semantics(tmp_path / "shop", WORLD)
    return tmp_path / "shop"


class Stop:
    """Progress that ends the work after an epoch."""

    def __init__(self, phase: str = "", number: int = 0) -> None:
        self.after, self.heard = (phase, number), []

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        pass

    def epoch(self, phase: str, epoch: Any, report: Any) -> None:
        self.heard.append((phase, epoch.number))
        if (phase, epoch.number) == self.after:
            raise KeyboardInterrupt


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_holds_weights_histories_vectors_and_a_model(shop: Path) -> None:
    done = train(shop, request())
    assert (done.name, done.skipped) == ("hyperllm", False)
    assert sorted(p.name for p in done.folder.iterdir()) == [
        "history-phase1.parquet",
        "history-phase2.parquet",
        "manifest.json",
        "model",
        "phase1.npz",
        "weights.safetensors",
    ]
    manifest = artifacts.read(done.folder, "run")
    assert set(manifest.inputs) == {"split", "tags", "semantics"}
    assert (manifest.config["dim"], manifest.config["variant"], manifest.config["backbone"]) == (4, "full", "hgcf")
    phases = manifest.facts["phases"]
    assert [phases[p]["epochs"] for p in ("phase 1", "phase 2")] == [2, 2]
    assert 0 <= phases["phase 2"]["valid"]["recall@20"] <= 1
    model = ScoreModel.load(done.folder)
    assert model.titles[0] == "thing 0"
    assert model.tags is not None
    found = model.topk(np.arange(5), 3, mask=model.seen)
    assert found.items.shape == (5, 3)


def test_the_histories_and_the_facts_tell_the_same(shop: Path) -> None:
    done = train(shop, request(framework="base"))
    table = pl.read_parquet(done.folder / "history-base.parquet")
    best = table.row(done.facts["phases"]["base"]["best_epoch"] - 1, named=True)
    for name, value in done.facts["phases"]["base"]["valid"].items():
        assert best[name] == pytest.approx(value)
    assert set(done.facts["phases"]) == {"base"}


def test_the_same_request_is_found_done_and_another_is_not(shop: Path) -> None:
    train(shop, request(framework="base"))
    assert train(shop, request(framework="base")).skipped
    assert not train(shop, request(framework="base", seed=1)).skipped
    assert not train(shop, request(framework="base", settings={"margin": "0.5"})).skipped


def test_other_inputs_make_another_run(shop: Path) -> None:
    train(shop, request(variant="semantic"))
    assert train(shop, request(variant="semantic")).skipped
    other = tree_world(depth=2, seed=3)
    add_semantics(shop, replace(other, semantics=replace(other.semantics, item_vectors=-other.semantics.item_vectors)))
    assert not train(shop, request(variant="semantic")).skipped


@pytest.mark.parametrize("after", [("phase 1", 1), ("phase 2", 1)])
def test_an_interrupted_run_is_absent_and_goes_on_to_the_same_bits(shop: Path, after: tuple[str, int]) -> None:
    whole = train(shop, request(run="whole"))
    with pytest.raises(KeyboardInterrupt):
        train(shop, request(run="cut"), progress=Stop(*after))
    assert not (shop / "runs" / "cut").exists()
    heard = Stop()
    cut = train(shop, request(run="cut"), progress=heard)
    everything = [(phase, e) for phase in ("phase 1", "phase 2") for e in (1, 2)]
    assert heard.heard == everything[everything.index(after) + 1 :]
    assert equal(whole.folder, cut.folder)
    assert not list(cut.folder.glob(".*"))


def test_without_resume_the_work_starts_over(shop: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(shop, request(framework="base"), progress=Stop("base", 1))
    heard = Stop()
    train(shop, request(framework="base", resume=False), progress=heard)
    assert heard.heard == [("base", 1), ("base", 2)]


def test_a_checkpoint_of_other_texts_is_not_continued(shop: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(shop, request(variant="semantic"), progress=Stop("phase 1", 1))
    semantics = replace(WORLD.semantics, item_vectors=-WORLD.semantics.item_vectors)
    add_semantics(shop, replace(WORLD, semantics=semantics))
    heard = Stop()
    train(shop, request(variant="semantic"), progress=heard)
    assert heard.heard[0] == ("phase 1", 1)


def test_payload_of_a_killed_run_of_other_settings_is_swept_away(shop: Path) -> None:
    work = shop / "runs" / ".mine.partial"
    (work / "model").mkdir(parents=True)
    (work / "phase1.npz").write_bytes(b"old")
    (work / "model" / "old").write_bytes(b"old")
    done = train(shop, request(framework="base", run="mine"))
    assert not (done.folder / "phase1.npz").exists()
    assert not (done.folder / "model" / "old").exists()


def test_a_failed_retraining_leaves_the_old_run(shop: Path) -> None:
    before = weights(train(shop, request(framework="base")).folder)
    with pytest.raises(KeyboardInterrupt):
        train(shop, request(framework="base", seed=5), progress=Stop("base", 1))
    after = weights(shop / "runs" / "base")
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("more", "name", "inputs"),
    [
        ({"variant": "structural"}, "hyperllm-structural", {"split", "tags"}),
        ({"variant": "semantic"}, "hyperllm-semantic", {"split", "semantics"}),
        ({"variant": "only-semantic"}, "hyperllm-only-semantic", {"split", "semantics"}),
        ({"framework": "base"}, "base", {"split"}),
        ({"baseline": "popularity", "settings": {}}, "popularity", {"split"}),
        ({"baseline": "ease-tags", "settings": {"tag_weight": "2"}}, "ease-tags", {"split", "tags"}),
    ],
)
def test_a_run_is_named_by_what_it_is_and_depends_on_what_it_uses(
    shop: Path, more: dict[str, Any], name: str, inputs: set[str]
) -> None:
    wanted = TrainRequest(**more) if "baseline" in more else request(**more)
    done = train(shop, wanted)
    assert done.name == name
    assert set(artifacts.read(done.folder, "run").inputs) == inputs


def test_given_vectors_stand_in_for_texts(shop: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "given.npz"
    split = WORLD.split
    np.savez(path, users=rng.random((len(split.users), 5)), items=rng.random((len(split.items), 5)))
    done = train(shop, request(phase1=path))
    assert set(artifacts.read(done.folder, "run").inputs) == {"split", "tags", "phase1"}
    assert ScoreModel.load(done.folder).item_vectors.shape[1] == 5  # the time column is dropped, a point has one more
    np.savez(path, users=rng.random((len(split.users), 5)), items=rng.random((len(split.items), 5)))
    assert not train(shop, request(phase1=path)).skipped


@pytest.mark.parametrize("backbone", ["hgcf", "hypercl"])
def test_phase_1_of_another_run_stands_in_bit_for_bit(shop: Path, backbone: str) -> None:
    whole = train(shop, request(backbone=backbone, run="whole"))
    first = train(shop, request(backbone=backbone, variant="only-semantic", run="first"))
    second = train(shop, request(backbone=backbone, run="second", phase1=Path("run:first")))
    assert set(second.facts["phases"]) == {"phase 2"}
    assert equal(whole.folder, second.folder)
    assert "phase1" in artifacts.read(second.folder, "run").inputs
    assert first.facts["phases"]["phase 1"]["valid"] == whole.facts["phases"]["phase 1"]["valid"]


def test_a_run_without_phase_1_cannot_lend_it(shop: Path) -> None:
    train(shop, request(framework="base"))
    with pytest.raises(ConfigError, match="'base' has no phase 1"):
        train(shop, request(phase1=Path("run:base")))


def test_compat_repeats_the_published_settings_and_set_still_wins(shop: Path) -> None:
    done = train(shop, request(compat=True, variant="structural", settings={"batch_size": "70"}))
    config = artifacts.read(done.folder, "run").config
    assert (config["compat"], config["parametrisation"], config["average"]) == (True, "manifold", 0.0)
    assert (config["batch_size"], config["dim"]) == (70, 4)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"settings": {"learnin_rate": "1"}}, "Did you mean 'learning_rate'"),
        ({"settings": {"dim": "0"}}, "setting 'dim'"),
        ({"variant": "everything"}, "variant"),
        ({"variant": "full", "framework": "base"}, "belongs to the framework hyperllm"),
        ({"framework": "bass"}, "unknown framework 'bass'.*Did you mean 'base'"),
        ({"backbone": "hgfc"}, "unknown backbone 'hgfc'.*Did you mean 'hgch'"),
        ({"preset": "papers"}, "unknown preset"),
        ({"tags": "mine"}, "no set 'mine' in tags"),
        ({"semantics": "mine"}, "no set 'mine' in semantics"),
        ({"phase1": Path("absent.npz")}, "not a file"),
        ({"run": "../outside"}, "plain word"),
        ({"run": ".hidden"}, "plain word"),
    ],
)
def test_a_wrong_request_is_refused_before_any_work(shop: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.compile(said, re.DOTALL)):
        train(shop, request(**more))
    assert not (shop / "runs").exists()


def test_a_wrong_device_or_baseline_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        train(shop, TrainRequest(device="tpu", settings=SETTINGS))
    with pytest.raises(ConfigError, match="unknown baseline"):
        train(shop, TrainRequest(baseline="popular"))
    with pytest.raises(ConfigError, match="--framework has no use beside --baseline"):
        train(shop, TrainRequest(baseline="popularity", framework="base"))


def test_only_a_baseline_that_needs_tags_takes_them(shop: Path) -> None:
    done = train(shop, TrainRequest(baseline="ease-tags", tags="published"))
    assert done.facts["tags"] == "published"
    assert train(shop, TrainRequest(baseline="ease-tags")).skipped
    with pytest.raises(ConfigError, match="--tags has no use beside --baseline ease"):
        train(shop, TrainRequest(baseline="ease", tags="published"))
    with pytest.raises(ConfigError, match="no set 'mine' in tags"):
        train(shop, TrainRequest(baseline="ease-tags", tags="mine"))
    with pytest.raises(DataError, match="ease-tags needs tags"):
        train(shop, TrainRequest(baseline="ease-tags", tags="none"))


def test_the_seed_of_a_run_is_that_of_a_baseline_that_has_one(shop: Path) -> None:
    done = train(shop, TrainRequest(baseline="als", settings={"factors": "4"}, seed=3))
    assert artifacts.read(done.folder, "run").config["seed"] == 3
    assert not train(shop, TrainRequest(baseline="als", settings={"factors": "4"})).skipped
    assert "seed" not in artifacts.read(train(shop, TrainRequest(baseline="ease", seed=3)).folder, "run").config


def test_what_a_variant_lacks_is_asked_for(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs tags"):
        train(shop, request(tags="none"))
    with pytest.raises(HyperLLMError, match="needs text vectors"):
        train(shop, request(semantics="none"))
    with pytest.raises(Incomplete, match="hyperllm prepare"):
        train(tmp_path / "nowhere", request())


def test_a_run_is_evaluated_and_compared_by_name(shop: Path) -> None:
    train(shop, request(framework="base"))
    train(shop, TrainRequest(baseline="popularity"))
    found = evaluate_run(shop, "base", k=(5, 10), groups=2)
    assert {"recall@5", "recall@10", "ndcg@5", "ndcg@10"} <= set(found.evaluation.metrics)
    assert found.groups is not None
    valid = evaluate_run(shop, "base", part="valid").evaluation.metrics
    trained = artifacts.read(shop / "runs" / "base", "run").facts["phases"]["base"]["valid"]
    assert valid["ndcg@20"] == pytest.approx(trained["ndcg@20"], abs=1e-6)
    assert compare_runs(shop, ["popularity", "base"], k=(5,)) is not None
    with pytest.raises(ConfigError, match=r"no finished run 'bass'.*Did you mean 'base'"):
        evaluate_run(shop, "bass")
    with pytest.raises(ConfigError, match="two different runs"):
        compare_runs(shop, ["base", "base"])


def test_a_finished_run_of_other_settings_is_kept_aside(shop: Path) -> None:
    first = train(shop, request(framework="base", run="twice"))
    again = train(shop, request(framework="base", run="twice", settings={"margin": "0.5"}))
    assert (first.aside, again.aside) == (None, "twice.1")
    margins = [artifacts.read(shop / "runs" / name, "run").config["margin"] for name in ("twice.1", "twice")]
    assert margins[1] == 0.5
    assert margins[0] != 0.5


@pytest.mark.parametrize(("setting", "done"), [("ranking", True), ("dim", False)])
def test_a_run_made_before_there_was_a_setting_counts_where_that_is_at_its_default(
    shop: Path, setting: str, done: bool
) -> None:
    run = train(shop, request(framework="base", run="early"))
    told = json.loads((run.folder / "manifest.json").read_text())
    del told["config"][setting]
    artifacts.write_json(run.folder / "manifest.json", told)
    again = train(shop, request(framework="base", run="early"))
    assert again.skipped == done


def test_a_run_of_an_early_version_is_replaced_by_one_of_the_same_settings(shop: Path) -> None:
    run = train(shop, request(framework="base", run="early"))
    told = json.loads((run.folder / "manifest.json").read_text())
    del told["config"]["ranking"]
    artifacts.write_json(run.folder / "manifest.json", {**told, "inputs": {"split": "another"}})
    again = train(shop, request(framework="base", run="early"))
    assert (again.skipped, again.aside) == (False, None)
    other = train(shop, request(framework="base", run="early", settings={"ranking": "softmax"}))
    assert other.aside == "early.1"


def test_vectors_and_evaluations_of_another_split_are_not_used(shop: Path) -> None:
    train(shop, request(framework="base", run="old"))
    evaluate_run(shop, "old")
    split = Split.load(shop / "split")
    other = replace(split, train=Pairs(split.train.user[:-1], split.train.item[:-1]))
    manifest = artifacts.read(shop / "split", "split")
    other.save(shop / "split", config=manifest.config, inputs=manifest.inputs)
    with pytest.raises(ConfigError, match="made from another split"):
        train(shop, request())
    train(shop, request(framework="base", run="new"))
    with pytest.raises(DataError):
        compare_runs(shop, ["new", "old"])
