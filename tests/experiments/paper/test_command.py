"""Tables and figures from a workspace: what is trained, what is found done, what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, DataError, TrainingDiverged
from hyperllm.evaluation.compare import compare
from hyperllm.experiments.paper import cells, command
from hyperllm.experiments.paper.cells import Options, Study, each
from hyperllm.experiments.paper.command import complete, opened, paper
from hyperllm.experiments.paper.measuring import Asked
from hyperllm.experiments.paper.plain import tuned_settings
from hyperllm.experiments.paper.tables import PLAIN
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.testing.worlds import tree_world
from hyperllm.training.report import SELECTION, Epoch, FitReport

SHORT: dict[str, Any] = {"dim": 4, "batch_size": 512, "epochs": 2, "meta_epochs": 2, "average": 0.0}
SHORT["checkpoint_every_s"] = 0
FEW = Asked(("hgcf", "hgch"), ("base", "rlmrec-con", "hyperllm"), ("popularity", "ease-tags"))
silent = lambda text: None  # noqa: E731


class Watcher:
    """Counts epochs, and stops after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.epochs, self.stop_after = 0, stop_after

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """Nothing."""

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        self.epochs += 1
        if self.epochs == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "shop"
    prepare(folder, read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    complete(Workspace.opened(folder), say=silent, count=None, encoder="hash")
    return folder


def study(shop: Path, watcher: Watcher | None = None, **more: Any) -> Study:
    options = Options(**{"preset": "plain", "settings": SHORT, "device": "cpu", **more})
    return Study(shop, options, silent, watcher, "hyperllm paper")


def looks(shop: Path) -> list[dict[str, Any]]:
    book = shop / "evaluations.jsonl"
    return [json.loads(line) for line in book.read_text(encoding="utf-8").splitlines()] if book.exists() else []


def test_a_table_trains_its_cells_once_and_looks_at_test_once(shop: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    files = paper("table3", study(shop, watcher), FEW, tmp_path)
    assert watcher.epochs > 0
    assert {path.name for path in files} == {"table3.md", "table3.csv", "table3.tex", "table3.html"}
    found = pl.read_csv(tmp_path / "table3.csv").filter(pl.col("table") == "table3")
    measured = found.filter(pl.col("value").is_not_null() & (pl.col("name") != "Best Imprv."))
    rows = set(measured.select("group", "name").iter_rows())
    assert rows == {
        *((b, v) for b in FEW.backbones for v in ("base", "structural", "semantic", "hyperllm")),
        (PLAIN, "popularity"),
        (PLAIN, "ease-tags"),
    }
    seen = looks(shop)
    assert len(seen) == len(rows)
    assert all(look["command"] == "hyperllm paper" for look in seen)

    again = Watcher()
    paper("table3", study(shop, again), FEW, tmp_path)
    assert again.epochs == 0
    assert looks(shop) == seen
    assert pl.read_csv(tmp_path / "table3.csv").filter(pl.col("table") == "table3").equals(found)


def test_what_is_not_trained_is_said_and_not_trained(shop: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    paper("table4", study(shop, watcher, train=False), Asked(("hrcf",), FEW.frameworks, ()), tmp_path)
    assert watcher.epochs == 0
    assert "not trained yet" in (tmp_path / "table4.md").read_text(encoding="utf-8")


def test_interrupted_it_goes_on_and_ends_the_same(shop: Path, tmp_path: Path) -> None:
    asked = Asked(("hicf",), ("base", "kar", "hyperllm"), ())
    with pytest.raises(KeyboardInterrupt):
        paper("table4", study(shop, Watcher(stop_after=3)), asked, tmp_path)
    rest = Watcher()
    paper("table4", study(shop, rest), asked, tmp_path)
    assert rest.epochs == 2 + 2 + 2 + 2 - 3, "base, KAR, phase 1 and phase 2 have two epochs each"
    table = pl.read_csv(tmp_path / "table4.csv")
    seconds = table.filter(
        (pl.col("column") == "seconds") & (pl.col("group") == "hicf") & (pl.col("name") == "hyperllm")
    )["value"][0]
    phases = study(shop).phases("hicf-hyperllm-0")
    assert list(phases) == ["phase 1", "phase 2"]
    spent = [phase["elapsed_s"] * phase["best_epoch"] / phase["epochs"] for phase in phases.values()]
    assert seconds == pytest.approx(sum(spent))


def test_more_seeds_make_a_spread_and_stay_in_the_table(shop: Path, tmp_path: Path) -> None:
    asked = Asked(("hgcf",), ("base", "hyperllm"), ())
    for seeds in (2, 1):
        paper("table4", study(shop, seeds=seeds), asked, tmp_path)
        table = pl.read_csv(tmp_path / "table4.csv").filter(
            (pl.col("column") == "recall@20") & (pl.col("group") == "hgcf") & pl.col("name").is_in(["base", "hyperllm"])
        )
        assert table["seeds"].to_list() == [2, 2]
        assert table["std"].null_count() == 0


def test_a_run_of_other_settings_is_not_taken_for_the_cell(shop: Path) -> None:
    first = study(shop).runs(("hgcf", "base"))
    other = study(shop, settings={**SHORT, "margin": 0.7}, train=False)
    assert first
    assert other.runs(("hgcf", "base")) == []


def diverge(monkeypatch: pytest.MonkeyPatch, epoch: int, **which: str) -> None:
    """Let the trainings whose request has these values diverge in ``epoch``."""
    real = cells.train

    def some(workspace: Path, request: Any, **more: Any) -> Any:
        if all(getattr(request, name) == value for name, value in which.items()):
            raise TrainingDiverged(epoch, "rank")
        return real(workspace, request, **more)

    monkeypatch.setattr(cells, "train", some)


def test_a_cell_that_diverges_is_reported_and_the_others_go_on(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverge(monkeypatch, 3, backbone="lgcf")
    runs, missing = each(study(shop), [("lgcf", "base"), ("hgcf", "base")])
    assert missing == {("lgcf", "base"): "diverged in epoch 3"}
    assert list(runs) == [("hgcf", "base")]


def test_without_meta_is_the_better_of_two_by_validation(shop: Path) -> None:
    asked = study(shop)
    (chosen,) = asked.runs(("hgcf", "no-meta"))
    both = {name: sum(asked.valid(name).values()) for name in ("hgcf-no-meta-0", "hgcf-no-meta-trained-0")}
    assert chosen == max(both, key=lambda name: both[name])
    settings = {name: artifacts.read(shop / "runs" / name, RUN).config["semantics_trainable"] for name in both}
    assert settings == {"hgcf-no-meta-0": False, "hgcf-no-meta-trained-0": True}


@pytest.mark.parametrize("name", ["figure2", "figure3", "figure4", "figure5", "table1", "table2"])
def test_every_other_target_is_written(name: str, shop: Path, tmp_path: Path) -> None:
    files = paper(name, study(shop), replace(FEW, backbones=("hgcf",)), tmp_path)
    endings = {path.suffix for path in files if path.stem == name}
    assert endings == (
        {".png", ".svg", ".csv", ".html"} if name.startswith("figure") else {".md", ".csv", ".tex", ".html"}
    )
    assert all(path.stat().st_size for path in files)


def test_all_of_it_is_one_page(shop: Path, tmp_path: Path) -> None:
    paper("all", study(shop), replace(FEW, backbones=("hgcf",)), tmp_path)
    told = (tmp_path / "results.md").read_text(encoding="utf-8")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    headings = {
        "beyond": "Beyond accuracy",
        "best": "The best model beside every plain one",
        "parts": "What each part of the best model adds",
        "groups": "The best model by how much users clicked",
    }
    for name in command.TARGETS:
        assert f"## {headings.get(name, f'{name[:-1].capitalize()} {name[-1]}.')}" in told
        assert f'id="{name}"' in page
    assert "HyperLLM adds" in told


def test_a_folder_of_another_data_set_needs_nothing_else(tmp_path: Path) -> None:
    planted = tree_world(depth=2, seed=3)
    source = tmp_path / "published"
    source.mkdir()
    split = planted.split
    for part in ("train", "valid", "test"):
        pairs = getattr(split, part)
        frame = pl.DataFrame({"user_id": pairs.user.tolist(), "item_id": pairs.item.tolist()})
        frame.write_csv(source / f"{part}.tsv", separator="\t")
    count = len(split.items)
    items = pl.DataFrame(
        {
            "item_id": range(count),
            "title": [""] * count,
            "categories": [f"Shop > Shelf {n % 5} > Box {n}" for n in range(count)],
        }
    )
    items.write_csv(source / "items.tsv", separator="\t")
    workspace, out = opened(None, source, tmp_path / "out", say=silent)
    complete(Workspace.opened(workspace), say=silent, count=None, encoder="hash")
    paper("table3", study(workspace), replace(FEW, backbones=("hgcf",)), out)
    assert "HGCF" in (out / "table3.md").read_text(encoding="utf-8")


def test_a_workspace_and_a_folder_at_once_are_refused(tmp_path: Path) -> None:
    for given in ((None, None), (tmp_path, tmp_path)):
        with pytest.raises(ConfigError, match="a workspace, or --published"):
            opened(*given, None, say=silent)


def test_stars_are_of_comparisons_with_the_base(shop: Path, tmp_path: Path) -> None:
    asked = study(shop)
    paper("table4", asked, Asked(("hgcf",), ("base", "hyperllm"), ()), tmp_path)
    tables = {v: [asked.table(run) for run in asked.runs(("hgcf", v))] for v in ("base", "hyperllm")}
    expected = compare(tables, metrics=SELECTION, reference="base").cell("hyperllm", "recall@20")
    found = pl.read_csv(tmp_path / "table4.csv").filter(
        (pl.col("table") == "table4") & (pl.col("name") == "hyperllm") & (pl.col("column") == "recall@20")
    )
    others = Asked(("hgcf",), ("base", "rlmrec-con", "hyperllm"), ())
    assert found["low"][0] == pytest.approx(expected.low)
    assert len(found) == 1
    paper("table4", asked, others, tmp_path)
    told = (tmp_path / "table4.md").read_text(encoding="utf-8")
    assert "HGCF with HyperLLM minus RLMRec-Con, Recall@20:" in told


def test_figure_4_keeps_base_and_hyperllm_apart(shop: Path, tmp_path: Path) -> None:
    asked = study(shop)
    paper("figure4", asked, replace(FEW, backbones=("hgcf",)), tmp_path)
    told = pl.read_csv(tmp_path / "figure4.csv")
    for variant in ("base", "hyperllm"):
        own = told.filter(pl.col("variant") == variant)
        users = pl.concat([asked.table(run) for run in asked.runs(("hgcf", variant))])
        mean = (own["recall@20"] * own["users"]).sum() / own["users"].sum()
        assert mean == pytest.approx(users["recall@20"].mean())


def test_figure_3_counts_the_steps_of_phase_1(shop: Path, tmp_path: Path) -> None:
    asked = study(shop)
    paper("figure3", asked, replace(FEW, backbones=("hgcf",)), tmp_path)
    told = pl.read_csv(tmp_path / "figure3.csv").filter(pl.col("epoch") == 1)
    steps = {row["variant"]: row["steps"] for row in told.iter_rows(named=True)}
    assert steps["hyperllm"] == steps["base"] + SHORT["meta_epochs"] * steps["base"]
    history = asked.history(asked.runs(("hgcf", "base"))[0])
    base = told.filter(pl.col("variant") == "base")
    assert base["recall@20"][0] == pytest.approx(history["recall@20"][0])


def test_a_run_counts_where_it_was_at_least_as_patient(shop: Path) -> None:
    def found(patience: int, *, train: bool = False) -> list[str]:
        settings = {**SHORT, "margin": 0.9, "patience": patience}
        return study(shop, settings=settings, train=train).runs(("lhgcn", "base"))

    found(7, train=True)
    assert found(5)
    assert found(7)
    assert not found(8)


def test_the_best_candidate_of_a_baseline_is_taken_and_found_again(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ease = cells.BASELINES["ease"]
    searches: list[str] = []

    def told(grid: list[dict[str, Any]], **more: Any) -> Any:
        monkeypatch.setitem(cells.BASELINES, "ease", replace(ease, grid=grid))
        return tuned_settings(study(shop).place, "ease", tags=None, search=True, say=searches.append)

    grid = [{"regularisation": 50.0}, {"regularisation": 1e9}]
    assert told(grid) == {"regularisation": 50.0}
    assert told(grid[::-1]) == {"regularisation": 50.0}, "another grid is searched anew"
    assert told(grid[::-1]) == {"regularisation": 50.0}
    assert len(searches) == 2
    (shop / "tunes" / "ease.json").write_text("{", encoding="utf-8")
    assert told(grid) == {"regularisation": 50.0}
    assert len(searches) == 3


def test_a_cell_that_cannot_be_made_says_why_and_costs_no_other(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(split: Any, config: Any) -> Any:
        raise DataError("the catalogue is too large. Raise max_items")

    monkeypatch.setitem(cells.BASELINES, "ease", replace(cells.BASELINES["ease"], train=fails, grid=({},)))
    paper("table3", study(shop), Asked(("hgcf",), (), ("popularity", "ease")), tmp_path)
    told = (tmp_path / "table3.md").read_text(encoding="utf-8")
    assert "the catalogue is too large" in told
    assert "Popularity" in told


def test_a_target_that_cannot_be_made_costs_no_other(shop: Path, tmp_path: Path) -> None:
    files = paper("all", study(shop, train=False), Asked(("lightgcn",), ("base",), ()), tmp_path)
    assert {"table1.md", "table4.md", "report.html", "results.md"} <= {path.name for path in files}
    assert not (tmp_path / "figure5.png").exists()


def test_points_of_flat_space_are_no_tree(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="LightGCN has none"):
        paper("figure5", study(shop), Asked(("lightgcn",), (), ()), tmp_path)


def test_one_diverging_half_does_not_lose_the_other(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverge(monkeypatch, 1, run="hrcf-no-meta-trained-0")
    assert study(shop).runs(("hrcf", "no-meta")) == ["hrcf-no-meta-0"]


def test_items_without_words_or_categories_leave_what_needs_no_tags(tmp_path: Path) -> None:
    planted = tree_world(depth=2, seed=3)
    source = tmp_path / "bare"
    source.mkdir()
    for part in ("train", "valid", "test"):
        pairs = getattr(planted.split, part)
        pl.DataFrame({"user_id": pairs.user, "item_id": pairs.item}).write_csv(source / f"{part}.tsv", separator="\t")
    items = pl.DataFrame({"item_id": range(len(planted.split.items))}).with_columns(title=pl.lit(""))
    items.write_csv(source / "items.tsv", separator="\t")
    workspace, out = opened(None, source, tmp_path / "out", say=silent)
    told: list[str] = []
    complete(Workspace.opened(workspace), say=told.append, count=None, encoder="hash")
    assert any("no tags" in text for text in told)
    paper("table3", replace(study(workspace), name="bare"), replace(FEW, backbones=("hgcf",)), out)
    table = pl.read_csv(out / "table3.csv").filter((pl.col("group") == "hgcf") & (pl.col("column") == "recall@20"))
    measured = dict(table.select("name", "value").iter_rows())
    assert measured["base"] is not None
    assert measured["structural"] is None
    assert "HyperLLM on bare" in (out / "table3.html").read_text(encoding="utf-8")


def test_beyond_accuracy_is_that_of_the_lists(shop: Path, tmp_path: Path) -> None:
    asked = study(shop)
    paper("beyond", asked, Asked(("hgcf",), (), ("popularity",)), tmp_path)
    found = pl.read_csv(tmp_path / "beyond.csv").filter(pl.col("column") == "coverage@20")
    values = {row["name"]: row["value"] for row in found.iter_rows(named=True)}
    split = asked.place.split()
    model = asked.model("popularity")
    train = split.train.matrix(len(split.users), len(split.items))
    lists = model.topk(np.arange(len(split.users)), 20, mask=train).items
    assert values["popularity"] == pytest.approx(len(np.unique(lists)) / len(split.items))
    assert values["popularity"] < values["base"]
