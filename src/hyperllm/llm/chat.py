"""Chat models: the protocol every provider fulfils, and a scripted one that ships.

Knows one call: messages in, one reply with its token counts out. Does not know what is asked. Providers raise
`ProviderUnavailable`, `ProviderRefused` or `MalformedReply`, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hyperllm.errors import ProviderUnavailable


@dataclass(frozen=True)
class Message:
    """One message; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Reply:
    """What came back, and what it cost in tokens."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0


class ChatProvider(Protocol):
    """A chat model; ``name`` is recorded with everything it writes."""

    @property
    def name(self) -> str:
        """Which model answers."""
        ...

    def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """One answer; ``schema`` is a JSON schema the answer should follow where the provider can enforce it."""
        ...


@dataclass(frozen=True)
class ScriptedChat:
    """A fake that ships: answers by a function of the messages, counting words as tokens."""

    script: Callable[[Sequence[Message]], str | None]
    name: str = "scripted"

    def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """The script's answer; raises `ProviderUnavailable` where the script has none."""
        del schema
        answer = self.script(messages)
        if answer is None:
            raise ProviderUnavailable("the script has no answer to this prompt")
        return Reply(answer, sum(len(m.content.split()) for m in messages), len(answer.split()))
