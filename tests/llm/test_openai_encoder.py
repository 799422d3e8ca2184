"""Vectors over HTTP: rows in the order of the texts, of length one, paid for and written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ProviderFaltered, ProviderUnavailable
from hyperllm.llm import caller as caller_room
from hyperllm.llm import openai_encoder as room
from hyperllm.llm.caller import TRIES, Caller
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.endpoint import Endpoint
from hyperllm.llm.gate import Gate
from hyperllm.llm.hashing import HashEncoder
from hyperllm.llm.ledger import Ledger
from hyperllm.llm.openai_encoder import KIND, OpenAIEncoder
from hyperllm.llm.prices import Price
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig

Answer = Callable[[Mapping[str, Any]], Any]
WORDS = ["red", "blue", "shoe", "puzzle", "a longer text of some words", "é", "木"]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger.in_memory() as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    really = asyncio.sleep
    instant = SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: really(0)})
    monkeypatch.setattr(caller_room, "asyncio", instant)


def encoder(at: Endpoint, ledger: Ledger, dimensions: int | None = None, *, workers: int = 4) -> OpenAIEncoder:
    return OpenAIEncoder("m", at, Caller(ledger, Gate(workers), price=Price(1e6, 0.0, "t")), dimensions, series="set")


class Canned(Endpoint):
    """Answers every request by a function of its body, and keeps the bodies."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("http://localhost:1")
        self.answer = answer
        self.bodies: list[Mapping[str, Any]] = []
        self.at_once = self.peak = 0

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path == "embeddings"
        self.bodies.append(body)
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            for _ in range(len(body["input"][0])):
                await asyncio.sleep(0)
            found = self.answer(body)
        finally:
            self.at_once -= 1
        return found if isinstance(found, dict) else {"data": found}


def rows(*vectors: Any) -> list[dict[str, Any]]:
    return [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]


def by_hash(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return rows(*HashEncoder(8).encode(body["input"]).tolist())


@given(st.lists(st.sampled_from([*WORDS, "", " \n"]), max_size=40), st.integers(1, 5), st.integers(1, 7))
def test_each_text_has_its_row_and_blank_ones_are_zero_and_never_sent(texts, workers, group):
    at = Canned(lambda body: list(reversed(by_hash(body))))
    with Ledger.in_memory() as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "GROUP", group)
        model = encoder(at, ledger, 8, workers=workers)
        found = model.encode(texts)
    np.testing.assert_allclose(found, HashEncoder(8).encode([t if t.strip() else "" for t in texts]), atol=1e-6)
    assert found.dtype == np.float32
    sent = [text for body in at.bodies for text in body["input"]]
    assert sorted(sent) == sorted(text for text in texts if text.strip())
    assert all(len(body["input"]) <= group for body in at.bodies)
    assert at.peak <= workers


def test_the_whole_way_over_http(ledger):
    texts = [f"{word} {n}" for n in range(40) for word in WORDS]
    seen: list[tuple[int, int]] = []
    with ChatServer(ServerConfig(latency_s=0.02, slots=3)) as server:
        model = encoder(Endpoint(server.url), ledger)
        assert isinstance(model, TextEncoder)
        found = model.encode(texts, progress=lambda done, total: seen.append((done, total)))
        again = model.encode(texts[:3])
        stats = server.stats()
    np.testing.assert_allclose(found, HashEncoder(256).encode(texts), atol=1e-6)
    np.testing.assert_allclose(again, found[:3])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert model.dim == 256
    assert stats.embeddings == -(-len(texts) // room.GROUP) + 1
    assert 1 < stats.peak <= 3
    assert seen[-1] == (len(texts), len(texts))
    (tally,) = ledger.tallies()
    assert (tally.series, tally.kind, tally.calls, tally.answered) == ("set", KIND, stats.embeddings, stats.embeddings)
    assert (tally.input_tokens, tally.output_tokens) == (stats.embedding_tokens, 0)
    assert tally.price_usd == stats.embedding_tokens


# Columns


def test_columns_that_are_asked_for_come(ledger):
    with ChatServer() as server:
        model = encoder(Endpoint(server.url), ledger, 16)
        assert model.encode(["red"]).shape == (1, 16)
    assert (model.dim, model.version) == (16, "dimensions-16")


def test_columns_that_a_server_refuses_are_its_users_choice(ledger):
    with (
        ChatServer(ServerConfig(refuse=("dimensions",))) as server,
        pytest.raises(ProviderUnavailable, match="does it know --dimensions"),
    ):
        encoder(Endpoint(server.url), ledger, 16).encode(["red"])
    assert ledger.tallies()[0].refused == 1


def test_columns_that_a_server_does_not_heed_are_said(ledger):
    with pytest.raises(ProviderUnavailable, match="8 columns where 16 were asked for; drop --dimensions"):
        encoder(Canned(by_hash), ledger, 16).encode(["red"])


def test_all_rows_are_as_wide_as_the_first(ledger, monkeypatch):
    monkeypatch.setattr(room, "GROUP", 1)
    model = encoder(Canned(lambda body: rows([1.0] * len(body["input"][0]))), ledger)
    with pytest.raises(ProviderUnavailable, match=r"vectors of \[3, 4\] columns; they must agree"):
        model.encode(["red", "blue"])
    model.encode(["red"])
    with pytest.raises(ProviderUnavailable, match="vectors of 3 columns, and now 4"):
        model.encode(["blue"])


def test_blank_texts_alone_are_as_wide_as_all_others(ledger):
    at = Canned(by_hash)
    assert encoder(at, ledger).encode(["", " "]).shape == (2, 8)
    assert [body["input"] for body in at.bodies] == [["m"]]
    assert encoder(at, ledger, 8).encode([""]).shape == (1, 8)
    assert encoder(at, ledger).encode([]).shape[0] == 0
    assert len(at.bodies) == 1


# What goes wrong


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"data": None},
        [],
        rows([1.0]),
        rows([1.0], [1.0], [1.0]),
        rows([1.0], [float("nan")]),
        rows([1.0], [None]),
        rows([1.0], [1e300]),
        rows([1.0], [1.0, 2.0]),
        rows([], []),
        rows("AACAPw==", "AACAPw=="),
        [{"embedding": [1.0]}, {"embedding": [1.0]}],
        [1.0, 2.0],
    ],
)
def test_what_holds_no_vectors_is_asked_again_and_then_given_up(ledger, wrong):
    at = Canned(lambda body: wrong)
    with pytest.raises(ProviderUnavailable, match=rf"embeddings.*asked {TRIES} times"):
        encoder(at, ledger).encode(["red", "blue"])
    assert len(at.bodies) == TRIES
    assert ledger.tallies()[0].failed == TRIES
    healed = Canned(lambda body: wrong if len(healed.bodies) < TRIES else by_hash(body))
    np.testing.assert_allclose(
        encoder(healed, ledger).encode(["red", "blue"]), HashEncoder(8).encode(["red", "blue"]), atol=1e-6
    )


def test_a_server_in_trouble_is_waited_for(ledger):
    plan = FaultPlan(3, {"rate_limit": 0.2, "reset": 0.1, "server_error": 0.1, "no_choices": 0.1}, retry_after_s=0.0)
    texts = [f"text {n}" for n in range(640)]
    with ChatServer(ServerConfig(faults=plan)) as server:
        found = encoder(Endpoint(server.url), ledger).encode(texts)
    np.testing.assert_allclose(found, HashEncoder(256).encode(texts), atol=1e-6)
    (tally,) = ledger.tallies()
    assert (tally.answered, tally.calls) == (10, 10 + tally.failed)
    assert tally.failed > 0


def test_after_a_failure_nobody_goes_on(ledger, monkeypatch):
    """Connections that were opened again behind a closed door would be left open, which is a warning here."""
    monkeypatch.setattr(room, "GROUP", 1)
    plan = FaultPlan(0, always={"bad": "bad_request"})
    with ChatServer(ServerConfig(latency_s=0.05, faults=plan)) as server:
        model = encoder(Endpoint(server.url), ledger)
        with pytest.raises(ProviderUnavailable, match="maximum context length"):
            model.encode(["good", "good", "bad", *["good"] * 40])
        assert model.at._session is None
        assert server.stats().embeddings < 10


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -5}, {"prompt_tokens": "7"}, {"prompt_tokens": 10**30}])
def test_tokens_that_nobody_counted_are_estimated(ledger, usage):
    encoder(Canned(lambda body: {"data": by_hash(body), "usage": usage}), ledger).encode(["red shoe", "blue"])
    assert ledger.tallies()[0].input_tokens == 5


def test_a_lost_answer_is_typed():
    with pytest.raises(ProviderFaltered, match="no finite numbers"):
        room._vectors({"data": rows([float("inf")])}, 1)
