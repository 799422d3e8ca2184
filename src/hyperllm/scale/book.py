"""One ledger and one budget for many workers: a process beside the ledger's file, to which all of them report.

A worker asks to `Book.begin` a call and sends it only when the row is on disk and its dearest outcome is set aside from
the budget; what came of it, it tells with its next call's row, or a moment later. So the rules of the ledger hold for a
cluster as they do for one process: a call is on record before it is sent, a recorded call is never paid for twice, and
a worker that dies costs the calls it had on their way; they are marked ``lost`` when its questions are given out again,
or when the worker has not been heard of for `SILENT_S`: others may wait for what is set aside for them.

Knows rows, questions and dollars. Does not know what is asked, nor Ray: it is an ordinary object, which
`hyperllm.scale.asking` makes an actor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from hyperllm.errors import ConfigError, HyperLLMError, ProviderRefused, ProviderUnavailable
from hyperllm.llm.caller import Budget, BudgetReached
from hyperllm.llm.chat import Reply
from hyperllm.llm.ledger import Call, Ledger, Stored, Verdict

SILENT_S = 30.0
"""After so long without a sign of life a worker is taken for dead; should it answer all the same, that is written."""
STILL_S = SILENT_S / 2
"""After so long without a sign of life of anybody it is the book that stood still: each gives one every few seconds."""


@dataclass(frozen=True)
class Answered:
    """The call of a row brought a reply."""

    row: int
    reply: Reply
    price_usd: float | None
    latency_s: float


@dataclass(frozen=True)
class Refused:
    """It was answered with a no, which may have cost something all the same."""

    row: int
    reason: str
    input_tokens: int
    output_tokens: int
    price_usd: float | None
    latency_s: float


@dataclass(frozen=True)
class Failed:
    """It was lost on the way."""

    row: int
    reason: str
    latency_s: float


@dataclass(frozen=True)
class Judged:
    """What became of a question."""

    call: Call
    verdict: Verdict
    reason: str | None


News: TypeAlias = Answered | Refused | Failed | Judged


@dataclass(frozen=True)
class Known:
    """What the ledger has of a question: its end, if it has one, and the replies that are paid for, by turn."""

    verdict: tuple[Verdict, str | None] | None
    replies: dict[int, Stored]
    elsewhere: bool = False
    """Whether an equal question is on its way at another worker, which will end this one too."""


@dataclass(frozen=True)
class Standing:
    """How far all workers are together; ``failure`` is what they cannot go on after."""

    ended: int
    input_tokens: int
    output_tokens: int
    spent_usd: float
    out_of_budget: bool
    failure: HyperLLMError | None


@dataclass(frozen=True)
class _OnItsWay:
    """A call that was sent: its question, what is set aside for it, and the worker that waits for it."""

    question: bytes
    cost: float
    who: str


@dataclass
class _Sent:
    """Calls on their way by row, and the rows of each question."""

    calls: dict[int, _OnItsWay] = field(default_factory=dict[int, _OnItsWay])
    rows: dict[bytes, set[int]] = field(default_factory=dict[bytes, set[int]])

    def add(self, row: int, call: _OnItsWay) -> None:
        self.calls[row] = call
        self.rows.setdefault(call.question, set()).add(row)

    def drop(self, row: int) -> float | None:
        """What was set aside for a row; None where it ended before."""
        if row not in self.calls:
            return None
        call = self.calls.pop(row)
        rows = self.rows[call.question]
        rows.remove(row)
        if not rows:
            del self.rows[call.question]
        return call.cost

    def of(self, who: str) -> list[int]:
        """The rows of one worker."""
        return [row for row, call in self.calls.items() if call.who == who]


class Book:
    """The ledger at ``path``, which another process has open and leaves alone meanwhile.

    ``most`` and ``spent`` are dollars: the budget, None for none, and what is gone of it.
    """

    def __init__(self, path: Path, *, most: float | None = None, spent: float = 0.0) -> None:
        self._open = ExitStack()
        self._ledger = self._open.enter_context(Ledger.beside(path))
        self._budget = Budget(most, spent)
        self._sent = _Sent()
        self._asking: dict[bytes, str] = {}
        """Questions that a worker has, and whom each is about."""
        self._heard: dict[str, float] = {}
        """When each worker gave its last sign of life; those taken for dead are not in it."""
        self._risen = asyncio.Event()
        """Somebody is heard who was not in it."""
        self._read = self._wrote = 0
        """Tokens."""
        self._ended = 0
        self._broke = False
        self._failure: HyperLLMError | None = None

    async def lease(self, questions: Sequence[tuple[bytes, str]]) -> list[Known] | None:
        """What is known of questions, (hash, about) each, that a worker is about to ask; None where all shall stop.

        Whoever had them before is dead: a block is given out anew only then, so its open calls are lost.
        """
        if self._over:
            return None
        known = [self._known(key, about) for key, about in questions]
        self._ledger.settle()
        return known

    def _known(self, key: bytes, about: str) -> Known:
        verdict = self._ledger.verdict(key)
        if verdict is not None and verdict[0] != "unanswered":
            return Known(verdict, {})
        if self._asking.setdefault(key, about) != about:
            return Known(None, {}, elsewhere=True)
        self._lose(tuple(self._sent.rows.get(key, ())))
        replies = {turn: found for turn in (1, 2) if (found := self._ledger.reply(key, turn)) is not None}
        return Known(None, replies)

    async def alive(self, who: str) -> None:
        """A worker's sign of life, due every few seconds while it asks; those without one are looked for meanwhile."""
        now = self._hear(who)
        for silent in [other for other, heard in self._heard.items() if now - heard > SILENT_S]:
            del self._heard[silent]
            self._lose(self._sent.of(silent))

    def _hear(self, who: str) -> float:
        """When that is; where nobody was heard for long, it was this process that stood still, and nobody is dead."""
        now = time.monotonic()
        if now - max(self._heard.values(), default=now) > STILL_S:
            self._heard = dict.fromkeys(self._heard, now)
        if who not in self._heard:
            self._risen.set()
            self._risen = asyncio.Event()
        self._heard[who] = now
        return now

    async def begin(self, call: Call, cost: float, news: Sequence[News] = (), who: str = "") -> int | None:
        """A row for a call that may cost so much, settled; None where the budget has no room for it, or all shall stop.

        Waits while calls on their way may still make room; a worker (``who``) that is taken for dead meanwhile gets it
        when it is heard again. ``news`` of earlier calls is written with it.
        """
        self._write(news)
        if self._over:
            return None
        self._hear(who)
        try:
            await self._budget.reserve(cost)
            while who not in self._heard:
                self._budget.release(cost)
                await self._risen.wait()
                await self._budget.reserve(cost)
        except BudgetReached:
            self._broke = True
            return None
        row = self._ledger.begin(call)
        self._sent.add(row, _OnItsWay(call.question, cost, who))
        return row

    async def tell(self, news: Sequence[News]) -> None:
        """Write what came of calls; it outlives this process when this returns."""
        self._write(news)
        self._ledger.settle()

    async def stop(self, kind: str, reason: str) -> None:
        """Somebody cannot go on, so nobody shall; the first reason counts. Calls on their way are still written."""
        self._failure = self._failure or (ConfigError if kind == "ConfigError" else ProviderUnavailable)(reason)

    @property
    def _over(self) -> bool:
        return self._broke or self._failure is not None

    async def standing(self) -> Standing:
        """How far all are."""
        return Standing(self._ended, self._read, self._wrote, self._budget.spent, self._broke, self._failure)

    async def close(self) -> Standing:
        """Settle and let go of the file."""
        self._open.close()
        return await self.standing()

    def _write(self, news: Sequence[News]) -> None:
        for one in news:
            if isinstance(one, Judged):
                self._lose(tuple(self._sent.rows.get(one.call.question, ())))  # of a question that was given up
                self._ledger.judge(one.call, one.verdict, one.reason)
                self._asking.pop(one.call.question, None)
                self._ended += 1
            else:
                self._end(one)

    def _end(self, one: Answered | Refused | Failed) -> None:
        if isinstance(one, Answered):
            self._ledger.answered(one.row, one.reply, price_usd=one.price_usd, latency_s=one.latency_s)
            self._spend(one.reply.input_tokens, one.reply.output_tokens, one.price_usd)
        elif isinstance(one, Refused):
            problem = ProviderRefused(one.reason, input_tokens=one.input_tokens, output_tokens=one.output_tokens)
            self._ledger.refused(one.row, problem, price_usd=one.price_usd, latency_s=one.latency_s)
            self._spend(one.input_tokens, one.output_tokens, one.price_usd)
        else:
            self._ledger.failed(one.row, one.reason, latency_s=one.latency_s)
        self._ended_call(one.row)

    def _spend(self, sent: int, written: int, price_usd: float | None) -> None:
        self._read += sent
        self._wrote += written
        self._budget.spent += price_usd or 0.0

    def _lose(self, rows: Sequence[int]) -> None:
        """Whoever waited for these calls is dead."""
        for row in rows:
            self._ledger.gone(row)
            self._ended_call(row)

    def _ended_call(self, row: int) -> None:
        """What was set aside for a call is free again."""
        if (cost := self._sent.drop(row)) is not None:
            self._budget.release(cost)
