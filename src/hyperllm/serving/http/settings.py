"""Who may ask the server, how much and how often.

Knows limits and their legal values. Does not know requests, and enforces nothing itself; see `guard`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from hyperllm.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Names under which a machine calls itself; a Host header may always say one of them."""

DEFAULT_RATE = 1_200
"""Requests a minute and client, where the server listens beyond loopback and nothing else is said."""

_SHORTEST_KEY = 8


@dataclass(frozen=True)
class Settings:
    """Raises `ConfigError` where a value cannot be meant."""

    hosts: tuple[str, ...] = ()
    """Names besides `LOOPBACK` that a Host header may say, without a port."""
    api_keys: tuple[str, ...] = ()
    """Any of these opens the server; none means that it is open."""
    rate_limit: int = 0
    """Requests a minute of each key, or of each address where there is no key; 0 for no limit."""
    max_body: int = 2**20
    """Most bytes of a request's body."""
    body_timeout_s: float = 30.0
    """How long a client may take to send its body."""
    workers: int = 2
    """Threads for what is not batched."""
    waiting: int = 1_024
    """Lists that may wait to be ranked; one more is told to come back later."""
    queued: int = 128
    """The same for everything else, which takes longer."""
    remember: int = 2**26
    """Bytes of finished lists kept while the model stays the same; 0 makes each anew."""
    empty_route: bool = False
    """Register ``GET /empty``, which does nothing: the yardstick of the benchmark."""

    def __post_init__(self) -> None:
        for key in self.api_keys:
            if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(f"an API key has at least {_SHORTEST_KEY} printable ASCII characters and no blanks.")
        for name in self.hosts:
            if not name or any(c in name for c in "/ *@"):
                raise ConfigError(f"an allowed host is a plain name such as 'shop.example'; found {name!r}.")
        if self.rate_limit < 0:
            raise ConfigError(f"the rate limit is {self.rate_limit}; expected requests a minute, or 0 for no limit.")
        if self.max_body < 1:
            raise ConfigError(f"the largest body is {self.max_body} bytes; expected at least 1.")
        if min(self.workers, self.waiting, self.queued) < 1:
            raise ConfigError("workers, waiting and queued are at least 1.")

    def allowing(self, host: str) -> Settings:
        """The same with one more allowed host."""
        return replace(self, hosts=(*self.hosts, host))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
