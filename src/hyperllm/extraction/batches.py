"""Asking through a server's Batch API: the same questions, the same ledger, half the price, within a day.

A round sends every open question's next turn in batches of at most `MOST` requests, waits, and writes each answer down;
a second round repairs what was malformed. A row stands in the ledger before a batch is sent, with the batch's own name
in its metadata, so that a process killed between sending and noting finds its batch again at the server. Does not know
where questions come from.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hyperllm.errors import ProviderError, ProviderFaltered, ProviderRefused, ProviderUnavailable
from hyperllm.extraction.ask import Asker, Outcome, Progress, Question, complaint, repair
from hyperllm.llm.caller import Caller
from hyperllm.llm.chat import Message, Reply, estimated_tokens
from hyperllm.llm.ledger import Call, Verdict
from hyperllm.llm.loop import wait_for
from hyperllm.llm.openai import OpenAIChat, read_reply

MOST = 20_000
"""Requests of one batch; servers take 50,000, and fewer bytes than these can have."""
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
) -> Outcome:
    """Like `hyperllm.extraction.ask.run`, through ``/files`` and ``/batches``."""
    chat = asker.chat
    assert isinstance(chat, OpenAIChat), "only OpenAI-compatible servers have a Batch API"
    batches = _Batches(caller, chat, asker, total, progress, poll_s)
    return wait_for(lambda: batches.run(questions))


@dataclass
class _Batches:
    caller: Caller
    chat: OpenAIChat
    asker: Asker
    total: int | None
    progress: Progress | None
    poll_s: float

    async def run(self, questions: Iterator[Question[Any]]) -> Outcome:
        outcome = Outcome()
        try:
            await self._collect_open()
            while block := list(islice(questions, MOST)):
                await self._settle(block, outcome)
        finally:
            await self.asker.close()
        return outcome

    async def _settle(self, block: list[Question[Any]], outcome: Outcome) -> None:
        """Send the open turns of some questions, twice at most, and judge each question."""
        for _ in (1, 2):
            turns = [turn for question in block if (turn := self._open(question)) is not None]
            if not turns:
                break
            if (reason := self._too_dear(turns)) is not None:
                outcome.stopped = reason
                break
            await self._send(turns)
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

    def _too_dear(self, turns: list[_Turn]) -> str | None:
        """Why these turns may not be sent: all of them together could pass the budget."""
        budget, price = self.caller.budget, self.caller.price
        if budget.most is None or price is None:
            return None
        tokens = sum(estimated_tokens(m.content) for turn in turns for m in turn.messages)
        cost = price.of(tokens, len(turns) * self.chat.max_tokens)
        if budget.spent + cost <= budget.most:
            return None
        return (
            f"a batch of {len(turns):,} calls could cost ${cost:,.2f}, which passes the budget of ${budget.most:,.2f}; "
            f"${budget.spent:,.4f} are spent"
        )

    async def _send(self, turns: list[_Turn]) -> None:
        ledger, name = self.caller.ledger, uuid.uuid4().hex
        calls = [self.asker.call(turn.question, turn.number) for turn in turns]
        rows = ledger.begin_batch(name, self.asker.series, calls)
        lines = [self._line(row, turn) for row, turn in zip(rows, turns, strict=True)]
        try:
            remote = await self._create(name, "\n".join(lines).encode())
        except ProviderError:
            ledger.drop_batch(name)
            raise
        ledger.batch_is(name, "sent", remote)
        await self._collect(name, remote)

    def _line(self, row: int, turn: _Turn) -> str:
        body = self.chat.body(turn.messages, turn.question.schema)
        return json.dumps({"custom_id": str(row), "method": "POST", "url": "/v1/chat/completions", "body": body})

    async def _create(self, name: str, content: bytes) -> str:
        file = await self.chat.at.upload("files", f"{name}.jsonl", content, purpose="batch")
        wanted = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"hyperllm": name},
        }
        return str((await self.chat.at.post("batches", wanted))["id"])

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
        listed = await self.chat.at.get("batches?limit=100")
        for batch in listed.get("data", []):
            if (batch.get("metadata") or {}).get("hyperllm") == name:
                return str(batch["id"])
        return None

    async def _collect(self, name: str, remote: str) -> None:
        """Wait for a batch to end and write down every answer."""
        state = await self._wait(name, remote)
        ledger = self.caller.ledger
        calls = ledger.batch_calls(name)
        with ledger.together():
            for key in ("output_file_id", "error_file_id"):
                if state.get(key):
                    text = await self.chat.at.download(f"files/{state[key]}/content")
                    for line in text.splitlines():
                        self._write_down(line, calls)
            for row in calls:
                ledger.failed(row, f"the batch {remote} is {state['status']} and has no answer to this request")
            ledger.batch_is(name, "ended")

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
        said = f"the batch has no answer to this request: {(problem or {}).get('message', f'status {status}')}"
        raise ProviderRefused(said) if status in REFUSED else ProviderFaltered(said)
    return read_reply(body, ())
