"""Candidates are tried on validation, remembered, and recorded."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.experiments.several import Several

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments import record
from hyperllm.experiments.recipe import Recipe, run, search
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.experiments.trial import Trial, Work
from hyperllm.experiments.tune import MOST, _Race, tune
from hyperllm.frameworks.base import Framework
from hyperllm.training.report import Epoch, FitReport

SHORT = {"dim": 4, "batch_size": 512, "epochs": 4, "average": 0.0, "optimizer": "adam", "checkpoint_every_s": 0}
REQUEST = TrainRequest(framework="base", settings=SHORT)
CANDIDATES = [{"learning_rate": 0.001}, {"learning_rate": 0.03}, {"learning_rate": 0.01}]


@dataclass
class Watcher:
    """Counts epochs, and stops after some."""

    stop_after: int | None = None
    seen: list[tuple[str, int]] = field(default_factory=list)

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Nothing."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        self.seen.append((phase, epoch.number))
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def shop(raw: Path, tmp_path: Path) -> Path:
    prepare(tmp_path / "shop", read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    return tmp_path / "shop"


def comparable(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(t.settings, t.score, t.best_epoch, t.epochs, t.ended) for t in trials]


def test_the_best_goes_on_and_the_rest_is_pruned(shop: Path) -> None:
    watcher = Watcher()
    trials = tune(shop, REQUEST, CANDIDATES, prune_at=2, progress=watcher)
    assert [t.ended for t in trials] == ["epochs", "pruned", "pruned"]
    assert [t.epochs for t in trials] == [4, 2, 2]
    assert trials[1].score >= trials[2].score
    assert len(watcher.seen) <= 3 * 2 + 4
    assert not (shop / "evaluations.jsonl").exists(), "the test part was looked at"


def test_a_kept_trial_is_the_run_that_training_gives(shop: Path) -> None:
    best = tune(shop, REQUEST, CANDIDATES, prune_at=2)[0]
    plain = train(shop, TrainRequest(framework="base", settings={**SHORT, **best.settings}))
    metrics = plain.facts["phases"]["base"]["valid"]
    assert best.score == sum(metrics[name] for name in record.METRICS)
    assert plain.skipped, "the best trial is not the run of its settings"
    assert [folder.name for folder in (shop / "runs").iterdir()] == ["base"], "trials are left"


def test_what_is_finished_is_not_tried_again(shop: Path) -> None:
    first = tune(shop, REQUEST, CANDIDATES, prune_at=2)
    watcher = Watcher()
    assert comparable(tune(shop, REQUEST, CANDIDATES, prune_at=2, progress=watcher)) == comparable(first)
    assert not watcher.seen


@pytest.fixture(scope="module")
def uninterrupted(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    place = tmp_path_factory.mktemp("tune") / "shop"
    prepare(place, read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    return comparable(tune(place, REQUEST, CANDIDATES, prune_at=2))


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_an_interrupted_search_ends_as_an_uninterrupted_one(
    shop: Path, stop_after: int, uninterrupted: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(shop, REQUEST, CANDIDATES, prune_at=2, progress=Watcher(stop_after=stop_after))
    assert comparable(tune(shop, REQUEST, CANDIDATES, prune_at=2)) == uninterrupted


@pytest.mark.parametrize(("last", "stop_after"), [(False, None), (True, None), (True, 2), (False, 3)])
def test_several_at_once_try_what_one_after_the_other_would(
    shop: Path, last: bool, stop_after: int | None, uninterrupted: list[tuple[Any, ...]]
) -> None:
    if stop_after is not None:
        with pytest.raises(KeyboardInterrupt):
            tune(shop, REQUEST, CANDIDATES, prune_at=2, pool=Several(last, stop_after))
    pool = Several(last)
    assert comparable(tune(shop, REQUEST, CANDIDATES, prune_at=2, pool=pool)) == uninterrupted
    assert pool.most == (3 if stop_after is None else 1)
    assert len(pool.epochs) == 4 - (stop_after or 0), "a candidate went on that one after the other would not have"


def test_as_many_go_on_at_once_as_are_kept(shop: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    pool = Several(last=True, at_once=2)
    found = tune(shop, REQUEST, CANDIDATES, prune_at=2, keep=2, pool=pool)
    assert comparable(found) == comparable(tune(other, REQUEST, CANDIDATES, prune_at=2, keep=2))
    assert [t.ended for t in found] == ["epochs", "epochs", "pruned"]
    assert pool.epochs == [2, 2, 2, 4, 4]


@pytest.mark.parametrize(("owner", "place"), [(_Race, "remember"), (Work, "settle")])
def test_a_search_killed_between_a_training_and_its_line_loses_neither(
    shop: Path, owner: type[Any], place: str, uninterrupted: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(owner, place)

    def killed(self: Any, given: Any) -> None:
        if place == "settle" or given.finished:
            raise KeyboardInterrupt
        original(self, given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, killed)
        with pytest.raises(KeyboardInterrupt):
            tune(shop, REQUEST, CANDIDATES, prune_at=2)
    assert comparable(tune(shop, REQUEST, CANDIDATES, prune_at=2)) == uninterrupted
    assert [folder.name for folder in (shop / "runs").iterdir()] == ["base"]


def test_an_earlier_winner_is_judged_by_its_first_epochs_too(shop: Path, uninterrupted: list[tuple[Any, ...]]) -> None:
    for settings in CANDIDATES:
        tune(shop, REQUEST, [settings], prune_at=2)
    found = tune(shop, REQUEST, CANDIDATES, prune_at=2)
    assert all(t.finished for t in found)
    assert found[0].settings == max(found, key=lambda t: t.early(2)).settings == uninterrupted[0][0]


def test_another_pruning_epoch_is_not_answered_from_shorter_trials(shop: Path) -> None:
    tune(shop, REQUEST, CANDIDATES, prune_at=1)
    assert all(t.epochs >= 2 for t in tune(shop, REQUEST, CANDIDATES, prune_at=2))


def test_equal_candidates_are_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="come to the same"):
        tune(shop, REQUEST, [{"learning_rate": 0.5, "dim": 4}, {"learning_rate": 0.5}])


def test_a_baseline_has_nothing_to_prune(shop: Path) -> None:
    with pytest.raises(ConfigError, match="baseline"):
        tune(shop, TrainRequest(baseline="ease"), [{}])


def test_a_candidate_that_diverges_is_out_of_the_race(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that led before it broke."""
    best = tune(shop, REQUEST, CANDIDATES, prune_at=2)[0].settings
    losses = Framework.losses

    def broken(self: Framework, batch: Any) -> dict[str, Any]:
        terms = losses(self, batch)
        fails = self.config.learning_rate == best["learning_rate"] and batch.epoch >= 2
        return {name: value * float("nan") if fails else value for name, value in terms.items()}

    shutil.rmtree(shop / "tunes")
    shutil.rmtree(shop / "runs")
    monkeypatch.setattr(Framework, "losses", broken)
    for prune_at in (1, 2):
        trials = tune(shop, REQUEST, CANDIDATES, prune_at=prune_at)
        assert [t.ended for t in trials] == ["epochs", "pruned", "diverged"]
        assert trials[-1].settings == best
    with pytest.raises(TrainingDiverged):
        tune(shop, REQUEST, [best], prune_at=1)


@pytest.mark.parametrize("candidates", [[], [{"margin": float(n)} for n in range(MOST + 1)]])
def test_a_search_is_neither_empty_nor_larger_than_the_budget(shop: Path, candidates: list[dict[str, float]]) -> None:
    with pytest.raises(ConfigError, match=f"1 to {MOST} candidates"):
        tune(shop, REQUEST, candidates)


def test_a_wrong_candidate_is_refused_before_any_is_trained(shop: Path) -> None:
    watcher = Watcher()
    with pytest.raises(ConfigError, match="learning_rat"):
        tune(shop, REQUEST, [{"learning_rate": 0.1}, {"learning_rat": 0.1}], progress=watcher)
    assert not watcher.seen


def test_a_file_names_candidates_and_its_record_keeps_what_came_out(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "cell.toml"
    file.write_text("""
record = "results/cell.json"
[tune]
prune_at = 1
candidates = [{ dim = 4, epochs = 2 }, { dim = 6, epochs = 2 }]
[train]
framework = "base"
run = "cell"
seeds = [3, 4]
set = { dim = 6, epochs = 2 }
[evaluate]
[published]
"recall@20" = 0.1
""")
    recipe = Recipe.read(file)
    trials = search(recipe, workspace=shop, say=lambda _: None)
    run(recipe, workspace=shop, say=lambda _: None)
    kept = json.loads((tmp_path / "results" / "cell.json").read_text())
    assert [t["settings"] for t in kept["trials"]] == [dict(t.settings) for t in trials]
    assert [(r["run"], r["seed"]) for r in kept["runs"]] == [("cell-3", 3), ("cell-4", 4)]
    assert all(r["peak_memory_mb"] > 0 and r["part"] == "test" for r in kept["runs"])
    run(recipe, workspace=shop, say=lambda _: None)
    assert json.loads((tmp_path / "results" / "cell.json").read_text()) == kept
    ((name, seeds, *cells),) = record.rows(tmp_path / "results")
    assert (name, seeds) == ("cell", "2")
    assert " ± " in cells[0]
    assert len(record.HEADS) == 2 + len(cells)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[train]\nframework = "base"', r"has no \[tune\]"),
        ("[tune]\ncandidates = [{}]", r"no \[train\] to try them in"),
        ("[tune]\ncandidates = [3]", "list of tables"),
        ("[tune]\ncandidats = [{}]", "Did you mean 'candidates'"),
        ('[train]\nseeds = [1]\nframework = "base"', "beside run"),
        ('record = 3\n[train]\nframework = "base"', "record is the name of a file"),
        ('record = "."\n[train]\nframework = "base"', "cannot be written there"),
        ("published = 3\n[train]", r"\[published\] is a table of numbers"),
        ("[tune]\n[train]", "list of tables"),
        ('[tune]\ncandidates = [{}]\nkeep = "x"\n[train]', "keep is a whole number"),
        ("[tune]\ncandidates = [{}]\nprune_at = 0\n[train]", "prune_at is a whole number"),
        ("[tune]\ncandidates = [{ margn = 1 }]\n[train]", "Did you mean 'margin'"),
        ('[train]\nrun = "r"\nseeds = [1, 1]', "different whole numbers"),
        ('[train]\nrun = "r"\nseeds = [true]', "different whole numbers"),
        ('[train]\nseed = "a"', "seed must be a whole number"),
        ("[train]\nrun = 3", "run must be text"),
    ],
)
def test_a_file_that_cannot_be_searched_says_why(shop: Path, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        search(Recipe.read(file), workspace=shop, say=lambda _: None)


def test_a_record_that_is_none_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="not the record"):
        record.keep_trials(path, [])
    assert path.read_text() == "[1]"


def test_seeds_share_out_the_phase_1_of_a_table_before(tmp_path: Path) -> None:
    file = tmp_path / "cell.toml"
    file.write_text("""
[tune]
candidates = [{ margin = 1.0 }]
set = { epochs = 2 }
[[train]]
variant = "only-semantic"
run = "first"
seeds = [0, 1]
[[train]]
run = "second"
seeds = [0, 1]
phase1 = "run:first"
""")
    asked = Recipe.read(file).requests()
    assert [(r.run, r.seed, str(r.phase1)) for r in asked] == [
        ("first-0", 0, "None"),
        ("first-1", 1, "None"),
        ("second-0", 0, "run:first-0"),
        ("second-1", 1, "run:first-1"),
    ]


def test_a_trial_on_other_data_is_another_trial(shop: Path, raw: Path) -> None:
    first = tune(shop, REQUEST, CANDIDATES[:1], prune_at=2)
    prepare(shop, read_table(raw / "clicks.csv", raw / "items.csv"), config=PrepareConfig(seed=7), source="table")
    watcher = Watcher()
    second = tune(shop, REQUEST, CANDIDATES[:1], prune_at=2, progress=watcher)
    assert watcher.seen
    assert second[0].made_from != first[0].made_from


def test_a_line_that_a_kill_cut_short_costs_that_trial_only(shop: Path) -> None:
    first = tune(shop, REQUEST, CANDIDATES, prune_at=2)
    book = shop / "tunes" / "base.jsonl"
    book.write_text(book.read_text().rstrip()[:-9])
    again = tune(shop, REQUEST, CANDIDATES, prune_at=2)
    assert comparable(again) == comparable(first)
    assert all(json.loads(line) for line in book.read_text().splitlines()[-1:])
