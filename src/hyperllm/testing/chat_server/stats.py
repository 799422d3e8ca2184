"""Counters of the local chat server.

Knows how to count from one thread and be read from another. Does not know what a fault is, or a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class ServerStats:
    """What the server has seen until now."""

    requests: int
    """Chat completions asked for over HTTP, refused ones included."""
    embeddings: int
    """Requests for vectors over HTTP, refused ones included."""
    batched: int
    """Requests worked on as lines of a batch."""
    billed: int
    """Chat completions that a provider would charge for: every finished generation, of requests and of batch lines,
    whether its answer is of use or not, and whether it was cut on the way back or not."""
    prompt_tokens: int
    """Words of the billed prompts."""
    completion_tokens: int
    """Words of the billed answers."""
    embedding_tokens: int
    """Words of the texts turned into vectors."""
    authorized: int
    """Requests that carried an ``Authorization`` header; its value is kept nowhere."""
    abandoned: int
    """Requests whose client left before the answer."""
    over_slots: int
    """Requests refused because every slot was taken."""
    peak: int
    """Most requests worked on at once."""
    peak_open: int
    """Most requests worked on or waiting at once."""
    faults: Mapping[str, int]
    """Kind of fault -> how often it was met out."""
    attempts: Mapping[str, int]
    """`prompt_key` -> how often that prompt was worked on."""


_NUMBERS = [name for name, kind in ServerStats.__annotations__.items() if kind == "int"]


class Counters:
    """Written by the server, read by anyone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = dict.fromkeys(_NUMBERS, 0)
        self._faults: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._open = 0
        self._working = 0

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the numbers of `ServerStats`."""
        with self._lock:
            self._numbers[name] += by

    def bill(self, prompt_tokens: int, completion_tokens: int) -> None:
        """One finished generation."""
        with self._lock:
            self._numbers["billed"] += 1
            self._numbers["prompt_tokens"] += prompt_tokens
            self._numbers["completion_tokens"] += completion_tokens

    def attempt(self, key: str) -> int:
        """One more attempt at a prompt; which one it is, from 1."""
        with self._lock:
            self._attempts[key] += 1
            return self._attempts[key]

    def fault(self, kind: str) -> None:
        """One fault met out."""
        with self._lock:
            self._faults[kind] += 1

    def opened(self, by: int) -> None:
        """A request arrived (+1) or is done with (−1)."""
        with self._lock:
            self._open += by
            self._numbers["peak_open"] = max(self._numbers["peak_open"], self._open)

    def working(self, by: int) -> None:
        """A request got a slot (+1) or gave it back (−1)."""
        with self._lock:
            self._working += by
            self._numbers["peak"] = max(self._numbers["peak"], self._working)

    def snapshot(self) -> ServerStats:
        """All counters at one moment."""
        with self._lock:
            return ServerStats(**self._numbers, faults=dict(self._faults), attempts=dict(self._attempts))
