"""A search proposes, prunes and remembers, and ends the same however often it is ended before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.experiments.several import Several

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, Corrupt, TrainingDiverged
from hyperllm.experiments import charts, record
from hyperllm.experiments import search as stage
from hyperllm.experiments.recipe import Recipe
from hyperllm.experiments.recipe import search as search_file
from hyperllm.experiments.search import Found, search
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.experiments.trial import Work
from hyperllm.frameworks.base import Framework
from hyperllm.training.report import Epoch, FitReport

SHORT = {"dim": 4, "batch_size": 512, "epochs": 4, "average": 0.0, "optimizer": "adam", "checkpoint_every_s": 0}
REQUEST = TrainRequest(framework="base", settings=SHORT)
SPACE = {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "margin": {"low": 0.1, "high": 2.0, "step": 0.1}}
TRIALS = 7


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


def comparable(found: Found) -> list[tuple[Any, ...]]:
    return [(t.settings, t.scores, t.ended) for t in found.trials]


def tuned(shop: Path, space: Mapping[str, Any] = SPACE, **options: Any) -> Found:
    return search(shop, REQUEST, space, **{"trials": TRIALS, "prune_at": 1, **options})


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared workspace; do not change it."""
    place = tmp_path_factory.mktemp("search") / "shop"
    prepare(place, read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    return place


@pytest.fixture
def shop(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "a shop?"))  # a name that an address would have to quote


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found, int]:
    """A workspace after an uninterrupted search, what that found, and how many epochs it took; do not change it."""
    place = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("whole") / "shop"))
    watcher = Watcher()
    return place, tuned(place, progress=watcher), len(watcher.seen)


def test_bad_trials_are_pruned_and_the_best_is_the_run(whole: tuple[Path, Found, int]) -> None:
    place, found, epochs = whole
    assert [t.ended for t in found.trials].count("epochs") >= stage.STARTUP
    assert found.trials[-1].ended == "pruned", "a world in which nothing is pruned tests too little"
    assert epochs == sum(t.epochs for t in found.trials)
    assert all(a.score >= b.score for a, b in pairwise(t for t in found.trials if t.finished))
    assert train(place, TrainRequest(framework="base", settings=found.trials[0].settings)).skipped
    assert [folder.name for folder in (place / "runs").iterdir()] == ["base"], "trials are left"
    assert not (place / "evaluations.jsonl").exists(), "the test part was looked at"


def test_what_is_trained_is_what_is_printed(whole: tuple[Path, Found, int]) -> None:
    for trial in whole[1].trials:
        assert {name: trial.settings[name] for name in SHORT} == SHORT
        assert all(len(f"{trial.settings[name]:g}") <= 9 for name in SPACE)


def test_the_importances_are_told_and_drawn(whole: tuple[Path, Found, int]) -> None:
    place, found, _ = whole
    assert set(found.importances) == set(found.searched) == set(SPACE)
    assert sum(found.importances.values()) == pytest.approx(1)
    assert list(found.importances.values()) == sorted(found.importances.values(), reverse=True)
    folder = place / "tunes" / "base"
    assert {path.name for path in folder.iterdir()} == {p.name for p in found.figures}
    assert {"history.svg", "history.png", "importance.svg", "importance.png"} == {p.name for p in found.figures}
    drawn = (folder / "importance.svg").read_text()
    assert all(name in drawn for name in SPACE)
    assert found.text().startswith("importance of settings: ")
    assert json.loads(json.dumps(found.document()))["settings"] == found.trials[0].settings


def test_a_repeated_search_trains_nothing_and_draws_the_same(whole: tuple[Path, Found, int], tmp_path: Path) -> None:
    place = Path(shutil.copytree(whole[0], tmp_path / "shop"))
    drawn = {path.name: path.read_bytes() for path in whole[1].figures}
    watcher = Watcher()
    found = tuned(place, progress=watcher)
    assert not watcher.seen
    assert comparable(found) == comparable(whole[1])
    assert {path.name: path.read_bytes() for path in found.figures} == drawn


@pytest.mark.parametrize("stop_after", [1, 6, 11, 16, 17, -1])
def test_an_interrupted_search_ends_as_an_uninterrupted_one(
    shop: Path, stop_after: int, whole: tuple[Path, Found, int]
) -> None:
    _, once, epochs = whole
    first, second = Watcher(stop_after=stop_after if stop_after > 0 else epochs), Watcher()
    with pytest.raises(KeyboardInterrupt):
        tuned(shop, progress=first)
    found = tuned(shop, progress=second)
    assert comparable(found) == comparable(once)
    assert len(first.seen) + len(second.seen) <= epochs + 1, "epochs were trained twice"


@pytest.mark.parametrize(
    ("owner", "name"), [(stage, "_ended"), (stage, "_importances"), (Work, "settle"), (charts, "history")]
)
def test_a_search_ended_between_two_trainings_loses_nothing(
    shop: Path, owner: Any, name: str, whole: tuple[Path, Found, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, once, epochs = whole

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    first, second = Watcher(), Watcher()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            tuned(shop, progress=first)
    assert comparable(tuned(shop, progress=second)) == comparable(once)
    assert len(first.seen) + len(second.seen) == epochs
    assert [folder.name for folder in (shop / "runs").iterdir()] == ["base"]


KILLED = """
import os, signal, sys
from pathlib import Path
from hyperllm.experiments.search import search
from hyperllm.experiments.train import TrainRequest

class Killer:
    seen = 0
    def step(self, *_): pass
    def epoch(self, *_):
        self.seen += 1
        if self.seen == 18:
            os.kill(os.getpid(), signal.SIGKILL)

request = TrainRequest(framework="base", settings={short!r})
search(Path(sys.argv[1]), request, {space!r}, trials=7, prune_at=1, progress=Killer())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_a_search_that_is_killed_goes_on_in_the_same_trial(shop: Path, whole: tuple[Path, Found, int]) -> None:
    code = KILLED.format(short=SHORT, space=SPACE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", code, shop], env=environment, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not list((shop / "tunes").glob("base/*"))
    watcher = Watcher()
    assert comparable(tuned(shop, progress=watcher)) == comparable(whole[1])
    assert len(watcher.seen) <= whole[2] - 18 + 1


def test_several_at_once_end_the_same_whichever_is_faster(prepared: Path, tmp_path: Path) -> None:
    shops = [Path(shutil.copytree(prepared, tmp_path / str(n))) for n in range(3)]
    found = [tuned(shop, pool=Several(last)) for shop, last in zip(shops, (False, True), strict=False)]
    with pytest.raises(KeyboardInterrupt):
        tuned(shops[2], pool=Several(last=True, stop_after=5))
    pool = Several(last=True)
    found.append(tuned(shops[2], pool=pool))
    assert comparable(found[0]) == comparable(found[1]) == comparable(found[2])
    assert len({tuple(t.settings.items()) for t in found[0].trials}) == TRIALS, "settings were tried twice"
    assert pool.most == 3


def test_one_at_a_time_elsewhere_is_the_search_of_one_process(shop: Path, whole: tuple[Path, Found, int]) -> None:
    assert comparable(tuned(shop, pool=Several(last=False, at_once=1))) == comparable(whole[1])


def test_more_trials_extend_a_search(shop: Path, whole: tuple[Path, Found, int]) -> None:
    tuned(shop, trials=2)
    tuned(shop, trials=5)
    assert comparable(tuned(shop)) == comparable(whole[1])
    assert comparable(tuned(shop, trials=2)) == comparable(whole[1]), "what was tried is told"


def test_a_run_that_was_taken_away_is_trained_again(whole: tuple[Path, Found, int], tmp_path: Path) -> None:
    place = Path(shutil.copytree(whole[0], tmp_path / "shop"))
    shutil.rmtree(place / "runs")
    assert comparable(tuned(place)) == comparable(whole[1])
    assert train(place, TrainRequest(framework="base", settings=whole[1].trials[0].settings)).skipped


def test_another_seed_or_space_or_other_data_is_another_search(shop: Path, raw: Path) -> None:
    one = tuned(shop, trials=1)
    assert one.remark.startswith("no importances")
    assert not list((shop / "tunes" / "base").glob("importance.*"))
    watcher = Watcher()
    search(shop, TrainRequest(framework="base", settings=SHORT, seed=1), SPACE, trials=1, progress=watcher)
    tuned(shop, {"margin": [0.5, 1.0]}, trials=1, progress=watcher)
    prepare(shop, read_table(raw / "clicks.csv", raw / "items.csv"), config=PrepareConfig(seed=7), source="table")
    other = tuned(shop, trials=1, progress=watcher)
    assert [number for _, number in watcher.seen] == 3 * [1, 2, 3, 4]
    assert other.trials[0].settings == one.trials[0].settings
    assert other.trials[0].made_from != one.trials[0].made_from


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_space_with_an_end_is_tried_once_each(shop: Path, sampler: str) -> None:
    space = {"margin": [0.5, 1.0], "negatives": {"low": 1, "high": 2}, "weight_decay": [0.0]}
    found = tuned(shop, space, sampler=sampler)
    tried = sorted((t.settings["margin"], t.settings["negatives"]) for t in found.trials)
    assert tried == [(0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]
    assert found.importances["weight_decay"] == 0


def test_a_trial_that_diverges_is_kept_and_the_search_goes_on(
    shop: Path, whole: tuple[Path, Found, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = whole[1].trials[0].settings["learning_rate"]
    losses = Framework.losses

    def broken(self: Framework, batch: Any) -> dict[str, Any]:
        fails = self.config.learning_rate == best and batch.epoch >= 3
        return {name: value * float("nan") if fails else value for name, value in losses(self, batch).items()}

    monkeypatch.setattr(Framework, "losses", broken)
    found = tuned(shop)
    assert len(found.trials) == TRIALS
    assert (found.trials[-1].ended, found.trials[-1].settings["learning_rate"]) == ("diverged", best)
    assert found.trials[0].finished


def test_a_search_in_which_all_diverge_says_so(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Framework.losses
    monkeypatch.setattr(
        Framework, "losses", lambda self, batch: {k: v * float("nan") for k, v in losses(self, batch).items()}
    )
    for _ in range(2):
        with pytest.raises(TrainingDiverged, match="every candidate"):
            tuned(shop, trials=2)


def test_hyperllm_is_judged_by_its_second_phase(prepared: Path, tmp_path: Path) -> None:
    from hyperllm.extraction.config import ExtractConfig
    from hyperllm.extraction.encode import embed
    from hyperllm.extraction.extract import extract

    shop = Path(shutil.copytree(prepared, tmp_path / "shop"))
    extract(shop, ExtractConfig(llm="keywords"))
    embed(shop, encoder="hash")
    request = TrainRequest(settings={**SHORT, "epochs": 2, "meta_epochs": 3, "meta_margin": 0.1, "margin": 1.0})
    found = search(shop, request, "paper", trials=2)
    assert set(found.searched) == {"experts", "tag_margin"}
    assert [t.epochs for t in found.trials] == [2, 2]
    only = search(shop, TrainRequest(variant="only-semantic", settings=SHORT | {"meta_epochs": 3}), trials=1)
    assert (only.run, only.trials[0].epochs) == ("hyperllm-only-semantic", 3)


def test_a_file_names_a_space(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("margin = [0.5, 1.0]\nlearning_rate = [0.01]\n")
    file = tmp_path / "cell.toml"
    file.write_text("""
record = "cell.json"
[tune]
space = "space.toml"
trials = 2
sampler = "random"
set = { dim = 4, epochs = 2 }
[train]
framework = "base"
run = "cell"
set = { dim = 8 }
""")
    said: list[str] = []
    trials = search_file(Recipe.read(file), workspace=shop, say=said.append)
    assert sorted(t.settings["margin"] for t in trials) == [0.5, 1.0]
    assert all(t.settings.items() >= {"dim": 4, "epochs": 2, "learning_rate": 0.01}.items() for t in trials)
    assert [t["settings"] for t in record.read(tmp_path / "cell.json")["trials"]] == [t.settings for t in trials]
    assert (shop / "runs" / "cell" / "model").is_dir()
    assert "importance" in said[-1]


@pytest.mark.parametrize(
    ("tune", "told"),
    [
        ('space = "papr"', "Did you mean 'paper'"),
        ("space = 3", "space is a name"),
        ('space = "none.toml"', "does not exist"),
        ("space = { margn = [1.0] }", "Did you mean 'margin'"),
        ('space = "paper"\ntrials = 0', "trials is a whole number"),
        ('space = "paper"\nsampler = "tep"', "Did you mean 'tpe'"),
        ('space = "paper"\nkeep = 2', "unknown key 'keep'"),
        ('space = "paper"\ncandidates = [{}]', "unknown key 'candidates'"),
    ],
)
def test_a_file_whose_space_is_wrong_is_refused_at_once(tmp_path: Path, tune: str, told: str) -> None:
    file = tmp_path / "cell.toml"
    file.write_text(f'[tune]\n{tune}\n[train]\nframework = "base"\n')
    with pytest.raises(ConfigError, match=told):
        Recipe.read(file)


def test_a_file_that_is_no_book_of_trials_is_told(shop: Path) -> None:
    (shop / "tunes").mkdir()
    (shop / "tunes" / "base.db").write_text("something else, longer than a header of SQLite, to be sure of it" * 20)
    with pytest.raises(Corrupt, match=r"base\.db.*Delete it"):
        tuned(shop)


def test_no_trials_are_no_search(shop: Path) -> None:
    with pytest.raises(ConfigError, match="at least one trial"):
        tuned(shop, trials=0)


@pytest.mark.parametrize("name", ["optuna", "matplotlib"])
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in ("search", "charts"):
        monkeypatch.delitem(sys.modules, f"hyperllm.experiments.{module}")
        monkeypatch.delattr(f"hyperllm.experiments.{module}")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'hyperllm\[paper\]'"):
        import_module("hyperllm.experiments.search")
