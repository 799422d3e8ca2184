"""The model folder: where it is, that it is filled once, and that it is whole or absent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.cache import cache_folder, cached


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_environment_chooses(folder, monkeypatch):
    assert cache_folder() == folder
    monkeypatch.delenv("HYPERLLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == Path("/elsewhere/hyperllm")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "hyperllm"


def test_filled_once(folder):
    calls: list[Path] = []

    def fill(place: Path) -> None:
        calls.append(place)
        (place / "weights").write_bytes(b"abc")

    assert cached("m", fill) == cached("m", fill) == folder / "models" / "m"
    assert len(calls) == 1
    assert (folder / "models" / "m" / "weights").read_bytes() == b"abc"


def test_damage_is_noticed_and_mended(folder):
    def fill(place: Path) -> None:
        (place / "weights").write_bytes(b"abc")

    cached("m", fill)
    (folder / "models" / "m" / "weights").write_bytes(b"abd")
    cached("m", fill)
    assert (folder / "models" / "m" / "weights").read_bytes() == b"abc"


def test_a_failed_fill_leaves_nothing(folder):
    def fill(place: Path) -> None:
        (place / "weights").write_bytes(b"half")
        raise ProviderUnavailable("gone")

    with pytest.raises(ProviderUnavailable, match="gone"):
        cached("m", fill)
    assert list((folder / "models").iterdir()) == []


def test_whoever_is_second_takes_what_is_there(folder):
    def slow(place: Path) -> None:
        cached("m", lambda other: (other / "who").write_text("first"))  # another process, in the meantime
        (place / "who").write_text("second")

    assert (cached("m", slow) / "who").read_text() == "first"
    assert [path.name for path in (folder / "models").iterdir()] == ["m"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ProviderUnavailable, match="set HYPERLLM_CACHE"):
        cached("m", lambda place: None)
