"""`run FILE.toml`: a table a stage, unknown keys refused, finished stages found done."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hyperllm.errors import ConfigError
from hyperllm.evaluation.ledger import recorded
from hyperllm.experiments.recipe import Recipe, run

WHOLE = """
workspace = "work"

[prepare]
interactions = "raw/clicks.csv"
items = "raw/items.csv"
core = 3
seed = 4

[extract]
llm = "keywords"

[embed]
encoder = "hash"

[[train]]
baseline = "popularity"

[[train]]
framework = "base"
set = { epochs = 2, batch_size = 512, dim = 8 }

[evaluate]
part = "test"
k = [5, 10]

[compare]
k = [5]

[recommend]
k = 3
out = "best.parquet"
"""


@pytest.fixture
def recipe(raw: Path, tmp_path: Path) -> Path:
    (tmp_path / "raw").symlink_to(raw)
    file = tmp_path / "shop.toml"
    file.write_text(WHOLE)
    return file


def test_all_stages_run_and_a_second_time_find_themselves_done(recipe: Path) -> None:
    said: list[str] = []
    run(Recipe.read(recipe), say=said.append)
    work = recipe.parent / "work"
    assert {"popularity", "base"} == {p.name for p in (work / "runs").iterdir()}
    best = pl.read_parquet(recipe.parent / "best.parquet")
    assert best.group_by("user_id").len()["len"].max() == 3
    assert any(line.startswith("base test: ") and "recall@5" in line for line in said)
    assert len(recorded(work)) >= 2

    stamps = {path: path.stat().st_mtime_ns for path in work.rglob("manifest.json") if "evaluations" not in str(path)}
    again: list[str] = []
    run(Recipe.read(recipe), say=again.append)
    assert sum("found done" in line for line in again) >= 2
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_the_workspace_given_wins_over_the_one_named(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(WHOLE.split("[extract]")[0])
    run(Recipe.read(recipe), workspace=tmp_path / "other", say=lambda _: None)
    assert (tmp_path / "other" / "split" / "manifest.json").exists()
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no stage"),
        ("x = [", "is not TOML"),
        ("[prepar]\ncore = 5", "unknown key 'prepar'.*Did you mean 'prepare'"),
        ('[train]\nframwork = "base"', "unknown key 'framwork'.*Did you mean 'framework'"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_runs(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        Recipe.read(file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('workspace = "w"\n[prepare]\ncore = 5', "needs one of interactions, amazon, published"),
        ('workspace = "w"\n[prepare]\ninteractions = "a.csv"\ncor = 5', "unknown key 'cor'"),
        ("[prepare]\ncore = 5", "names no workspace"),
    ],
)
def test_a_stage_that_cannot_run_says_why(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        run(Recipe.read(file), say=lambda _: None)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Recipe.read(tmp_path / "none.toml")
