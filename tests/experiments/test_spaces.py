"""Spaces name real settings, and what is written wrong is told before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperllm.backbones import BACKBONES
from hyperllm.errors import ConfigError
from hyperllm.experiments.spaces import PAPER, SPACES, Choice, Range, chosen
from hyperllm.experiments.train import TrainRequest
from hyperllm.frameworks import FRAMEWORKS

BASE = TrainRequest(framework="base")


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("name", "framework"), [(n, f) for n, s in SPACES.items() for f in s if "/" not in f])
def test_every_space_names_real_settings_and_values(name: str, framework: str, backbone: str) -> None:
    if framework not in FRAMEWORKS:
        pytest.skip("not there yet")
    space = chosen(TrainRequest(framework=framework, backbone=backbone), name)
    written = SPACES[name][framework]
    assert set(space) == set(written)


@pytest.mark.parametrize("name", SPACES)
def test_what_goes_over_a_space_belongs_to_it(name: str) -> None:
    for both in (key for key in SPACES[name] if "/" in key):
        framework, backbone = both.split("/")
        assert backbone in BACKBONES
        assert set(SPACES[name][both]) <= set(SPACES[name][framework])


def test_the_papers_grids() -> None:
    space = chosen(TrainRequest(backbone="hgcf", framework="hyperllm"), "paper")
    assert {name: list(values.values or ()) for name, values in space.items()} == {
        "experts": [12, 16, 20],
        "meta_margin": [0.1, 0.2, 0.3, 0.4, 0.5],
        "margin": [round(0.1 * k, 1) for k in range(1, 41)],
        "tag_margin": [round(0.1 * k, 1) for k in range(1, 11)],
    }
    assert chosen(BASE, "paper") == {"margin": Range(0.1, 4.0, 0.1)}
    assert chosen(TrainRequest(backbone="hgch", framework="hyperllm"), "paper")["margin"] == Range(0.1, 8.1, 0.1)


@pytest.mark.parametrize(
    ("given", "searched"),
    [
        ({"variant": "structural"}, {"margin", "tag_margin"}),
        ({"variant": "semantic"}, {"experts", "meta_margin", "margin"}),
        ({"variant": "only-semantic"}, {"experts", "meta_margin"}),
        ({"variant": "no-meta"}, {"experts", "margin", "tag_margin"}),
        ({"phase1": Path("run:other")}, {"margin", "tag_margin"}),
        ({"settings": {"margin": "1.0", "experts": "12"}}, {"meta_margin", "tag_margin"}),
    ],
)
def test_what_is_given_or_has_no_effect_is_not_searched(given: dict[str, Any], searched: set[str]) -> None:
    assert set(chosen(TrainRequest(framework="hyperllm", **given), "paper")) == searched


def test_the_notation_also_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("""
margin = { low = 0.1, high = 0.4, step = 0.1 }
negatives = { low = 1, high = 4 }
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["adam", "sgd"]
""")
    space = chosen(BASE, str(file))
    assert space == {
        "margin": Range(0.1, 0.4, 0.1),
        "negatives": Range(1, 4),
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "optimizer": Choice(("adam", "sgd")),
    }
    assert space["margin"].values == [0.1, 0.2, 0.3, 0.4]
    assert list(space["negatives"].values or ()) == [1, 2, 3, 4]
    assert space["learning_rate"].values is None
    assert space["learning_rate"].plain(0.0031622776601683794) == 0.003162
    assert space["margin"].plain(0.30000000000000004) == 0.3


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("papr", "Did you mean 'paper'"),
        ("none.toml", "does not exist"),
        ({"experts": [12, 16]}, "unknown setting 'experts'; there are .*margin"),
        ({"margn": [1.0]}, "Did you mean 'margin'"),
        ({"margin": [-1.0, 1.0]}, "setting 'margin'"),
        ({"optimizer": ["adam", "sdg"]}, "setting 'optimizer'"),
        ({"negatives": {"low": 0, "high": 3}}, "setting 'negatives'"),
        ({"margin": 1.0}, "list of different values"),
        ({"margin": []}, "list of different values"),
        ({"margin": [1.0, 1.0]}, "list of different values"),
        ({"margin": [[1.0]]}, "list of different values"),
        ({"margin": {"low": 1.0}}, "from a low to a greater high"),
        ({"margin": {"low": 1.0, "high": 1.0}}, "from a low to a greater high"),
        ({"margin": {"low": 1.0, "high": float("nan")}}, "from a low to a greater high"),
        ({"margin": {"low": "a", "high": 1.0}}, "low is a number"),
        ({"margin": {"low": 0.1, "high": 1.0, "log": 1}}, "log is true or false"),
        ({"margin": {"low": 0.1, "high": 1.0, "stp": 0.1}}, "Did you mean 'step'"),
        ({"margin": {"low": 0.0, "high": 1.0, "log": True}}, "log needs a low above 0"),
        ({"margin": {"low": 0.1, "high": 1.0, "log": True, "step": 0.1}}, "no step"),
        ({"margin": {"low": 0.1, "high": 1.0, "step": 0.2}}, "steps from low must come to high"),
        ({"margin": {"low": 0.1, "high": 1.0, "step": 0.0}}, "steps from low must come to high"),
        ({}, "nothing to search"),
    ],
)
def test_a_space_that_cannot_be_searched_says_why(space: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        chosen(BASE, space)


def test_a_file_that_is_not_toml_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("margin = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        chosen(BASE, str(tmp_path / "mine.toml"))


def test_a_framework_without_a_space_is_told_which_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRAMEWORKS, "new", FRAMEWORKS["base"])
    with pytest.raises(ConfigError, match=r"has base, hyperllm, .*not 'new'; write one in a \.toml file"):
        chosen(TrainRequest(framework="new"), "paper")


def test_a_space_whose_settings_are_all_given_leaves_nothing() -> None:
    with pytest.raises(ConfigError, match="leaves nothing to search"):
        chosen(TrainRequest(framework="base", settings={"margin": 1.0}), "paper")


def test_a_grid_has_an_end() -> None:
    with pytest.raises(ConfigError, match="a grid needs a step or a list for 'margin'"):
        chosen(BASE, {"margin": {"low": 0.1, "high": 1.0}}, sampler="grid")
    assert chosen(BASE, "paper", sampler="grid")


def test_a_sampler_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'grid'"):
        chosen(BASE, "paper", sampler="gird")


def test_a_baseline_has_nothing_to_search() -> None:
    with pytest.raises(ConfigError, match="baseline"):
        chosen(TrainRequest(baseline="ease"), "paper")


def test_the_spaces_of_rivals_are_the_published_grids() -> None:
    sizes = dict.fromkeys(PAPER, 1)
    for name, space in PAPER.items():
        for values in space.values():
            sizes[name] *= len(values) if isinstance(values, list) else 1
    assert (sizes["rlmrec-con"], sizes["rlmrec-gen"], sizes["herec"]) == (12, 27, 9)


def test_the_page_on_tuning_tells_the_papers_space() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    told = {line.split("|")[1]: line for line in page.splitlines() if line.startswith("| `")}
    for framework in (name for name in PAPER if "/" not in name):
        (row,) = (line for names, line in told.items() if f"`{framework}`" in names)
        for name, values in PAPER[framework].items():
            ends = (values["low"], values["high"]) if isinstance(values, dict) else values
            assert f"`{name}`" in row
            assert all(f" {value:f}".rstrip("0").rstrip(".") in row for value in ends), (framework, name)
