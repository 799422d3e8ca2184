"""The demo: whole, honest, repeatable, and done the second time. The report stands on its own."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperllm import artifacts
from hyperllm.data.sources.planted import ShopConfig
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError
from hyperllm.evaluation.ledger import recorded
from hyperllm.experiments import demo as module
from hyperllm.experiments.demo import RUNS, DemoResult, best_regularisation, demo, shown_users
from hyperllm.serving.recommender import Recommender
from hyperllm.testing.worlds import checkerboard_world

SMALL = ShopConfig(users=300, items=150, clicks=12)


def _quick() -> dict[str, Any]:
    return {name: {**settings, "epochs": 8, "dim": 16} for name, settings in module.SETTINGS.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, list[str]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SETTINGS", _quick())
        result = demo(tmp_path_factory.mktemp("demo") / "shop", encoder="hash", say=said.append, shop=SMALL)
    return result, said


def test_four_models_are_measured_against_hyperllm(made: tuple[DemoResult, list[str]]) -> None:
    result, said = made
    assert result.comparison.runs == RUNS
    assert result.comparison.reference == "hyperllm"
    for run in RUNS[1:]:
        cell = result.comparison.cell(run, "recall@20")
        assert cell.low is not None
        assert cell.high is not None
        assert cell.low <= (cell.difference or 0.0) <= cell.high
    assert any("the best on validation" in line for line in said)
    document = result.document()
    assert len(document["models"]) == len(RUNS) * 4


def test_learning_beats_popularity_by_far(made: tuple[DemoResult, list[str]]) -> None:
    cells = {run: made[0].comparison.cell(run, "recall@20").mean for run in RUNS}
    assert cells["hyperllm"] > 2 * cells["popularity"]
    assert cells["base"] > 1.5 * cells["popularity"]


def test_recommendations_are_new_to_the_user_and_have_reasons(made: tuple[DemoResult, list[str]]) -> None:
    result, _ = made
    shop = Recommender.load(result.workspace / "runs" / "hyperllm")
    user = result.recommendations[0].user_id
    seen = set(shop.items.take(shop.model.seen[int(shop.users.rows([user])[0])].indices))
    assert len(result.recommendations) == 5
    assert not seen & set(result.recommendations.item_ids)
    assert all(row.reasons is not None and row.reasons.nearest for row in result.recommendations)
    assert any(row.reasons is not None and row.reasons.tag_path for row in result.recommendations)


def test_each_look_at_the_test_part_is_recorded_once(made: tuple[DemoResult, list[str]]) -> None:
    looks = recorded(made[0].workspace)
    assert sorted(look["run"] for look in looks) == sorted(RUNS)
    assert {look["command"] for look in looks} == {"hyperllm demo"}


def test_a_second_call_finds_everything_done(
    made: tuple[DemoResult, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = made
    monkeypatch.setattr(module, "SETTINGS", _quick())
    stamps = {path: path.stat().st_mtime_ns for path in result.workspace.rglob(artifacts.MANIFEST)}
    said: list[str] = []
    again = demo(result.workspace, encoder="hash", say=said.append, shop=SMALL)
    assert again.comparison == result.comparison
    assert stamps == {path: path.stat().st_mtime_ns for path in result.workspace.rglob(artifacts.MANIFEST)}
    assert sum("found done" in line for line in said) == len(RUNS) + 2
    assert len(recorded(result.workspace)) == len(RUNS)


def test_somebody_elses_workspace_is_left_alone(tmp_path: Path) -> None:
    checkerboard_world().save(tmp_path / "split", config={}, inputs={})
    with pytest.raises(ConfigError, match="no demo made"):
        demo(tmp_path, encoder="hash", say=lambda _: None, shop=SMALL)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("wrong", [{"encoder": "hsh"}, {"llm": "keyword"}])
def test_unknown_names_are_refused_before_any_work(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="Did you mean"):
        demo(tmp_path / "shop", say=lambda _: None, shop=SMALL, **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "shop").exists()


def test_users_are_drawn_from_the_seed_alone() -> None:
    split = checkerboard_world()
    assert shown_users(split, seed=3) == shown_users(split, seed=3)
    assert shown_users(split, seed=3) != shown_users(split, seed=4)
    assert len(set(shown_users(split))) == 5


def test_regularisation_is_chosen_without_the_test_part() -> None:
    split = checkerboard_world()
    shuffled = np.random.default_rng(0).permutation(split.test.item)
    other: Split = replace(split, test=replace(split.test, item=shuffled))
    assert best_regularisation(split) == best_regularisation(other)
    assert best_regularisation(split) in module.REGULARISATIONS


class _Reader(HTMLParser):
    """Collects tags and attributes, and insists that every element is closed in order."""

    EMPTY = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def page(made: tuple[DemoResult, list[str]]) -> _Reader:
    reader = _Reader()
    reader.feed(made[0].report.read_text(encoding="utf-8"))
    return reader


def test_the_report_is_well_formed_and_asks_nobody_for_anything(
    page: _Reader, made: tuple[DemoResult, list[str]]
) -> None:
    assert page.open == []
    assert not [tag for tag, _ in page.seen if tag in {"script", "link", "img", "iframe"}]
    assert not [name for _, attrs in page.seen for name in attrs if name in {"src", "href"}]
    assert "url(" not in made[0].report.read_text(encoding="utf-8")


def test_the_report_tells_numbers_curves_groups_and_people(page: _Reader, made: tuple[DemoResult, list[str]]) -> None:
    text = " ".join(page.text)
    for run in RUNS:
        assert f"{made[0].comparison.cell(run, 'recall@20').mean:.4f}" in text
    drawings = [attrs for tag, attrs in page.seen if tag == "svg"]
    assert len(drawings) == 3
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    assert len([tag for tag, _ in page.seen if tag == "polyline"]) == 3
    assert len([tag for tag, _ in page.seen if tag == "article"]) == 5
    assert made[0].recommendations[0].title in text
    assert re.search(r"looked at 4 times", text)


def test_the_report_serves_readers_of_every_kind(page: _Reader) -> None:
    assert ("html", {"lang": "en"}) in page.seen
    assert any(attrs.get("name") == "viewport" for tag, attrs in page.seen if tag == "meta")
    style = "".join(page.text)
    assert "prefers-color-scheme: dark" in style
    headers = [attrs for tag, attrs in page.seen if tag == "th"]
    assert headers
    assert all(attrs.get("scope") in {"row", "col"} for attrs in headers)
