"""One small, fully worked workspace for all tests of the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperllm.cli import main
from hyperllm.data.sources.planted import ShopConfig, invent_shop

TINY = ("--set", "epochs=2", "--set", "dim=8", "--set", "batch_size=512")


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def hyperllm(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command in this process."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clicks.csv and items.csv of an invented shop."""
    folder = tmp_path_factory.mktemp("cli") / "raw"
    invent_shop(ShopConfig(users=250, items=150, clicks=12)).write(folder)
    return folder


def _all(commands: Sequence[Sequence[object]]) -> None:
    for words in commands:
        assert main([str(word) for word in words]) == 0, words


@pytest.fixture(scope="session")
def finished(raw: Path) -> Path:
    """A workspace after prepare, extract, embed and three trainings; do not change it."""
    work = raw.parent / "work"
    _all(
        [
            ("prepare", work, "--interactions", raw / "clicks.csv", "--items", raw / "items.csv", "--core", 3),
            ("extract", work),
            ("embed", work, "--encoder", "hash"),
            ("train", work, "--baseline", "popularity"),
            ("train", work, "--framework", "base", *TINY),
            ("train", work, *TINY, "--set", "meta_epochs=2"),
        ]
    )
    return work


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of the workspace to change at will."""
    return Path(shutil.copytree(finished, tmp_path / "work"))
