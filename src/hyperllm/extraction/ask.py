"""Asking: questions go through a caller until each is answered well, quarantined, or out of luck.

A question is one rendered prompt; its hash keys everything made from it. A malformed answer gets one repair call that
says what was wrong; malformed twice, or refused, it is quarantined with the reason. All state is in the ledger: a
question whose calls are there is never sent again, whichever process made them. Memory holds the questions on their
way, whatever the catalogue's size. Does not know where questions come from, nor providers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from hyperllm.errors import MalformedReply, ProviderRefused
from hyperllm.extraction.parse import ITEM_SCHEMAS, USER_SCHEMA, ItemAnswer, read_item, read_user
from hyperllm.extraction.profiles import Origin
from hyperllm.extraction.prompts import Prompt, Prompts
from hyperllm.llm.caller import ASSUMED_OUTPUT, Budget, BudgetReached, Caller, Unanswered
from hyperllm.llm.chat import ChatProvider, Message, Reply, estimated_tokens
from hyperllm.llm.ledger import Call, Ledger, Stored, Verdict
from hyperllm.llm.loop import wait_for

Progress = Callable[[int, int | None, str], None]
"""Called with (done, total or None, note)."""
Answer = TypeVar("Answer")
EXAMPLES = 5
STAGGER_S = 0.003
"""Between the first calls of two workers: calls that start together come back together, and wait for each other."""
BLOCK = 256


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer]):
    """One prompt about one item or user (``about``); ``key`` is its hash, ``read`` takes its answer apart."""

    kind: str
    about: str
    key: bytes
    prompt: Prompt
    text: str
    schema: Mapping[str, Any]
    read: Callable[[str], Answer]

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is sent first."""
        return self.prompt.messages(self.text)


@dataclass
class Asker:
    """Makes the questions of one model and prompt version; ``series`` names them in the ledger.

    ``connect`` reaches for the model when the first question is really asked.
    """

    model: str
    settings: Mapping[str, Any]
    prompts: Prompts
    series: str
    connect: Callable[[], ChatProvider]

    @cached_property
    def chat(self) -> ChatProvider:
        """The model."""
        return self.connect()

    async def close(self) -> None:
        """Let go of the model, if it was ever reached for."""
        if "chat" in self.__dict__:
            await self.chat.close()
            del self.chat

    def item(self, about: str, text: str) -> Question[ItemAnswer]:
        """The question about an item of this text."""
        key = self._key(self._about_items, text)
        return Question("item", about, key, self.prompts.item, text, ITEM_SCHEMAS[self.prompts.answer], read_item)

    def user(self, about: str, text: str) -> Question[str]:
        """The question about a user with this history."""
        key = self._key(self._about_users, text)
        return Question("user", about, key, self.prompts.user, text, USER_SCHEMA, read_user)

    def of(self, kind: str, about: str, text: str) -> Question[Any]:
        """The question of this kind."""
        return (self.item if kind == "item" else self.user)(about, text)

    @cached_property
    def _about_items(self) -> bytes:
        return self._hash("item", self.prompts.item)

    @cached_property
    def _about_users(self) -> bytes:
        return self._hash("user", self.prompts.user)

    def _hash(self, kind: str, prompt: Prompt) -> bytes:
        """Over everything that shapes an answer but the text."""
        said = [self.model, dict(self.settings), self.prompts.version, kind, prompt.system, prompt.user]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()

    @staticmethod
    def _key(base: bytes, text: str) -> bytes:
        return hashlib.sha256(base + text.encode("utf-8", "replace")).digest()

    def call(self, question: Question[Any], turn: int) -> Call:
        """What the ledger is told of a call."""
        return Call(question.key, turn, self.series, question.kind)

    def origin(self, key: bytes, turns: Sequence[Stored]) -> Origin:
        """Who wrote the answer, and at what cost, the repair included."""
        return Origin(
            model=self.model,
            prompt_version=self.prompts.version,
            prompt_hash=key.hex(),
            input_tokens=sum(turn.reply.input_tokens for turn in turns),
            output_tokens=sum(turn.reply.output_tokens for turn in turns),
            raw=turns[-1].reply.text,
        )


@dataclass
class Outcome:
    """How many questions ended how, ``reasons`` of the ones without a profile, and why asking stopped early."""

    verdicts: Counter[Verdict] = field(default_factory=Counter[Verdict])
    found_done: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    examples: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether a repetition would find nothing to ask."""
        return self.stopped is None and not self.verdicts["unanswered"]

    def add_all(self, other: Outcome) -> None:
        """Count what another one counted."""
        self.verdicts += other.verdicts
        self.reasons += other.reasons
        self.found_done += other.found_done
        self.examples |= other.examples
        self.stopped = self.stopped or other.stopped

    def add(self, question: Question[Any], verdict: Verdict, reason: str | None) -> None:
        """Count one."""
        self.count(question.kind, question.about, verdict, reason)

    def count(self, kind: str, about: str, verdict: Verdict, reason: str | None) -> None:
        """Count the question about one item or user."""
        self.verdicts[verdict] += 1
        if reason is not None:
            self.reasons[reason.partition(":")[0].partition("'")[0].strip()] += 1
            if len(self.examples) < EXAMPLES:
                self.examples[f"{kind} {about}"] = reason


def answered(ledger: Ledger, asker: Asker, key: bytes, read: Callable[[str], Answer]) -> tuple[Answer, Origin] | None:
    """What the ledger knows to answer; None where the question is open or went badly."""
    verdict = ledger.verdict(key)
    if verdict is None or verdict[0] != "done":
        return None
    turns = [stored for turn in (1, 2) if (stored := ledger.reply(key, turn)) is not None]
    return read(turns[-1].reply.text), asker.origin(key, turns)


class Asking(Protocol):
    """A way to get many questions answered; `run` is the one in this process."""

    def __call__(
        self,
        caller: Caller,
        asker: Asker,
        questions: Iterator[Question[Any]],
        *,
        total: int | None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Ask everything that is open, and wait for it; the caller's ledger knows all of it when this returns."""
        ...


def run(
    caller: Caller,
    asker: Asker,
    questions: Iterator[Question[Any]],
    *,
    total: int | None,
    progress: Progress | None = None,
) -> Outcome:
    """Ask everything that is open, and wait for it; call from anywhere, also while an event loop runs."""
    return wait_for(lambda: _ask_all(caller, asker, questions, total, progress))


async def _ask_all(
    caller: Caller, asker: Asker, questions: Iterator[Question[Any]], total: int | None, progress: Progress | None
) -> Outcome:
    outcome = Outcome()
    waiting = still_open(caller.ledger, questions, outcome)
    twins = _Twins(caller, asker)
    bell = _Bell(outcome, caller, total, progress)
    failure: list[Exception] = []

    async def work(number: int) -> None:
        await asyncio.sleep(number * STAGGER_S)
        for question in waiting:
            try:
                outcome.add(question, *await twins.settled(question))
            except BudgetReached:
                outcome.stopped = outcome.stopped or over_budget(caller.budget)
            except Exception as error:
                failure.append(error)
            bell.ring()
            if outcome.stopped or failure:
                return

    try:
        await asyncio.gather(*(work(number) for number in range(caller.gate.most)))
    finally:
        await asker.close()
    bell.ring(last=True)
    if failure:
        raise failure[0]
    return outcome


def still_open(ledger: Ledger, questions: Iterator[Question[Any]], outcome: Outcome) -> Iterator[Question[Any]]:
    """The questions without an end, looked up a block at a time; the ended ones are counted."""
    while block := list(islice(questions, BLOCK)):
        known = ledger.verdicts([question.key for question in block])
        for question in block:
            found = known.get(question.key)
            if found is None or found[0] == "unanswered":
                yield question
            else:
                outcome.found_done += 1
                outcome.add(question, *found)


def over_budget(budget: Budget) -> str:
    """Why nothing more is asked."""
    if budget.most is None:  # a worker's, which others share
        return "the budget has no room for the next call"
    return f"the next call could pass the budget of ${budget.most:g}; ${budget.spent:,.4f} are spent"


@dataclass
class _Twins:
    """Equal questions that are on their way together share one call: the later wait for the first."""

    caller: Caller
    asker: Asker
    _running: dict[bytes, asyncio.Event] = field(default_factory=dict[bytes, asyncio.Event])

    async def settled(self, question: Question[Any]) -> tuple[Verdict, str | None]:
        while (first := self._running.get(question.key)) is not None:
            await first.wait()
            if (found := self.caller.ledger.verdict(question.key)) is not None:
                return found
        done = self._running[question.key] = asyncio.Event()
        try:
            return await _settle(self.caller, self.asker, question)
        finally:
            del self._running[question.key]
            done.set()


async def _settle(caller: Caller, asker: Asker, question: Question[Any]) -> tuple[Verdict, str | None]:
    """Ask, repair once, and write down what became of it."""
    verdict, reason = await _judge(caller, asker, question)
    caller.ledger.judge(asker.call(question, 1), verdict, reason)
    return verdict, reason


async def _judge(caller: Caller, asker: Asker, question: Question[Any]) -> tuple[Verdict, str | None]:
    try:
        first = await _turn(caller, asker, question, 1, question.messages)
        problem = complaint(question, first)
        if problem is None:
            return "done", None
        again = repair(question, first, problem)
        second = await _turn(caller, asker, question, 2, again)
        problem = complaint(question, second)
        return ("done", None) if problem is None else ("quarantined", problem)
    except ProviderRefused as refused:
        return "quarantined", str(refused)
    except Unanswered as silence:
        return "unanswered", str(silence)


async def _turn(caller: Caller, asker: Asker, question: Question[Any], turn: int, messages: Sequence[Message]) -> Reply:
    """The reply to one turn: the one paid for before, else a new one."""
    stored = caller.ledger.reply(question.key, turn)
    if stored is not None:
        return stored.reply
    chat = asker.chat  # reached for before the ledger is told that anything is sent
    return await caller.ask(
        asker.call(question, turn),
        lambda: chat.complete(messages, schema=question.schema),
        tokens=sum(estimated_tokens(m.content) for m in messages),
        longest=int(chat.settings.get("max_tokens") or ASSUMED_OUTPUT),
    )


def complaint(question: Question[Any], reply: Reply) -> str | None:
    """Why an answer cannot be used; None where it can."""
    try:
        question.read(reply.text)
    except MalformedReply as reason:
        return f"cut off at its length limit, be brief; {reason}" if reply.cut else str(reason)
    return None


def repair(question: Question[Any], reply: Reply, problem: str) -> tuple[Message, ...]:
    """The messages of the repair call."""
    form = f"one JSON object of this schema and nothing else: {json.dumps(question.schema)}"
    again = f"That answer cannot be used: {problem}. Answer again with {form}"
    return *question.messages, Message("assistant", reply.text or "…"), Message("user", again)


@dataclass
class _Bell:
    """Tells of progress after each question that was asked."""

    outcome: Outcome
    caller: Caller
    total: int | None
    progress: Progress | None

    def ring(self, *, last: bool = False) -> None:
        if self.progress is None:
            return
        ended = sum(self.outcome.verdicts.values())
        if last or ended > self.outcome.found_done:
            bad = ended - self.outcome.verdicts["done"]
            self.progress(ended, self.total, self.caller.note() + (f", {bad:,} without profile" if bad else ""))
