"""What goes wrong at a chat model's server, and when: a plan that is the same whatever the order of the requests.

Knows kinds of faults and how they spoil an answer's text. Does not know HTTP connections, nor who asks.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Literal

from hyperllm.errors import ConfigError, did_you_mean

RetryStyle = Literal["seconds", "date", "milliseconds", "mixed"]

STATUS_FAULTS: Mapping[str, str] = {
    "rate_limit": "429 with Retry-After, at once",
    "overloaded": "503 with Retry-After, at once",
    "bad_request": "400, the prompt is longer than the context, at once",
    "server_error": "500 with an error object",
    "bad_gateway": "502 with a page",
}
"""Answered with an error's status."""

WIRE_FAULTS: Mapping[str, str] = {
    "reset": "the connection is reset without an answer",
    "stall": "no answer for stall_s seconds, then a closed connection",
    "cut_body": "200, and the connection closes in the middle of the body; billed",
    "html": "200 with a page",
    "not_json": "200, said to be JSON, which it is not",
}
"""Spoil how an answer travels."""

ANSWER_FAULTS: Mapping[str, str] = {
    "no_choices": "200 without choices",
    "empty": "an empty answer; billed",
    "null_content": "no content at all; billed",
    "cut_answer": "half an answer, finish_reason length; billed",
    "malformed_answer": "prose instead of JSON; billed",
    "bad_edges": "valid JSON, an edge uses names outside the tags; billed",
    "two_levels": "valid JSON, one tag stands on two levels; billed",
    "refusal": "the model refuses; billed",
    "content_filter": "no content, finish_reason content_filter; billed",
}
"""Spoil the answer itself. Vectors have no answer to spoil: only ``no_choices`` touches them."""

KINDS: tuple[str, ...] = (*STATUS_FAULTS, *WIRE_FAULTS, *ANSWER_FAULTS)
"""Every kind of fault."""

PROSE = "I would be glad to describe this item for you. Shall I begin?"
REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True)
class FaultPlan:
    """Which attempt at which prompt goes wrong, and how; drawn from (seed, prompt, number of the attempt) alone."""

    seed: int
    """Another seed spoils other attempts."""
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Kind -> share of the attempts; together at most 1."""
    always: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Part of a prompt -> kind of fault that every attempt at such a prompt meets; the first that fits."""
    stall_s: float = 60.0
    """How long a stalled request is held; should exceed the client's patience."""
    retry_after_s: float = 1.0
    """What ``rate_limit`` and ``overloaded`` ask to wait."""
    retry_style: RetryStyle = "mixed"
    """How they say it: whole seconds, a date, whole seconds with exact milliseconds, or any of the three."""

    def __post_init__(self) -> None:
        for kind in (*self.rates, *self.always.values()):
            if kind not in KINDS:
                hint = did_you_mean(kind, KINDS)
                raise ConfigError(f"unknown kind of fault {kind!r}; choose from {', '.join(KINDS)}.{hint}")
        if any(rate < 0 for rate in self.rates.values()) or math.fsum(self.rates.values()) > 1 + 1e-9:
            raise ConfigError(f"rates are shares, together at most 1, but are {dict(self.rates)}")

    @classmethod
    def spread(cls, seed: int, rate: float, **options: Any) -> FaultPlan:
        """A share ``rate`` of the attempts goes wrong, every kind as often as any other."""
        return cls(seed, dict.fromkeys(KINDS, rate / len(KINDS)), **options)

    def draw(self, key: str, text: str, attempt: int) -> str | None:
        """The kind of fault that this attempt (from 1) at a prompt meets, or None."""
        for part, kind in self.always.items():
            if part in text:
                return kind
        place = self._uniform("kind", key, attempt)
        for kind in KINDS:
            place -= self.rates.get(kind, 0.0)
            if place < 0:
                return kind
        return None

    def retry_headers(self, key: str, attempt: int) -> dict[str, str]:
        """The headers that ask to come back later."""
        styles: tuple[RetryStyle, ...] = ("seconds", "date", "milliseconds")
        drawn = styles[int(self._uniform("retry", key, attempt) * len(styles))]
        return retry_headers(self.retry_after_s, drawn if self.retry_style == "mixed" else self.retry_style)

    def _uniform(self, what: str, key: str, attempt: int) -> float:
        digest = blake2b(f"{self.seed}/{what}/{attempt}/{key}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "little") / 2**56


def retry_headers(wait_s: float, style: RetryStyle) -> dict[str, str]:
    """``Retry-After``, which knows only whole seconds, rounded up; ``retry-after-ms`` is exact."""
    if style == "date":
        return {"Retry-After": formatdate(math.ceil(time.time() + wait_s), usegmt=True)}
    whole = {"Retry-After": str(math.ceil(wait_s))}
    return whole if style == "seconds" else {**whole, "retry-after-ms": str(round(wait_s * 1000))}


@dataclass(frozen=True)
class Generated:
    """One choice of a chat completion."""

    content: str | None
    finish_reason: str = "stop"
    refusal: str | None = None

    @property
    def tokens(self) -> int:
        """Words that were written."""
        return len((self.content or self.refusal or "").split())


def spoil(answer: str, kind: str | None) -> Generated:
    """The answer as an `ANSWER_FAULTS` kind leaves it; other kinds, and None, leave it whole."""
    match kind:
        case "empty":
            return Generated("")
        case "null_content":
            return Generated(None)
        case "cut_answer":
            return Generated(answer[: len(answer) // 2], "length")
        case "malformed_answer":
            return Generated(PROSE)
        case "bad_edges" | "two_levels":
            return Generated(_contradict(answer, kind))
        case "refusal":
            return Generated(None, refusal=REFUSAL)
        case "content_filter":
            return Generated("", "content_filter")
        case _:
            return Generated(answer)


def _contradict(answer: str, kind: str) -> str:
    """Valid JSON that no schema can fault; an answer that cannot contradict itself in this way becomes prose."""
    try:
        tags = json.loads(answer)
        if kind == "two_levels" and "tags" in tags:
            department = tags["tags"][0]
            department["children"].append({"name": department["name"], "children": []})
        elif kind == "two_levels":
            tags["level_2"].append(tags["level_1"][0])
        else:
            tags["edges"].append([tags["level_1"][0], "a name outside the tags"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return PROSE
    return json.dumps(tags)
