"""An artifact is complete or absent, whatever kills the writer and whenever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperllm import artifacts
from hyperllm.errors import Corrupt, Incomplete, WrongKind

WRITER = """
import os, shutil, signal, sys
from pathlib import Path
from hyperllm import artifacts

folder, fatal, text = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
calls = 0

def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

Path.rename, Path.replace, Path.mkdir = counted(Path.rename), counted(Path.replace), counted(Path.mkdir)
shutil.rmtree, os.fsync = counted(shutil.rmtree), counted(os.fsync)
with artifacts.writing(folder, "letter") as work:
    for name in ("one", "two"):
        (work / f"{name}.txt").open("w").write(text) if counted(lambda: True)() else None
print("calls", calls)
"""


def write(folder: Path, text: str = "hello", **more: Any) -> None:
    with artifacts.writing(folder, "letter", **more) as work:
        (work / "one.txt").write_text(text)
        (work / "two.txt").write_text(text)


def content(folder: Path) -> set[str]:
    artifacts.read(folder, "letter")
    return {(folder / f"{name}.txt").read_text() for name in ("one", "two")}


def run_writer(folder: Path, fatal: int, text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(fatal), text]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    with artifacts.writing(tmp_path / "a", "letter", config={"k": 1}, inputs={"b": "2"}, facts=facts) as work:
        (work / "deep").mkdir()
        (work / "deep" / "x.bin").write_bytes(b"\0\1")
        facts["lines"] = 3
    manifest = artifacts.read(tmp_path / "a", "letter")
    assert (manifest.config, manifest.inputs, manifest.facts) == ({"k": 1}, {"b": "2"}, {"lines": 3})
    assert list(manifest.files) == ["deep/x.bin"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_equal_payloads_have_equal_fingerprints(tmp_path: Path) -> None:
    write(tmp_path / "a", config={"seed": 1})
    write(tmp_path / "b", config={"seed": 2})
    write(tmp_path / "c", "other")
    a, b, c = (artifacts.read(tmp_path / name, "letter").fingerprint for name in "abc")
    assert a == b != c


def test_killed_at_any_point_leaves_old_or_new(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    write(folder, "old")
    total = int(run_writer(tmp_path / "dry", 10**6, "x").stdout.split()[1])
    seen: set[str] = set()
    for fatal in range(1, total + 3):
        done = run_writer(folder, fatal, "new")
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        texts = content(folder)
        assert texts in ({"old"}, {"new"}), f"half written at call {fatal}"
        seen |= texts
        write(folder, "old")
        assert content(folder) == {"old"}
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".a")] == []
    assert seen == {"old", "new"}


def test_killed_at_any_point_of_a_first_write_leaves_nothing_or_all(tmp_path: Path) -> None:
    outcomes: set[str] = set()
    for fatal in range(1, 9):
        folder = tmp_path / str(fatal)
        run_writer(folder, fatal, "new")
        try:
            assert content(folder) == {"new"}
            outcomes.add("all")
        except Incomplete:
            outcomes.add("nothing")
            assert artifacts.peek(folder) is None
    assert outcomes == {"all", "nothing"}


def test_killed_between_the_renames_the_next_writer_keeps_the_old_one_until_the_new_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a"
    write(folder, "old")
    folder.rename(tmp_path / ".a.replaced")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == ".a.partial":
            raise OSError("disk gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk gone"):
        write(folder, "new")
    monkeypatch.undo()
    assert content(folder) == {"old"}


def test_is_current_recovers_what_was_killed_between_the_renames(tmp_path: Path) -> None:
    write(tmp_path / "a", config={"k": 1})
    (tmp_path / "a").rename(tmp_path / ".a.replaced")
    assert artifacts.is_current(tmp_path / "a", "letter", config={"k": 1}, inputs={})
    assert content(tmp_path / "a") == {"hello"}


def test_a_failed_body_leaves_the_old_one_and_no_scratch(tmp_path: Path) -> None:
    def fail() -> None:
        with artifacts.writing(tmp_path / "a", "letter") as work:
            (work / "one.txt").write_text("new")
            raise ZeroDivisionError

    write(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert content(tmp_path / "a") == {"old"}
    assert os.listdir(tmp_path) == ["a"]


def test_kept_partial_work_is_handed_out_again(tmp_path: Path) -> None:
    def interrupted() -> None:
        with artifacts.writing(tmp_path / "a", "letter", keep_partial=True) as work:
            (work / "one.txt").write_text("half")
            (work / ".scratch").write_text("secret")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "a").exists()
    with artifacts.writing(tmp_path / "a", "letter", keep_partial=True) as work:
        assert (work / "one.txt").read_text() == "half"
        assert (work / ".scratch").read_text() == "secret"
        (work / "two.txt").write_text("half")
    assert content(tmp_path / "a") == {"half"}
    assert sorted(os.listdir(tmp_path / "a")) == ["manifest.json", "one.txt", "two.txt"]


def test_without_keeping_a_stale_partial_is_dropped(tmp_path: Path) -> None:
    stale = tmp_path / ".a.partial"
    stale.mkdir()
    (stale / "junk").write_text("x")
    write(tmp_path / "a")
    assert not (tmp_path / "a" / "junk").exists()


@pytest.mark.parametrize("harm", ["change", "shorten", "remove", "empty"])
def test_a_harmed_payload_is_corrupt_and_named(tmp_path: Path, harm: str) -> None:
    write(tmp_path / "a")
    path = tmp_path / "a" / "two.txt"
    if harm == "remove":
        path.unlink()
    else:
        path.write_text({"change": "hellO", "shorten": "hell", "empty": ""}[harm])
    with pytest.raises(Corrupt, match=r"two\.txt"):
        artifacts.read(tmp_path / "a", "letter")
    with pytest.raises(Corrupt):
        artifacts.is_current(tmp_path / "a", "letter", config={}, inputs={})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "letter"}', "\xff"])
def test_a_harmed_manifest_is_corrupt(tmp_path: Path, text: str) -> None:
    write(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Corrupt, match=r"manifest\.json"):
        artifacts.read(tmp_path / "a", "letter")


def test_absent_unfinished_and_other_kinds_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="does not exist"):
        artifacts.read(tmp_path / "a", "letter")
    (tmp_path / "b").mkdir()
    with pytest.raises(Incomplete, match="never finished"):
        artifacts.read(tmp_path / "b", "letter")
    (tmp_path / "file").write_text("")
    with pytest.raises(Incomplete):
        artifacts.read(tmp_path / "file", "letter")
    write(tmp_path / "c")
    with pytest.raises(WrongKind, match="holds a letter; expected a parcel"):
        artifacts.read(tmp_path / "c", "parcel")
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    (tmp_path / "c" / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(WrongKind, match="format 99"):
        artifacts.read(tmp_path / "c", "letter")


def test_current_means_same_kind_settings_and_inputs(tmp_path: Path) -> None:
    write(tmp_path / "a", config={"k": 1, "l": None}, inputs={"x": "1"})

    def current(kind: str, config: dict[str, Any], inputs: dict[str, str]) -> bool:
        return artifacts.is_current(tmp_path / "a", kind, config=config, inputs=inputs)

    assert current("letter", {"l": None, "k": 1}, {"x": "1"})
    assert not current("parcel", {"l": None, "k": 1}, {"x": "1"})
    assert not current("letter", {"k": 2, "l": None}, {"x": "1"})
    assert not current("letter", {"k": 1, "l": None}, {"x": "2"})
    assert not artifacts.is_current(tmp_path / "b", "letter", config={}, inputs={})


def test_a_nested_artifact_counts_through_its_manifest(tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "run", "run") as work:
        write(work / "model")
    assert list(artifacts.read(tmp_path / "run", "run").files) == ["model/manifest.json"]


def test_write_json_leaves_the_old_text_when_it_fails(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "x.json", {"a": 1})

    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(RuntimeError):
        artifacts.write_json(tmp_path / "x.json", {"a": Unprintable()})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
