"""``hyperllm serve`` finds the run, reads its options, and says what is wrong."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.serving.coherent import shop
from tests.serving.http.conftest import train

from hyperllm import artifacts
from hyperllm.cli.app import main
from hyperllm.serving.http import run as running
from hyperllm.serving.http.run import Address
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one run."""
    with artifacts.writing(tmp_path / "split", "split"):
        pass
    train(tmp_path / "runs" / "mine", shop().model)
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Live, Address, Settings]]:
    """What the command would serve."""
    calls: list[tuple[Live, Address, Settings]] = []
    monkeypatch.setattr(running, "serve", lambda *what, **_: calls.append(what))
    return calls


def test_it_serves_the_run_with_its_report(
    workspace: Path, served: list[tuple[Live, Address, Settings]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(workspace), "mine"]) == 0
    ((live, address, settings),) = served
    assert live.current.run == "mine"
    assert live.report()["settings"] == {"dim": 6}
    assert address == Address("127.0.0.1", 8000)
    assert settings == Settings()
    assert "mine: 80 users, 48 items" in capsys.readouterr().out


def test_options_become_settings(
    workspace: Path, served: list[tuple[Live, Address, Settings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERLLM_API_KEYS", " key-number-1, key-number-2 ,")
    open_to_all = ["--host", "0.0.0.0", "--port", "0", "--allow-host", "shop.example", "--max-body", "1000"]
    assert main(["serve", str(workspace), "mine", *open_to_all]) == 0
    assert main(["serve", str(workspace), "mine", "--api-key", "by-hand-only", "--rate-limit", "7"]) == 0
    (_, address, first), (_, _, second) = served
    assert address == Address("0.0.0.0", 0)
    assert first == Settings(("shop.example",), ("key-number-1", "key-number-2"), rate_limit=1_200, max_body=1_000)
    assert second == Settings(api_keys=("by-hand-only",), rate_limit=7)


def test_what_is_wrong_is_said_in_one_paragraph(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, told in (
            (["mine", "--port", port], "in use already"),
            (["mien"], "there are mine"),
            (["mine", "--api-key", "short"], "at least 8"),
            (["mine", "--allow-host", "http://x"], "plain name"),
        ):
            assert main(["serve", str(workspace), *arguments]) == 2
            assert told in capsys.readouterr().err
