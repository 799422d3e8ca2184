"""A language model from one GGUF file, run in this process.

Knows how to start the server that the `xllamacpp` package holds, on a free port of this machine, silent and behind a
key of its own, and speaks to it as to any other. Does not know prompts.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.llm.chat import Message, Reply
from hyperllm.llm.endpoint import Endpoint
from hyperllm.llm.openai import OpenAIChat


class GGUFChat:
    """The model of ``path``; ``at_once`` calls of ``context`` tokens are answered together, on ``threads`` threads."""

    def __init__(
        self, path: Path, *, at_once: int = 1, threads: int | None = None, max_tokens: int = 1024,
        temperature: float = 0.0, timeout_s: float = 900.0, context: int = 4096,
    ) -> None:  # fmt: skip
        self.name = gguf_name(path)
        key = secrets.token_urlsafe(32)
        self._server, url = _start(path, key, at_once, threads or max(1, (os.cpu_count() or 2) // 2), context)
        self._chat = OpenAIChat(path.stem, Endpoint(url, key, timeout_s), max_tokens, temperature)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Temperature and length limit."""
        return self._chat.settings

    async def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """One answer, held to ``schema`` by the model's own grammar."""
        return await self._chat.complete(messages, schema=schema)

    async def close(self) -> None:
        """Close the connections and let go of the model."""
        await self._chat.close()
        self._server = None


def gguf_name(path: Path) -> str:
    """The file's name and the beginning of its hash; raises `ConfigError` where there is no file."""
    if not path.is_file():
        raise ConfigError(f"{str(path)!r} is not a file; expected a model in GGUF format")
    return f"gguf:{path.stem}:{artifacts.file_digest(path)[:12]}"


def _start(path: Path, key: str, at_once: int, threads: int, context: int) -> tuple[Any, str]:
    try:
        xllamacpp: Any = import_module("xllamacpp")
    except ImportError:
        raise ProviderUnavailable(
            "a local GGUF model needs the xllamacpp package; run: pip install 'hyperllm[local]'"
        ) from None
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(path)
    wanted.n_ctx = context * at_once
    wanted.n_parallel = at_once
    wanted.cpuparams.n_threads = threads
    wanted.warmup = False
    wanted.verbosity = 0
    wanted.cache_ram_mib = 0  # prompts are not asked twice; remembering them would fill gigabytes of memory
    wanted.api_keys = [key]  # without one, every page in a browser of this machine may use the model
    try:
        server = xllamacpp.Server(wanted)
    except Exception as error:
        raise ProviderUnavailable(f"{str(path)!r} cannot be loaded as a GGUF model ({error})") from None
    return server, f"{server.listening_address}/v1"
