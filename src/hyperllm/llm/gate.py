"""How many calls may be on their way at once, and how fast they may start.

The number adapts between one and a given most: it is cut by a third, at most once a round trip, when the server says
that it is busy or stops answering; it shrinks by a fifth when the median answer of a round takes more than twice as
long as in the best round; otherwise each finished round lets one more tenth in. Where nothing was answered between two
calls that were told to come back later, nothing starts before that time. Calls and tokens a minute are paced evenly,
with bursts of one second. Does not know what a call is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from statistics import median

from hyperllm.errors import ConfigError, ProviderFaltered

CUT = 2 / 3
SHRINK = 0.8
GROW = 1.1
SLOW = 2.0
FORGET = 1.02
"""How the best round fades while it is not reached: answers may have become longer for good."""
LONGEST_PAUSE_S = 120.0


class Pace:
    """Even spacing: ``per_minute`` units may pass, one second's worth of them at once."""

    def __init__(self, per_minute: float) -> None:
        if per_minute <= 0:
            raise ConfigError(f"a rate a minute must be positive; found {per_minute:g}")
        self._each_s = 60.0 / per_minute
        self._due = 0.0

    def wait_s(self, units: float, now: float) -> float:
        """Take ``units`` and say how long to wait before using them."""
        self._due = max(self._due, now - 1.0) + units * self._each_s
        return max(0.0, self._due - now)


class Gate:
    """Lets at most ``most`` calls pass at once, fewer while the server is in trouble."""

    def __init__(self, most: int, *, calls_per_minute: float | None = None, tokens_per_minute: float | None = None):
        if most < 1:
            raise ConfigError(f"workers must be at least 1; found {most}")
        self.most = most
        self.limit = float(most)
        self.passing = 0
        self._calls = Pace(calls_per_minute) if calls_per_minute is not None else None
        self._tokens = Pace(tokens_per_minute) if tokens_per_minute is not None else None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = 0.0
        self._cut_at = 0.0
        self._answered_since = False
        self._round: list[float] = []
        self._best_s: float | None = None

    @asynccontextmanager
    async def passage(self, tokens: int) -> AsyncGenerator[None]:
        """Wait for a place, for the rates and for the end of any pause; hold the place during the block."""
        await self._enter()
        try:
            await self._wait(tokens)
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._free() and not self._waiting:
            self.passing += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was given a place that it will never use
                self._leave()
            raise

    def _leave(self) -> None:
        self.passing -= 1
        self._wake()

    def _free(self) -> bool:
        return self.passing < max(1, int(self.limit))

    def _wake(self) -> None:
        """Give free places to those who wait, in the order they came."""
        while self._waiting and self._free():
            place = self._waiting.popleft()
            if not place.done():
                self.passing += 1
                place.set_result(None)

    async def _wait(self, tokens: int) -> None:
        now = time.monotonic()
        pause = self._calls.wait_s(1, now) if self._calls else 0.0
        pause = max(pause, self._tokens.wait_s(tokens, now) if self._tokens else 0.0)
        if pause:
            await asyncio.sleep(pause)
        while (closed := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(closed + random.uniform(0, 0.1 * closed))

    def spent(self, more_tokens: int) -> None:
        """A call took so many more tokens than was assumed when it passed (fewer, where negative)."""
        if self._tokens:
            self._tokens.wait_s(more_tokens, time.monotonic())

    def answered(self, latency_s: float) -> None:
        """A call was answered; a full round of them moves the limit."""
        self._answered_since = True
        self._round.append(latency_s)
        if len(self._round) < max(1, int(self.limit)):
            return
        typical = median(self._round)
        self._round = []
        self._best_s = typical if self._best_s is None else min(self._best_s, typical)
        if typical > SLOW * self._best_s:
            self.limit = max(1.0, self.limit * SHRINK)
            self._best_s *= FORGET
        else:
            self.limit = min(float(self.most), max(self.limit * GROW, self.limit + 1))
        self._wake()

    def troubled(self, problem: ProviderFaltered, latency_s: float) -> None:
        """A call failed: fewer at once where the server is busy or silent, and a pause where it asked for one."""
        now = time.monotonic()
        if problem.retry_after_s and not self._answered_since:
            self._closed_until = max(self._closed_until, now + min(problem.retry_after_s, LONGEST_PAUSE_S))
        self._answered_since = self._answered_since and not problem.busy
        if problem.busy and now - latency_s >= self._cut_at:
            self._cut_at = now
            self.limit = max(1.0, self.limit * CUT)
            self._round = []
