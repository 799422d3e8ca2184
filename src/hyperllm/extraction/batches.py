"""Asking through a server's Batch API: the same questions, the same ledger, half the price, within a day.

A round sends every open question's next turn, in batches of ``size`` requests and within the budget, waits, and writes
each answer down; the next repairs what was malformed. A row stands in the ledger before a batch is sent, with the
batch's own name in its metadata, so that a process killed between sending and noting finds its batch again at the
server. Does not know where questions come from.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hyperllm.errors import ProviderError, ProviderFaltered, ProviderRefused, ProviderUnavailable
from hyperllm.extraction.ask import Asker, Outcome, Progress, Question, complaint, over_budget, repair
from hyperllm.llm.caller import Caller
from hyperllm.llm.chat import Message, Reply, estimated_tokens
from hyperllm.llm.endpoint import BadRequest
from hyperllm.llm.ledger import Call, Verdict
from hyperllm.llm.loop import wait_for
from hyperllm.llm.openai import OpenAIChat, read_reply

TRIES = 3
"""How often one turn is sent at most, and how often a lost upload or download is repeated."""
FILES = ("output_file_id", "error_file_id")
REFUSED = frozenset({400, 413, 415, 422})
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True)
class _Turn:
    question: Question[Any]
    number: int
    messages: tuple[Message, ...]


def run_batches(
    caller: Caller,
    asker: Asker,
    questions: Iterator[Question[Any]],
    *,
    total: int | None,
    progress: Progress | None = None,
    poll_s: float = 30.0,
    size: int = 20_000,
) -> Outcome:
    """Like `hyperllm.extraction.ask.run`, through ``/files`` and ``/batches``."""
    chat = asker.chat
    assert isinstance(chat, OpenAIChat), "only OpenAI-compatible servers have a Batch API"
    batches = _Batches(caller, chat, asker, total, progress, poll_s, size)
    return wait_for(lambda: batches.run(questions))


@dataclass
class _Batches:
    caller: Caller
    chat: OpenAIChat
    asker: Asker
    total: int | None
    progress: Progress | None
    poll_s: float
    size: int
    _dropped: set[str] = field(default_factory=set[str])
    """Parameters that the server does not take, and that later requests leave out."""

    async def run(self, questions: Iterator[Question[Any]]) -> Outcome:
        outcome = Outcome()
        try:
            await self._collect_open()
            while outcome.stopped is None and (block := list(islice(questions, self.size))):
                await self._settle(block, outcome)
        finally:
            await self.asker.close()
        return outcome

    async def _settle(self, block: list[Question[Any]], outcome: Outcome) -> None:
        """Send the open turns of some questions, each `TRIES` times at most, and judge each question."""
        sent: Counter[tuple[bytes, int]] = Counter()
        while outcome.stopped is None:
            turns = {(t.question.key, t.number): t for q in block if (t := self._open(q)) is not None}
            wanted = [turn for key, turn in turns.items() if sent[key] < TRIES]
            if not wanted:
                break
            paid = self._affordable(wanted)
            if not paid:
                outcome.stopped = over_budget(self.caller.budget)
            else:
                sent.update((turn.question.key, turn.number) for turn in paid)
                await self._send(paid)
        for question in block:
            verdict, reason = self._judge(question)
            if verdict == "unanswered" and outcome.stopped is not None:
                continue
            self.caller.ledger.judge(self.asker.call(question, 1), verdict, reason)
            outcome.add(question, verdict, reason)
        self._tell(sum(outcome.verdicts.values()))

    def _open(self, question: Question[Any]) -> _Turn | None:
        """The turn that a question still needs; None where it has ended."""
        ledger = self.caller.ledger
        verdict = ledger.verdict(question.key)
        if verdict is not None and verdict[0] != "unanswered":
            return None
        first = ledger.reply(question.key, 1)
        if ledger.last_call(question.key)[0] == "refused":
            return None
        if first is None:
            return _Turn(question, 1, question.messages)
        problem = complaint(question, first.reply)
        if problem is None or ledger.reply(question.key, 2) is not None:
            return None
        return _Turn(question, 2, repair(question, first.reply, problem))

    def _judge(self, question: Question[Any]) -> tuple[Verdict, str | None]:
        ledger = self.caller.ledger
        verdict = ledger.verdict(question.key)
        if verdict is not None and verdict[0] != "unanswered":
            return verdict
        state, reason = ledger.last_call(question.key)
        if state == "refused":
            return "quarantined", reason
        second = ledger.reply(question.key, 2)
        stored = second or ledger.reply(question.key, 1)
        if stored is None:
            return "unanswered", reason or "not asked"
        problem = complaint(question, stored.reply)
        if problem is None:
            return "done", None
        return ("quarantined", problem) if second else ("unanswered", reason or problem)

    def _affordable(self, turns: list[_Turn]) -> list[_Turn]:
        """As many of the first turns as cannot pass the budget together, whatever they answer."""
        budget, price = self.caller.budget, self.caller.price
        if budget.most is None or price is None:
            return turns
        left = budget.most - budget.spent
        for number, turn in enumerate(turns):
            left -= price.of(sum(estimated_tokens(m.content) for m in turn.messages), self.chat.max_tokens)
            if left < 0:
                return turns[:number]
        return turns

    async def _send(self, turns: list[_Turn]) -> None:
        ledger, name = self.caller.ledger, uuid.uuid4().hex
        calls = [self.asker.call(turn.question, turn.number) for turn in turns]
        rows = ledger.begin_batch(name, self.asker.series, calls)
        lines = [self._line(row, turn) for row, turn in zip(rows, turns, strict=True)]
        try:
            remote = await self._create(name, "\n".join(lines).encode())
        except ProviderFaltered:  # it may have reached the server all the same: whoever comes next looks for it
            raise
        except ProviderError:
            ledger.drop_batch(name)
            raise
        ledger.batch_is(name, "sent", remote)
        await self._collect(name, remote)

    def _line(self, row: int, turn: _Turn) -> str:
        body = self.chat.body(turn.messages, turn.question.schema)
        return json.dumps({"custom_id": str(row), "method": "POST", "url": "/v1/chat/completions", "body": body})

    async def _create(self, name: str, content: bytes) -> str:
        """Upload and create; where the server's answer to that is lost, look before it is done again."""
        return await self._patiently(lambda: self._submit(name, content), lambda: self._find(name))

    async def _submit(self, name: str, content: bytes) -> str:
        file = await self.chat.at.upload("files", f"{name}.jsonl", content, purpose="batch")
        wanted = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"hyperllm": name},
        }
        return str((await self.chat.at.post("batches", wanted))["id"])

    async def _patiently(
        self, send: Callable[[], Awaitable[str]], look: Callable[[], Awaitable[str | None]] | None = None
    ) -> str:
        """What ``send`` brings, repeated where it is lost on the way and ``look`` finds no trace of it."""
        for _ in range(TRIES):
            try:
                return await send()
            except ProviderFaltered:
                await asyncio.sleep(self.poll_s)
                if look is not None and (found := await look()) is not None:
                    return found
        return await send()

    async def _collect_open(self) -> None:
        """Fetch what earlier processes sent; a batch that never reached the server is taken back."""
        for name, remote in self.caller.ledger.open_batches(self.asker.series):
            found = remote or await self._find(name)
            if found is None:
                self.caller.ledger.drop_batch(name)
            else:
                self.caller.ledger.batch_is(name, "sent", found)
                await self._collect(name, found)

    async def _find(self, name: str) -> str | None:
        after = ""
        while True:
            listed = await self.chat.at.get(f"batches?limit=100{after}")
            found = listed.get("data") or []
            for batch in found:
                if (batch.get("metadata") or {}).get("hyperllm") == name:
                    return str(batch["id"])
            if not listed.get("has_more") or not found:
                return None
            after = f"&after={found[-1]['id']}"

    async def _collect(self, name: str, remote: str) -> None:
        """Wait for a batch to end and write down every answer; raises where the server would not take it at all."""
        state = await self._wait(name, remote)
        files = [f"files/{state[key]}/content" for key in FILES if state.get(key)]
        texts = [await self._patiently(lambda path=path: self.chat.at.download(path)) for path in files]
        ledger = self.caller.ledger
        calls = ledger.batch_calls(name)
        reason = f"the batch {remote} is {state['status']}{_errors(state)}"
        with ledger.together():
            for text in texts:
                for line in text.splitlines():
                    self._write_down(line, calls)
            for row in calls:
                ledger.failed(row, f"{reason} and has no answer to this request")
            ledger.batch_is(name, "ended")
        if state["status"] == "failed" and not texts:
            raise ProviderUnavailable(f"{reason}; a smaller --set batch_size may help")

    async def _wait(self, name: str, remote: str) -> dict[str, Any]:
        while True:
            with suppress(ProviderFaltered):
                state = await self.chat.at.get(f"batches/{remote}")
                if state.get("status") in ENDED:
                    return state
                done = (state.get("request_counts") or {}).get("completed", 0)
                self._tell(done, f"batch {remote}: {state.get('status')}")
            await asyncio.sleep(self.poll_s)

    def _write_down(self, line: str, calls: dict[int, Call]) -> None:
        try:
            answer = json.loads(line)
            row = int(answer["custom_id"])
        except (ValueError, KeyError, TypeError):
            return
        if calls.pop(row, None) is None:
            return
        caller = self.caller
        try:
            reply = _reply(answer)
            caller.ledger.answered(row, reply, price_usd=caller.cost(reply), latency_s=None)
            caller.count(reply, caller.cost(reply))
        except BadRequest as no:  # perhaps of a feature that this server does not have
            simpler = self.chat.dialect.without(no) or (self.chat.dialect if no.parameter in self._dropped else None)
            if simpler is None:
                caller.ledger.refused(row, no)
            else:
                self._dropped.add(no.parameter)
                self.chat.dialect = simpler
                caller.ledger.failed(row, str(no))
        except ProviderRefused as no:
            caller.ledger.refused(row, no, price_usd=caller.cost(no))
            caller.count(no, caller.cost(no))
        except ProviderUnavailable as problem:
            caller.ledger.failed(row, str(problem))

    def _tell(self, done: int, note: str = "") -> None:
        if self.progress is not None:
            self.progress(done, self.total, note or self.caller.note())


def _reply(answer: Mapping[str, Any]) -> Reply:
    """The reply in a line of an output or error file."""
    response = answer.get("response") or {}
    body, status = response.get("body") or {}, response.get("status_code", 200)
    problem = answer.get("error") or body.get("error")
    if problem or status != 200:
        problem = problem if isinstance(problem, dict) else {"message": problem}
        said = f"the batch has no answer to this request: {problem.get('message') or f'status {status}'}"
        if status in REFUSED:
            raise BadRequest(said, status=status, parameter=str(problem.get("param") or ""))
        raise ProviderFaltered(said)
    return read_reply(body, ())


def _errors(state: Mapping[str, Any]) -> str:
    """What the server says of a batch as a whole."""
    told = [str(error.get("message")) for error in (state.get("errors") or {}).get("data") or []]
    return f" ({'; '.join(told[:3])})" if told else ""
