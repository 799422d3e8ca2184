"""Chat models: the protocol every provider fulfils, and a scripted one that ships.

Knows one call: messages in, one reply with its token counts out. Does not know what is asked. Providers raise
`ProviderUnavailable` (of which `ProviderFaltered` may be tried again), `ProviderRefused` or `MalformedReply`, nothing
else. A call is awaited, so that hundreds can be on their way in one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hyperllm.errors import ProviderUnavailable


@dataclass(frozen=True)
class Message:
    """One message; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Reply:
    """What came back, and what it cost in tokens; ``cut`` where the model ran into its length limit."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cut: bool = False


class ChatProvider(Protocol):
    """A chat model; ``name`` and ``settings`` (what else shapes an answer) are recorded with everything it writes."""

    @property
    def name(self) -> str:
        """Which model answers."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Temperature, length limit and the like."""
        ...

    async def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """One answer; ``schema`` is a JSON schema the answer should follow where the provider can enforce it."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


@dataclass(frozen=True)
class ScriptedChat:
    """A fake that ships: answers by a function of the messages, counting words as tokens."""

    script: Callable[[Sequence[Message]], str | None]
    name: str = "scripted"
    settings: Mapping[str, Any] = field(default_factory=dict)

    async def complete(self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None) -> Reply:
        """The script's answer; raises `ProviderUnavailable` where the script has none."""
        del schema
        answer = self.script(messages)
        if answer is None:
            raise ProviderUnavailable("the script has no answer to this prompt")
        return Reply(answer, sum(len(m.content.split()) for m in messages), len(answer.split()))

    async def close(self) -> None:
        """Nothing to let go of."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has where nobody counted: one for every four bytes of UTF-8."""
    return len(text.encode("utf-8", "replace")) // 4 + 1
