"""Every experiment file can be read, names its target, and chose what its committed record says was best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperllm.experiments import record
from hyperllm.experiments.paper import facts
from hyperllm.experiments.presets import PRESETS, TUNED
from hyperllm.experiments.recipe import Recipe
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.tune import MOST
from hyperllm.frameworks import FRAMEWORKS

ROOT = Path(__file__).parent.parent / "experiments"
FILES = sorted(ROOT.glob("*/*.toml"))
RECORDS = sorted(ROOT.glob("results/*/*.json"))
RIVALS = set(FRAMEWORKS) - {"base", "hyperllm"}


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLLM_DATA", "/data")


def canonical(settings: Any) -> str:
    """Equal for equal settings, in whatever order they were written."""
    return json.dumps(settings, sort_keys=True)


def by_name(paths: list[Path]) -> Any:
    return pytest.mark.parametrize("path", paths, ids=lambda path: f"{path.parent.name}-{path.stem}")


def the_request(recipe: Recipe) -> TrainRequest:
    """What the runs of a file share: they differ in their seeds only."""
    first, *rest = recipe.tables()[-1]
    assert all(r.settings == first.settings and r.seed != first.seed for r in rest)
    return first


@by_name(FILES)
def test_an_experiment_is_legal_and_names_its_target(path: Path) -> None:
    recipe = Recipe.read(path)
    request = the_request(recipe)
    assert "evaluate" in recipe.stages
    assert recipe.record == path.parent / "../results" / path.parent.name / f"{path.stem}.json"
    assert request.preset == "plain", "a preset that moves would move the experiment"
    told = facts.table4("beauty") if request.framework in RIVALS else facts.table3("beauty")
    of_paper = told.get((str(request.backbone), str(request.variant or request.framework)), {})
    assert recipe.published == {name: value for name, value in of_paper.items() if name != "seconds"}


@by_name(FILES)
def test_the_chosen_settings_won_the_search(path: Path) -> None:
    recipe = Recipe.read(path)
    if "tune" not in recipe.stages:
        pytest.skip("a file without a search")
    candidates = recipe.candidates()
    assert len(candidates) <= MOST
    chosen = dict(the_request(recipe).settings)
    assert chosen in candidates
    assert recipe.record is not None
    trials = record.read(recipe.record).get("trials", [])
    assert sorted(map(canonical, (t["settings"] for t in trials))) == sorted(map(canonical, candidates))
    finished = [t for t in trials if t["ended"] not in ("pruned", "diverged")]
    assert max(finished, key=lambda t: t["score"])["settings"] == chosen
    assert max(trials, key=lambda t: t["score"])["score"] == max(t["score"] for t in finished)


@by_name(RECORDS)
def test_a_record_belongs_to_its_file(path: Path) -> None:
    recipe = Recipe.read(ROOT / path.parent.name / f"{path.stem}.toml")
    kept, request = record.read(path), the_request(recipe)
    assert {run["seed"] for run in kept["runs"]} == {r.seed for r in recipe.tables()[-1]}
    assert {run["run"] for run in kept["runs"]} == {r.run for r in recipe.tables()[-1]}
    assert all(run["part"] == "test" and run["mask"] == "train" for run in kept["runs"])
    wanted = {"backbone": request.backbone, "framework": request.framework, **request.settings}
    assert {key: kept["config"][key] for key in wanted} == {k: None if v == "none" else v for k, v in wanted.items()}
    assert kept["published"] == recipe.published


@by_name([path for path in FILES if path.stem.partition("-")[2] in RIVALS])
def test_a_rival_is_trained_by_default_as_its_experiments_are(path: Path) -> None:
    request = the_request(Recipe.read(path))
    usual = PRESETS["default"].chosen(str(request.backbone), str(request.framework))
    assert {**usual, "patience": 20} == request.settings


@pytest.mark.parametrize("backbone", TUNED)
def test_what_train_does_by_default_is_what_an_experiment_chose(backbone: str) -> None:
    for framework, settings in TUNED[backbone].items():
        recipe = Recipe.read(ROOT / "beauty" / f"{backbone}-{framework}.toml")
        assert the_request(recipe).settings == settings
