"""A shop on disk, its server in this process, and a client that talks to it without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import polars as pl
import pytest
from fastapi import FastAPI
from tests.serving.coherent import shop

from hyperllm import artifacts
from hyperllm.data.catalog import Catalog
from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live
from hyperllm.serving.model import ScoreModel

URL = "http://127.0.0.1:8000"
HOSTILE = {
    "i00": "<script>alert(1)</script>",
    "i01": "quotes \" and \\ and ' and </script>",
    "i02": "control \x00\x07\x1b[31m characters\n\t",
    "i03": "\u202eright to left\u2066 marks\u2029",
    "i04": "ten thousand " + "x" * 10_000,
    "i05": "日本語 \U0001f9f4 {{template}} %s %(x)s",
}


def hostile(model: ScoreModel) -> ScoreModel:
    """The model with titles that somebody wrote to do harm."""
    names = pl.Series("title", [HOSTILE.get(item, f"Thing {item}") for item in model.items.ids])
    return replace(model, catalog=Catalog(model.items, model.catalog.frame.with_columns(names)))


def train(folder: Path, model: ScoreModel) -> None:
    """Put a run with this model at ``folder``, as training does."""
    with artifacts.writing(folder, "run", config={"dim": 6}, facts={"phases": {"phase 1": {"epochs": 3}}}) as work:
        model.save(work / "model")


@dataclass(frozen=True, eq=False)
class Client:
    """Requests to an application, one event loop a call."""

    app: FastAPI
    address: str = "127.0.0.1"

    def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self.together([(method, path, more)])[0]

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self("GET", path, **more)

    def post(self, path: str, json: Any, **more: Any) -> httpx2.Response:
        return self("POST", path, json=json, **more)

    def together(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx2.Response]:
        """All requests at once."""

        async def ask() -> list[httpx2.Response]:
            transport = httpx2.ASGITransport(self.app, client=(self.address, 1234))
            async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
                return await asyncio.gather(*(client.request(m, p, **more) for m, p, more in requests))

        return asyncio.run(ask())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run."""
    folder = tmp_path / "runs" / "mine"
    train(folder, hostile(shop().model))
    return folder


@pytest.fixture
def live(run: Path) -> Live:
    """The run, loaded and not watched."""
    return Live(run)


Make = Callable[..., Client]


@pytest.fixture
def make(live: Live) -> Make:
    """A client of a server with these settings."""
    return lambda **settings: Client(create_app(live, Settings(**settings)))


@pytest.fixture
def client(make: Make) -> Client:
    """A client of a server with the default settings."""
    return make()
