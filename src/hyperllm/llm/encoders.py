"""Text encoders: their names, and what happens when one cannot be had.

Knows which encoders there are and which comes next when one fails. Does not know what the texts say or whose they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperllm.errors import ConfigError, ProviderUnavailable, choose
from hyperllm.llm.encoder import Say, TextEncoder

logger = logging.getLogger(__name__)

DEFAULT_ENCODER = "minilm"


def _minilm(threads: int | None, say: Say) -> TextEncoder:
    from hyperllm.llm.packaged import MINILM
    from hyperllm.llm.transformer import TransformerEncoder

    return TransformerEncoder.packaged(MINILM, dim=384, threads=threads, say=say)


def _mpnet(threads: int | None, say: Say) -> TextEncoder:
    from hyperllm.llm.packaged import MPNET
    from hyperllm.llm.transformer import TransformerEncoder

    return TransformerEncoder.packaged(MPNET, dim=768, threads=threads, say=say)


def _wordllama(threads: int | None, say: Say) -> TextEncoder:
    from hyperllm.llm.packaged import WORDLLAMA
    from hyperllm.llm.static import StaticEncoder

    del threads
    return StaticEncoder.packaged(WORDLLAMA, say=say)


def _hash(threads: int | None, say: Say) -> TextEncoder:
    from hyperllm.llm.hashing import HashEncoder

    del threads, say
    return HashEncoder()


ENCODERS: dict[str, Callable[[int | None, Say], TextEncoder]] = {
    "minilm": _minilm,
    "mpnet": _mpnet,
    "wordllama": _wordllama,
    "hash": _hash,
}

OPENAI = "openai:"
SENTENCE_TRANSFORMERS = "sentence-transformers:"
NAMES = (*ENCODERS, f"{OPENAI}MODEL", f"{SENTENCE_TRANSFORMERS}MODEL")

NEXT_BEST: dict[str, str] = {"mpnet": "minilm", "minilm": "wordllama", "wordllama": "hash"}
"""What is taken, aloud, where an encoder cannot be had."""


def warn(sentence: str) -> None:
    """The default `Say`: a log line."""
    logger.warning(sentence)


def make_encoder(
    name: str = DEFAULT_ENCODER, *, threads: int | None = None, fall_back: bool = True, say: Say = warn
) -> TextEncoder:
    """The encoder registered as ``name``; where it cannot be had, the next best one, and ``say`` is told so.

    ``threads`` bounds the processor threads (None: the framework's own choice). The encoder returned carries the name
    that it really is. Raises `ConfigError` for an unknown name and, with ``fall_back=False``, `ProviderUnavailable`.
    """
    if name.startswith(SENTENCE_TRANSFORMERS):
        from hyperllm.llm.transformer import TransformerEncoder

        return TransformerEncoder.named(_model(name, SENTENCE_TRANSFORMERS), threads=threads)
    make = choose(name, {**dict.fromkeys(NAMES, _hash), **ENCODERS}, what="encoder")
    try:
        return make(threads, say)
    except ProviderUnavailable as error:
        if not fall_back or name not in NEXT_BEST:
            raise
        following = NEXT_BEST[name]
        say(f"the text encoder {name!r} cannot be had ({error}); {following!r} is used instead")
        return make_encoder(following, threads=threads, say=say)


@dataclass(frozen=True)
class RemoteEncoder:
    """How an ``openai:MODEL`` encoder is reached, and the ledger its calls go to."""

    ledger: Path
    base_url: str | None = None
    dimensions: int | None = None
    workers: int = 8
    price: str | None = None


@contextmanager
def opened_encoder(
    name: str, remote: RemoteEncoder, *, threads: int | None = None, say: Say = warn
) -> Generator[TextEncoder]:
    """Like `make_encoder`, and ``openai:MODEL`` too, whose ledger is closed at the end of the block."""
    if not name.startswith(OPENAI):
        if remote.dimensions is not None:
            raise ConfigError(f"only {OPENAI}MODEL can be asked for a number of columns; found {name!r}")
        yield make_encoder(name, threads=threads, say=say)
        return
    from hyperllm.llm.caller import Caller
    from hyperllm.llm.chats import folder_name
    from hyperllm.llm.gate import Gate
    from hyperllm.llm.ledger import Ledger
    from hyperllm.llm.openai import endpoint
    from hyperllm.llm.openai_encoder import KIND, OpenAIEncoder
    from hyperllm.llm.prices import find_price

    model = _model(name, OPENAI)
    at = endpoint(remote.base_url)
    price = find_price(model, at.base_url, given=remote.price)
    series = f"semantics/{folder_name(model)}"
    with Ledger.opened(remote.ledger) as ledger:
        ledger.want(series, KIND, 0, None if price is None else price.source)
        caller = Caller(ledger, Gate(remote.workers), price=price)
        yield OpenAIEncoder(model, at, caller, remote.dimensions, series=series)


def _model(name: str, kind: str) -> str:
    model = name.removeprefix(kind).strip()
    if not model:
        raise ConfigError(f"{kind} needs the name of a model")
    return model
