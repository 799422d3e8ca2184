"""Chat models by the name that a person types.

Knows ``openai:MODEL``, ``gguf:FILE`` and ``vllm:MODEL``, and what each needs. Does not know prompts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hyperllm.errors import ConfigError
from hyperllm.llm.chat import ChatProvider
from hyperllm.llm.openai import OpenAIChat, endpoint, server
from hyperllm.llm.prices import Price, find_price

OPENAI = "openai:"
GGUF = "gguf:"
VLLM = "vllm:"


@dataclass(frozen=True)
class ChatOptions:
    """How a chat model is reached and bounded."""

    base_url: str | None = None
    workers: int = 8
    max_tokens: int = 1024
    temperature: float = 0.0
    timeout_s: float = 120.0
    threads: int | None = None
    context: int = 4096
    """Tokens of prompt and answer together, for a model that is run here."""


def model_name(llm: str) -> str:
    """What answers are recorded under, found out without reaching for the model."""
    if llm.startswith(OPENAI):
        return _named(llm, OPENAI, "gpt-4o-mini")
    if llm.startswith(VLLM):
        return _named(llm, VLLM, "Qwen/Qwen3-8B")
    from hyperllm.llm.gguf import gguf_name

    return gguf_name(Path(_named(llm, GGUF, "model.gguf")).expanduser())


def make_chat(llm: str, options: ChatOptions) -> ChatProvider:
    """The model called ``llm``; raises `ConfigError` and `ProviderUnavailable`."""
    if llm.startswith(OPENAI):
        model = _named(llm, OPENAI, "gpt-4o-mini")
        at = endpoint(options.base_url, timeout_s=options.timeout_s)
        return OpenAIChat(model, at, options.max_tokens, options.temperature)
    if llm.startswith(VLLM):
        raise ConfigError(
            f"{llm!r} runs inside the workers of a Ray cluster: add --ray. Here, start `vllm serve` and say "
            "openai:MODEL with its --base-url"
        )
    from hyperllm.llm.gguf import GGUFChat

    return GGUFChat(
        Path(_named(llm, GGUF, "model.gguf")).expanduser(),
        at_once=options.workers,
        threads=options.threads,
        context=options.context,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        timeout_s=max(900.0, options.timeout_s),
    )


def price_of(llm: str, options: ChatOptions, *, given: str | None, batch: bool = False) -> Price | None:
    """What the model's tokens cost; None where nobody knows."""
    url = server(options.base_url) if llm.startswith(OPENAI) else "http://localhost"
    return find_price(llm.partition(":")[2], url, given=given, batch=batch)


def folder_name(llm: str) -> str:
    """A plain folder name for what a model writes: ``openai:meta/Llama-3`` gives ``meta-Llama-3``."""
    name = llm.partition(":")[2] or llm
    if llm.startswith(GGUF):
        name = Path(name).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "model"


def _named(llm: str, kind: str, example: str) -> str:
    name = llm.removeprefix(kind).strip()
    if not name:
        raise ConfigError(f"{kind} needs a name, such as {kind}{example}")
    return name
