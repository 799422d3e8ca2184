"""Text encoders: their names, and what happens when one cannot be had.

Knows which encoders there are and which comes next when one fails. Does not know what the texts say or whose they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hyperllm.errors import ProviderUnavailable, choose
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
    make = choose(name, ENCODERS, what="encoder")
    try:
        return make(threads, say)
    except ProviderUnavailable as error:
        if not fall_back or name not in NEXT_BEST:
            raise
        following = NEXT_BEST[name]
        say(f"the text encoder {name!r} cannot be had ({error}); {following!r} is used instead")
        return make_encoder(following, threads=threads, say=say)
