"""Names of encoders, and what is said when the next best one is taken."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.llm import encoders as room
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.encoders import ENCODERS, NEXT_BEST, RemoteEncoder, make_encoder, opened_encoder
from hyperllm.llm.ledger import NAME, Ledger
from hyperllm.llm.openai import KEY_VARIABLE, URL_VARIABLE
from hyperllm.testing.chat_server import ChatServer


@pytest.fixture
def broken(monkeypatch):
    """Every encoder but `hash` cannot be had."""

    def fails(threads, say):
        raise ProviderUnavailable("no route to it")

    for name in ENCODERS:
        if name != "hash":
            monkeypatch.setitem(room.ENCODERS, name, fails)


def test_an_unknown_name_lists_the_choices_and_the_near_one():
    choices = "hash, minilm, mpnet, openai:MODEL, sentence-transformers:MODEL, wordllama"
    with pytest.raises(ConfigError, match=rf"'minilmm'; choose one of {choices}\. Did you mean 'minilm'\?"):
        make_encoder("minilmm")


def test_every_way_down_ends_at_hash():
    for name in ENCODERS:
        while name in NEXT_BEST:
            name = NEXT_BEST[name]
        assert name == "hash"


@pytest.mark.usefixtures("broken")
def test_each_step_down_is_said_and_the_real_name_is_kept():
    said: list[str] = []
    found = make_encoder("minilm", say=said.append)
    assert isinstance(found, TextEncoder)
    assert found.name == "hash"
    assert said == [
        "the text encoder 'minilm' cannot be had (no route to it); 'wordllama' is used instead",
        "the text encoder 'wordllama' cannot be had (no route to it); 'hash' is used instead",
    ]


@pytest.mark.usefixtures("broken")
def test_nobody_listening_means_a_log_line(caplog):
    with caplog.at_level(logging.WARNING):
        make_encoder("wordllama")
    assert "'hash' is used instead" in caplog.text


@pytest.mark.usefixtures("broken")
def test_without_falling_back_the_failure_stands():
    with pytest.raises(ProviderUnavailable, match="no route"):
        make_encoder("minilm", fall_back=False)


def test_hash_says_nothing():
    said: list[str] = []
    assert make_encoder("hash", say=said.append).dim == 512
    assert said == []


# Encoders of one block


@pytest.fixture
def remote(tmp_path, monkeypatch) -> RemoteEncoder:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    return RemoteEncoder(tmp_path / NAME)


def test_a_local_encoder_leaves_no_ledger(remote):
    with opened_encoder("hash", remote) as encoder:
        assert encoder.encode(["red", ""]).shape == (2, 512)
    assert not remote.ledger.exists()


@pytest.mark.usefixtures("broken")
def test_steps_down_are_said_in_a_block_too(remote):
    said: list[str] = []
    with opened_encoder("wordllama", remote, say=said.append) as encoder:
        assert encoder.name == "hash"
    assert len(said) == 1


def test_a_remote_encoder_writes_down_what_it_costs(remote):
    with ChatServer() as server:
        there = replace(remote, base_url=server.url, dimensions=16, price="2.5")
        with opened_encoder("openai: some/model ", there) as encoder:
            assert encoder.encode(["red shoe", "", "blue"]).shape == (3, 16)
            assert (encoder.name, encoder.dim) == ("some/model", 16)
    with Ledger.read(remote.ledger) as ledger:
        assert ledger is not None
        (tally,) = ledger.tallies()
    assert (tally.series, tally.kind, tally.calls, tally.input_tokens) == ("semantics/some-model", "text", 1, 3)
    assert tally.price_usd == pytest.approx(3 * 2.5e-6)
    assert tally.price is not None
    assert tally.price.startswith("given by the user")


@pytest.mark.parametrize(
    ("name", "more", "problem"),
    [
        ("openai:m", {}, "OPENAI_API_KEY is not set"),
        ("openai: ", {}, "openai: needs the name of a model"),
        ("openai:m", {"base_url": "http://localhost:1", "price": "free"}, "a price is dollars"),
        ("openai:m", {"base_url": "http://localhost:1", "workers": 0}, "workers must be at least 1"),
        ("hash", {"dimensions": 8}, "only openai:MODEL can be asked for a number of columns"),
        ("sentence-transformers:", {}, "needs the name of a model"),
        ("hasch", {}, "Did you mean 'hash'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_encoded(remote, name, more, problem):
    with pytest.raises(ConfigError, match=problem), opened_encoder(name, replace(remote, **more)):
        pass


@pytest.mark.network
@pytest.mark.parametrize(("name", "dim"), [("minilm", 384), ("wordllama", 256)])
def test_the_packaged_encoders_know_meaning(name, dim):
    try:
        encoder = make_encoder(name, threads=1, fall_back=False, say=lambda sentence: None)
    except ProviderUnavailable as error:
        pytest.skip(str(error))
    seen: list[tuple[int, int]] = []
    texts = ["a wooden jigsaw puzzle for children", "", "a puzzle with 500 pieces", "leather running shoes"]
    puzzle, nothing, other, shoe = encoder.encode(texts, progress=lambda done, total: seen.append((done, total)))
    assert (encoder.name, encoder.dim, puzzle.shape) == (name, dim, (dim,))
    assert puzzle @ puzzle == pytest.approx(1, abs=1e-5)
    assert not nothing.any()
    assert puzzle @ other > 0.3 > 0.2 > puzzle @ shoe
    assert seen[-1] == (4, 4)
