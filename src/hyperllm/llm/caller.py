"""Making calls that count: through the gate, into the ledger, within the budget, again where that may help.

Knows when a call is worth repeating: whatever was lost on the way (`ProviderFaltered`), up to `TRIES` times, or twice
as often while the server says that it is busy, after waits that double and are jittered. When `GIVE_UP_AFTER` calls in
a row came to nothing, the server is taken to be gone. Does not know what is asked, nor what an answer means.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hyperllm.errors import ProviderError, ProviderFaltered, ProviderRefused, ProviderUnavailable
from hyperllm.llm.chat import Reply
from hyperllm.llm.endpoint import BadRequest
from hyperllm.llm.gate import LONGEST_PAUSE_S, Gate
from hyperllm.llm.ledger import Call, Ledger
from hyperllm.llm.prices import Price

TRIES = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
GIVE_UP_AFTER = 5
REFUSED_IN_A_ROW = 25
ASSUMED_OUTPUT = 1024
"""Tokens that are set aside for an answer whose longest length is not said."""


class BudgetReached(Exception):
    """The next call could pass the budget; everything finished is kept."""


class Unanswered(ProviderUnavailable):
    """This call brought no answer after all tries; others may."""


@dataclass
class Budget:
    """Dollars: at most ``most`` (None: no limit), ``spent`` so far, ``reserved`` for calls on their way."""

    most: float | None = None
    spent: float = 0.0
    reserved: float = 0.0
    _on_their_way: int = field(default=0, init=False, repr=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False, compare=False)

    async def reserve(self, cost: float) -> None:
        """Set ``cost`` aside, after calls on their way have brought less than was feared; raises `BudgetReached`."""
        while self.most is not None and self.spent + self.reserved + cost > self.most:
            if not self._on_their_way:
                raise BudgetReached
            await self._freed.wait()
        self._on_their_way += 1
        self.reserved += cost

    def release(self, cost: float) -> None:
        """A call for which ``cost`` was set aside has ended; what it really cost is in ``spent``."""
        self._on_their_way -= 1
        self.reserved = self.reserved - cost if self._on_their_way else 0.0
        self._freed.set()
        self._freed = asyncio.Event()


class Caller:
    """Makes the calls of one series, and counts what this process spends."""

    def __init__(self, ledger: Ledger, gate: Gate, *, price: Price | None = None, budget: Budget | None = None) -> None:
        self.ledger = ledger
        self.gate = gate
        self.price = price
        self.budget = budget or Budget()
        self.input_tokens = 0
        self.output_tokens = 0
        self._in_a_row: dict[type[ProviderError], int] = {}

    async def ask(
        self, call: Call, send: Callable[[], Awaitable[Reply]], *, tokens: int, longest: int = ASSUMED_OUTPUT
    ) -> Reply:
        """What ``send`` brings, recorded; it is expected to take ``tokens`` and to bring at most ``longest``.

        Raises `Unanswered`, `ProviderRefused`, `ProviderUnavailable` and `BudgetReached`.
        """
        cost = self.price.of(tokens, longest) if self.price else 0.0
        expected = tokens + longest // 2
        faltered, tries = 0.0, 0
        while True:
            await self.budget.reserve(cost)
            try:
                async with self.gate.passage(expected):
                    return await self._once(call, expected, send)
            except ProviderFaltered as problem:
                tries += 1
                faltered += 0.5 if problem.busy else 1.0
                if faltered >= TRIES:
                    raise self._gave_up(Unanswered(f"{problem}; asked {tries} times"), GIVE_UP_AFTER) from None
                wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** int(faltered)) * random.uniform(0.5, 1.0)
                wait = max(wait, min(problem.retry_after_s or 0.0, LONGEST_PAUSE_S))
            except BadRequest as problem:
                raise self._gave_up(problem, REFUSED_IN_A_ROW) from None
            finally:
                self.budget.release(cost)
            await asyncio.sleep(wait)

    async def _once(self, call: Call, expected: int, send: Callable[[], Awaitable[Reply]]) -> Reply:
        row = self.ledger.begin(call)
        began = time.monotonic()
        try:
            reply = await send()
        except ProviderError as problem:
            latency = time.monotonic() - began
            if isinstance(problem, ProviderRefused):
                price = self.cost(problem)
                self.ledger.refused(row, problem, price_usd=price, latency_s=latency)
                self.count(problem, price)
                if not isinstance(problem, BadRequest):  # the model was there to refuse
                    self._in_a_row.clear()
            else:
                self.ledger.failed(row, str(problem), latency_s=latency)
            self.ledger.settle()
            if isinstance(problem, ProviderFaltered):
                self.gate.troubled(problem, latency)
            raise
        latency = time.monotonic() - began
        price = self.cost(reply)
        self.ledger.answered(row, reply, price_usd=price, latency_s=latency)
        self.gate.answered(latency)
        self.gate.spent(reply.input_tokens + reply.output_tokens - expected)
        self.count(reply, price)
        self._in_a_row.clear()
        asyncio.get_running_loop().call_soon(self.ledger.settle)
        return reply

    def cost(self, spent: Reply | ProviderRefused) -> float | None:
        """Dollars for the tokens of an answer; None where nobody knows the price."""
        return self.price.of(spent.input_tokens, spent.output_tokens) if self.price else None

    def count(self, reply: Reply | ProviderRefused, price_usd: float | None) -> None:
        """Add an answer to this process's sums."""
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        self.budget.spent += price_usd or 0.0

    def note(self) -> str:
        """Tokens and dollars so far, for a progress bar."""
        return told(self.input_tokens, self.output_tokens, self.budget.spent if self.price else None)

    def _gave_up(self, problem: ProviderError, most: int) -> ProviderError:
        kind = type(problem)
        self._in_a_row[kind] = self._in_a_row.get(kind, 0) + 1
        if self._in_a_row[kind] < most:
            return problem
        return ProviderUnavailable(f"{most} questions in a row came to nothing, the last because {problem}")


def told(input_tokens: int, output_tokens: int, spent_usd: float | None) -> str:
    """Tokens and dollars as a progress bar shows them."""
    dollars = "price unknown" if spent_usd is None else f"${spent_usd:,.4f}"
    return f"{_short(input_tokens)} + {_short(output_tokens)} tokens, {dollars}"


def _short(count: int) -> str:
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count)
