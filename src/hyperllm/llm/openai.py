"""Chat models behind any OpenAI-compatible server.

Knows the request and the answer of ``/chat/completions``, and steps down by itself where a server lacks a feature:
from a JSON schema to JSON mode to plain text, from ``max_tokens`` to ``max_completion_tokens``, from a temperature to
none. A step that worked is kept for all later calls. Does not know prompts, retries or prices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from hyperllm.errors import ConfigError, ProviderFaltered, ProviderRefused
from hyperllm.llm.chat import Message, Reply, estimated_tokens
from hyperllm.llm.endpoint import BadRequest, Endpoint

_MOST_TOKENS = 1 << 40
OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
_UNSUPPORTED = frozenset({400, 415, 422})
_TOO_LONG = ("context length", "context_length", "context window", "too large", "too long")
"""Words of a complaint about one prompt, whatever feature it names beside; no dialect helps there."""


def server(base_url: str | None) -> str:
    """The address meant: the one given, else ``$OPENAI_BASE_URL``, else OpenAI's own."""
    return base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL


def endpoint(base_url: str | None, *, timeout_s: float = 120.0) -> Endpoint:
    """An `Endpoint` with the key of ``$OPENAI_API_KEY``; raises `ConfigError` where OpenAI itself gets none."""
    at = Endpoint(server(base_url), os.environ.get(KEY_VARIABLE), timeout_s)
    if at.key is None and urlsplit(at.base_url).hostname == urlsplit(OPENAI_URL).hostname:
        raise ConfigError(
            f"{KEY_VARIABLE} is not set; set it in the environment, or name another server with --base-url"
        )
    return at


@dataclass(frozen=True)
class Dialect:
    """What a server is believed to understand."""

    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens", "none"] = "max_tokens"
    temperature: bool = True

    def without(self, problem: BadRequest) -> Dialect | None:
        """The next simpler dialect where ``problem`` complains of a feature of this one."""
        said = f"{problem.parameter} {problem}".lower()
        if any(word in said for word in _TOO_LONG):
            return None
        if self.limit != "none" and self.limit in said:
            return replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else "none")
        if self.temperature and "temperature" in said:
            return replace(self, temperature=False)
        if self.structured != "none" and any(
            word in said
            for word in ("response_format", "json_schema", "schema", "json_object", "structured", "grammar")
        ):
            return replace(self, structured="json_object" if self.structured == "json_schema" else "none")
        return None


@dataclass
class OpenAIChat:
    """``model`` at a server."""

    model: str
    at: Endpoint
    max_tokens: int = 1024
    temperature: float = 0.0
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def name(self) -> str:
        """Which model answers."""
        return self.model

    @property
    def settings(self) -> Mapping[str, Any]:
        """Temperature and length limit."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens}

    async def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """One answer; a server that does not know a feature is asked again without it."""
        dialect = known = self.dialect
        while True:
            try:
                answer = await self.at.post("chat/completions", self.body(messages, schema, dialect))
            except BadRequest as problem:
                simpler = dialect.without(problem) if problem.status in _UNSUPPORTED else None
                if simpler is None:
                    raise
                dialect = simpler
                continue
            if dialect is not known:
                self.dialect = dialect
            return read_reply(answer, messages)

    def body(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, dialect: Dialect | None = None
    ) -> dict[str, Any]:
        """The request as JSON."""
        spoken = dialect or self.dialect
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
        }
        if spoken.limit != "none":
            body[spoken.limit] = self.max_tokens
        if spoken.temperature:
            body["temperature"] = self.temperature
        if schema is not None and spoken.structured == "json_schema":
            form = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif schema is not None and spoken.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    async def close(self) -> None:
        """Close the connections."""
        await self.at.close()


def read_reply(answer: Mapping[str, Any], messages: Sequence[Message]) -> Reply:
    """The reply in the body of a chat completion; raises `ProviderRefused` or `ProviderFaltered`."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise ProviderFaltered(f"the server's answer holds no message; it has {sorted(answer)[:8]}") from None
    if isinstance(text, list):  # parts, as some servers send them
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
    text = text if isinstance(text, str) else ""
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    sent = token_count(usage.get("prompt_tokens"), sum(estimated_tokens(m.content) for m in messages))
    written = token_count(usage.get("completion_tokens"), estimated_tokens(text))
    end = choice.get("finish_reason")
    if refusal or end == "content_filter":
        reason = (
            f"the model refused: {str(refusal)[:200]}" if refusal else "the server's content filter stopped the answer"
        )
        raise ProviderRefused(reason, input_tokens=sent, output_tokens=written)
    return Reply(text, sent, written, cut=end == "length")


def token_count(value: Any, otherwise: int) -> int:
    """A count that a server gave, where it can be one."""
    return value if isinstance(value, int) and 0 <= value < _MOST_TOKENS else otherwise
