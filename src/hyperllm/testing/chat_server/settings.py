"""Settings of the local chat server. Knows values and their limits, nothing of what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hyperllm.errors import ConfigError
from hyperllm.testing.chat_server.faults import FaultPlan

Structured = Literal["json_schema", "json_object", "none"]


@dataclass(frozen=True)
class ServerConfig:
    """How the server behaves; by default it is a fast server without limits or faults."""

    latency_s: float = 0.0
    """How long a model takes for an answer."""
    slots: int | None = None
    """Most requests worked on at once; the others wait. None: no limit."""
    reject_over_slots: bool = False
    """Answer 429 instead of letting a request wait for a slot."""
    retry_after_s: float = 1.0
    """What that 429 asks to wait."""
    api_key: str | None = None
    """The bearer key that every request but ``/stats`` must carry."""
    structured: Structured = "json_schema"
    """The strongest ``response_format`` that is understood; a stronger one is refused with a 400."""
    refuse: tuple[str, ...] = ()
    """Parameters refused with a 400 that names them: ``max_tokens``, ``dimensions``, ``temperature``, ``seed``, …"""
    model: str = "scripted"
    """The one model that ``/v1/models`` lists; requests may name any."""
    embedding_dim: int = 256
    """Length of vectors where the request does not ask for ``dimensions``."""
    faults: FaultPlan | None = None
    """What goes wrong."""
    batch_polls: int = 2
    """A batch ends at this poll of its state at the earliest."""
    batch_s: float = 0.0
    """A batch ends this long after it was made at the earliest."""
    batch_outcome: Literal["completed", "expired"] = "completed"
    """Whether a batch is finished, or only half of it before its window closes."""
    canned: bool = False
    """Answer every chat request with the same valid item, without reading the prompt: for measuring clients. Prompts
    are neither counted nor checked, and nothing goes wrong."""

    def __post_init__(self) -> None:
        for name in ("latency_s", "retry_after_s", "batch_polls", "batch_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be negative")
        for name in ("slots", "embedding_dim"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if self.canned and (self.faults or self.refuse or self.structured != "json_schema"):
            raise ConfigError("canned answers are given without reading the request: leave out faults and refusals")
