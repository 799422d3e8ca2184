"""Names of encoders, and what is said when the next best one is taken."""

from __future__ import annotations

import logging

import pytest

from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.llm import encoders as room
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.encoders import ENCODERS, NEXT_BEST, make_encoder


@pytest.fixture
def broken(monkeypatch):
    """Every encoder but `hash` cannot be had."""

    def fails(threads, say):
        raise ProviderUnavailable("no route to it")

    for name in ENCODERS:
        if name != "hash":
            monkeypatch.setitem(room.ENCODERS, name, fails)


def test_an_unknown_name_lists_the_choices_and_the_near_one():
    with pytest.raises(ConfigError, match=r"'minilmm'; choose one of hash, minilm, mpnet, wordllama.*'minilm'\?"):
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
