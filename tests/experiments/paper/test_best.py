"""The best model: which runs its tables take, what they look at, what they compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, DataError
from hyperllm.experiments.paper.cells import Options, Study
from hyperllm.experiments.paper.command import complete, paper
from hyperllm.experiments.paper.measuring import Asked
from hyperllm.experiments.presets import BEST, PARTS
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.training.report import SELECTION

SHORT: dict[str, Any] = {"dim": 4, "batch_size": 512, "epochs": 2, "meta_epochs": 2, "average": 0.0}
SHORT |= {"checkpoint_every_s": 0, "linear_rank": 32}
HGCF = Asked(("hgcf",), (), ("popularity", "ease"))
silent = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Path:
    """A workspace whose best model was trained by hand, as `hyperllm train` does it."""
    folder = tmp_path_factory.mktemp("best") / "shop"
    prepare(folder, read_table(raw / "clicks.csv", raw / "items.csv"), source="table")
    complete(Workspace.opened(folder), say=silent, count=None, encoder="hash")
    by_hand(folder, "hgcf-best-only-semantic-0", variant="only-semantic")
    by_hand(folder, "hgcf-best-0", phase1=Path("run:hgcf-best-only-semantic-0"))
    return folder


def by_hand(shop: Path, run: str, settings: dict[str, Any] | None = None, **more: Any) -> None:
    request = TrainRequest(preset="best", settings={**SHORT, **(settings or {})}, run=run, device="cpu", **more)
    train(shop, request)


def study(shop: Path, **more: Any) -> Study:
    return Study(shop, Options(**{"settings": SHORT, "device": "cpu", **more}), silent)


def phase1(shop: Path, run: str) -> str:
    return artifacts.file_digest(shop / "runs" / run / "phase1.npz")


def looks(shop: Path) -> str:
    book = shop / "evaluations.jsonl"
    return book.read_text(encoding="utf-8") if book.exists() else ""


def values(path: Path, column: str, field: str = "value") -> dict[str, Any]:
    table = pl.read_csv(path).filter(pl.col("column") == column)
    return dict(table.select("name", field).iter_rows())


def test_what_was_trained_by_hand_is_found_done(shop: Path) -> None:
    found = study(shop, train=False)
    assert found.runs(("hgcf", "best")) == ["hgcf-best-0"]
    assert found.runs(("hgcf", "best-only-semantic")) == ["hgcf-best-only-semantic-0"]
    assert found.runs(("hgcf", "best-no-linear")) == []
    assert found.runs(("hgcf", "hyperllm")) == []


def test_a_part_is_the_best_model_but_for_its_settings(shop: Path) -> None:
    before = phase1(shop, "hgcf-best-only-semantic-0")
    assert study(shop).runs(("hgcf", "best-no-linear")) == ["hgcf-best-no-linear-0"]
    best, part = (artifacts.read(shop / "runs" / f"hgcf-{name}-0", RUN) for name in ("best", "best-no-linear"))
    changed = {key for key in best.config if best.config[key] != part.config[key]}
    assert changed == {"linear_expert"}
    assert part.inputs["phase1"] == best.inputs["phase1"] == before
    assert part.inputs["tags"] == best.inputs["tags"]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_changes_something_of_preset_best(name: str) -> None:
    part = PARTS[name]
    assert (name == "best") == (not part.settings and part.variant == "full")
    assert all(key.startswith("linear_") or BEST[key] != value for key, value in part.settings.items())


def test_settings_by_hand_win_over_those_of_a_part(shop: Path) -> None:
    asked = study(shop, settings={**SHORT, "linear_expert": True, "linear_share": 2.0})
    (run,) = asked.runs(("hrcf", "best-no-linear"))
    assert asked.config(run)["linear_expert"] is True
    assert asked.config(run)["linear_share"] == 2.0


def test_preset_and_backbone_cells_keep_their_own_phase_1(shop: Path) -> None:
    asked = study(shop)
    (run,) = asked.runs(("hgcf", "hyperllm"))
    assert artifacts.read(shop / "runs" / run, RUN).inputs["phase1"] == phase1(shop, "hgcf-only-semantic-0")
    lenders = {"hgcf-best-0": "hgcf-best-only-semantic-0", run: "hgcf-only-semantic-0"}
    told = {name: asked.phases(name)["phase 1"]["valid"] for name in (*lenders, *lenders.values())}
    assert told["hgcf-best-0"] != told[run]
    assert all(told[name] == told[lender] for name, lender in lenders.items())


def test_a_part_that_nobody_knows_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match=r"part of the best model 'best-no-linaer'.*best-no-linear"):
        study(shop).runs(("hgcf", "best-no-linaer"))


def test_validation_and_seconds_are_those_of_all_phases(shop: Path) -> None:
    asked = study(shop)
    phases = asked.phases("hgcf-best-0")
    assert list(phases) == ["phase 1", "phase 2", "phase 3"]
    assert asked.valid("hgcf-best-0") == {name: phases["phase 3"]["valid"][name] for name in SELECTION}
    first, second, third = phases.values()
    until_best = sum(phase["elapsed_s"] * phase["best_epoch"] / phase["epochs"] for phase in (first, second))
    assert asked.seconds("hgcf-best-0") == pytest.approx(until_best + third["elapsed_s"])


def test_parts_never_look_at_test_and_gain_over_the_best(shop: Path, tmp_path: Path) -> None:
    before = looks(shop)
    paper("parts", study(shop), HGCF, tmp_path)
    assert looks(shop) == before
    found, gain = (values(tmp_path / "parts.csv", "recall@20", field) for field in ("value", "gain"))
    assert list(found) == [*PARTS, "hyperllm", "linear"]
    assert None not in found.values()
    assert found["best"] == study(shop).valid("hgcf-best-0")["recall@20"]
    assert gain["best"] is None
    assert gain["best-no-linear"] == pytest.approx(found["best-no-linear"] / found["best"] - 1)
    assert "change against Best." in (tmp_path / "parts.md").read_text(encoding="utf-8")


def test_the_linear_expert_alone_is_a_score_that_nothing_else_reaches(shop: Path, tmp_path: Path) -> None:
    by_hand(shop, "loud", {"linear_share": 1e5}, phase1=Path("run:hgcf-best-only-semantic-0"))
    paper("parts", study(shop, train=False), HGCF, tmp_path)
    for name, value in study(shop).valid("loud").items():
        assert values(tmp_path / "parts.csv", name)["linear"] == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("target", ["best", "parts", "groups"])
def test_without_the_best_model_the_target_says_so(target: str, shop: Path, tmp_path: Path) -> None:
    before = looks(shop)
    with pytest.raises(DataError, match="HICF: not trained yet"):
        paper(target, study(shop, train=False), Asked(("hicf",), (), ("popularity",)), tmp_path)
    assert looks(shop) == before


def test_the_best_stands_beside_plain_rows_on_hgcf_alone(shop: Path, tmp_path: Path) -> None:
    paper("best", study(shop), Asked(plain=("popularity", "ease")), tmp_path)
    found = values(tmp_path / "best.csv", "recall@20")
    assert [name for name in found if name != "Best Imprv."] == ["base", "hyperllm", "best", "popularity", "ease"]
    told = (tmp_path / "best.md").read_text(encoding="utf-8")
    strongest = max(("popularity", "ease"), key=lambda name: found[name])
    assert f"Best on HGCF minus {'EASEᴿ' if strongest == 'ease' else 'Popularity'}, Recall@20:" in told
    assert f"Best on HGCF minus HyperLLM, Recall@20: {found['best'] - found['hyperllm']:+.4f}" in told
    assert values(tmp_path / "best.csv", "seconds")["best"] == pytest.approx(study(shop).seconds("hgcf-best-0"))


def test_groups_of_users_add_up_to_all_of_them(shop: Path, tmp_path: Path) -> None:
    asked = study(shop)
    paper("groups", asked, HGCF, tmp_path)
    table = pl.read_csv(tmp_path / "groups.csv").filter((pl.col("column") == "recall@20") & (pl.col("name") == "best"))
    labels = table["group"].to_list()
    assert [label[:2] for label in labels] == ["G1", "G2", "G3", "G4", "G5"]
    users = table["group"].str.extract(r"\((\d+) users\)").cast(pl.Int64)
    everyone = asked.table("hgcf-best-0")
    assert users.sum() == len(everyone)
    assert (table["value"] * users).sum() / users.sum() == pytest.approx(everyone["recall@20"].mean())
    assert "best of all" not in pl.read_csv(tmp_path / "groups.csv")["mark"].to_list()
