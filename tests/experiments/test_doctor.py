"""`doctor` sees what is whole, what is unfinished and what is broken, and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.experiments.doctor import examine, inspect
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.extraction.extract import extract


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("doctor") / "work"
    prepare(work, read_table(raw / "clicks.csv", raw / "items.csv"), config=PrepareConfig(core=3))
    extract(work)
    train(work, TrainRequest(baseline="popularity"))
    return work


@pytest.fixture
def work(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "work"))


def _states(work: Path) -> dict[str, str]:
    return {part.path: part.state for part in inspect(work)}


def test_a_whole_workspace_is_complete(work: Path) -> None:
    assert _states(work) == dict.fromkeys(
        ["dataset", "split", "profiles/keywords", "tags/keywords", "runs/popularity", "runs/popularity/model"],
        "complete",
    )
    assert examine(work).healthy


def test_a_changed_file_is_corrupt_and_named_with_the_remedy(work: Path) -> None:
    path = work / "tags" / "keywords" / "tags.parquet"
    path.write_bytes(path.read_bytes()[:-4])
    found = examine(work)
    assert not found.healthy
    broken = [part for part in found.parts or () if part.state == "corrupt"]
    assert [part.path for part in broken] == ["tags/keywords"]
    assert "tags.parquet" in broken[0].note
    assert "run the command that makes it again" in broken[0].note


def test_a_manifest_that_is_no_json_is_corrupt(work: Path) -> None:
    (work / "split" / artifacts.MANIFEST).write_text("{")
    assert _states(work)["split"] == "corrupt"


def test_a_file_inside_the_model_of_a_run_is_checked_too(work: Path) -> None:
    (work / "runs" / "popularity" / "model" / "item_vectors.npy").unlink()
    assert _states(work)["runs/popularity/model"] == "corrupt"


def test_unfinished_work_is_no_illness(work: Path) -> None:
    (work / "runs" / ".hyperllm.partial").mkdir()
    shutil.rmtree(work / "tags" / "keywords")
    (work / "tags" / "keywords").mkdir()
    states = _states(work)
    assert states["runs/hyperllm"] == "unfinished"
    assert states["tags/keywords"] == "unfinished"
    assert examine(work).healthy


def test_a_newer_unfinished_run_beside_a_whole_one_is_mentioned(work: Path) -> None:
    (work / "runs" / ".popularity.partial").mkdir()
    part = next(part for part in inspect(work) if part.path == "runs/popularity")
    assert (part.state, part.note) == ("complete", "a newer one is unfinished")


def test_inspection_changes_nothing(work: Path) -> None:
    (work / "runs" / ".x.partial").mkdir()
    before = sorted((p.relative_to(work), p.stat().st_mtime_ns) for p in work.rglob("*"))
    inspect(work)
    assert before == sorted((p.relative_to(work), p.stat().st_mtime_ns) for p in work.rglob("*"))


def test_an_absent_workspace_is_broken(tmp_path: Path) -> None:
    found = examine(tmp_path / "none")
    assert not found.healthy
    assert next(check for check in found.checks if check.name == "workspace").good is False


def test_the_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "cache"))
    found = {check.name: check for check in examine().checks}
    assert found["python"].good
    assert found["torch"].found[0].isdigit()
    assert "not fetched yet (84 MB" in found["encoder minilm"].found
    assert str(tmp_path / "cache") in found["cache"].found
    assert "extra pandas" in found
    assert "extra dev" not in found
    assert examine().parts is None
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_made_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "file" / "cache"))
    cache = next(check for check in examine().checks if check.name == "cache")
    assert not cache.good
    assert "HYPERLLM_CACHE" in cache.found
