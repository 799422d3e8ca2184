"""How often somebody may ask: one token bucket a client.

Knows names and a clock. Does not know requests. A request takes a token; tokens come back evenly, and at most ten
seconds' worth of them can be saved up.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 10_000
_SAVED_S = 10.0


class Buckets:
    """``per_minute`` tokens a client. The longest silent client is forgotten first, so memory stays small."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60.0
        self._full = max(1.0, self._rate * _SAVED_S)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> int:
        """Take one token: 0 where there was one, else the whole seconds until there is one again."""
        now = self._clock()
        tokens, then = self._left.pop(client, (self._full, now))
        tokens = min(self._full, tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._left[client] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1.0 - tokens) / self._rate))


def network(address: str) -> str:
    """The client behind an address: itself, or its /64 with IPv6, of which one client has all addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
