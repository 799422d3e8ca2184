"""Tables and figures from a workspace: what is trained, what is found done, what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, TrainingDiverged
from hyperllm.experiments.paper import cells, command
from hyperllm.experiments.paper.cells import Options, Study, each
from hyperllm.experiments.paper.command import Asked, complete, opened, paper
from hyperllm.experiments.paper.tables import PLAIN
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.testing.worlds import tree_world
from hyperllm.training.report import Epoch, FitReport

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
    assert seconds == pytest.approx(sum(phase["elapsed_s"] for phase in phases.values()))


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


def test_a_cell_that_diverges_is_reported_and_the_others_go_on(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cells.train

    def some(workspace: Path, request: Any, **more: Any) -> Any:
        if request.backbone == "lgcf":
            raise TrainingDiverged(3, "rank")
        return real(workspace, request, **more)

    monkeypatch.setattr(cells, "train", some)
    runs, missing = each(study(shop), [("lgcf", "base"), ("hgcf", "base")])
    assert missing == {("lgcf", "base"): "diverged in epoch 3"}
    assert list(runs) == [("hgcf", "base")]


def test_without_meta_is_the_better_of_two_by_validation(shop: Path) -> None:
    asked = study(shop)
    (chosen,) = asked.runs(("hgcf", "no-meta"))
    both = {name: asked.valid(name) for name in ("hgcf-no-meta-0", "hgcf-no-meta-trained-0")}
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
    for name in command.TARGETS:
        kind, number = name[:-1].capitalize(), name[-1]
        assert f"## {kind} {number}." in told
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
