"""Asking a language model from many processes: the open questions go through Ray Data, a block at a time.

The questions that the ledger does not answer are written to Parquet, and each block of them goes to one of the workers,
which asks with the house's own caller and gate; all workers report to one `Book`. What a worker hands back is how its
questions ended: the replies are in the ledger already, and profiles and tags are made of them as on one machine. A
block whose worker died is asked again as far as it is not on record. Does not know what a question says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.errors import ConfigError, HyperLLMError, ProviderError, ProviderRefused, ProviderUnavailable
from hyperllm.extraction import ask
from hyperllm.extraction.ask import Asker, Outcome, Progress, Question
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import chat_of, identity
from hyperllm.extraction.prompts import Prompts
from hyperllm.llm.caller import ASSUMED_OUTPUT, BudgetReached, Caller, told
from hyperllm.llm.chat import Reply
from hyperllm.llm.chats import GGUF, VLLM
from hyperllm.llm.gate import Gate
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Call, Ledger, Verdict
from hyperllm.llm.prices import Price
from hyperllm.scale.blocks import MANY, TRIES, BlockWorker, through, watched, written
from hyperllm.scale.book import Answered, Book, Failed, Judged, Known, News, Refused, Standing
from hyperllm.scale.cluster import Cluster
from hyperllm.scale.engine import ask_engine, placed

T = TypeVar("T")
FOLDER = ".asking"
"""Where blocks of questions wait, in the workspace."""
ROUNDS = 16
"""Calls that each of a worker's places makes in a block: few enough that all workers end together."""
LEAST = 64
ENGINE_BLOCK = 128
"""Questions of a block for a model in the workers, where eight blocks are on their way at once."""
BEAT_S = 5.0
"""Between two signs of life of a worker."""
LATER_S = 0.05
"""How long news waits for the next call to travel with."""
WAITS = 0.5
"""Processors that a worker takes whose model is at a server."""
KILLED = f"{TRIES} processes died with it, one after the other"
"""Why a question is quarantined that no process survives."""
_ABOUT = {"kind": pa.string(), "about": pa.string(), "key": pa.binary()}
QUESTION = pa.schema({**_ABOUT, "text": pa.string()})
END = pa.schema({**_ABOUT, "verdict": pa.string(), "reason": pa.string()})


@dataclass(frozen=True)
class Crew:
    """So many ``processes``, with ``places`` calls on their way in each."""

    processes: int
    places: int

    @classmethod
    def of(cls, cluster: Cluster, workers: int) -> Crew:
        """At most ``workers`` calls at once, spread over the cluster's processors."""
        processes = cluster.workers(workers)
        return cls(processes, workers // processes)

    def gate(self, *, calls_per_minute: float | None = None, tokens_per_minute: float | None = None) -> Gate:
        """The gate of one process: its share of the rates that all of them may have."""
        share = [rate / self.processes if rate else None for rate in (calls_per_minute, tokens_per_minute)]
        return Gate(self.places, calls_per_minute=share[0], tokens_per_minute=share[1])


@dataclass(frozen=True)
class Desk:
    """The book's actor, for processes that wait for its answers."""

    actor: Any

    def ask(self, method: str, *values: Any) -> Any:
        """What a method of `Book` returns; raises `ProviderUnavailable` where its process is dead."""
        import ray
        from ray.exceptions import RayActorError

        try:
            return ray.get(getattr(self.actor, method).remote(*values))
        except RayActorError:
            raise ProviderUnavailable(
                "the process that keeps the ledger is dead; what was answered is kept, repeat the command to go on"
            ) from None

    @contextmanager
    def hearing(self, who: str) -> Generator[None]:
        """For the length of the block the book hears that this process lives, whatever it is busy with."""
        done = Event()

        def beat() -> None:
            with suppress(ProviderUnavailable):  # the next one who asks the book says that it is dead
                self.ask("alive", who)
                while not done.wait(BEAT_S):
                    self.ask("alive", who)

        thread = Thread(target=beat, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def watched(self, work: Callable[[], T], show: Callable[[Standing], object]) -> T:
        """What ``work`` returns, while it is shown how far the workers are; an interruption lets them finish calls."""
        with self.explaining():
            return watched(work, lambda: show(self.ask("standing")), lambda: self.ask("stop", "", "it was interrupted"))

    @contextmanager
    def explaining(self) -> Generator[None]:
        """Whatever fails in the block, fails of the book where that is dead."""
        try:
            yield
        except Exception:
            self.ask("standing")
            raise


@contextmanager
def opened_book(path: Path, cluster: Cluster, caller: Caller) -> Generator[Desk]:
    """The book of a ledger that this process has open, in a process beside it; it must not write meanwhile."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    caller.ledger.settle()
    beside = NodeAffinitySchedulingStrategy(cluster.node, soft=False)
    actor: Any = ray.remote(Book)
    actor = actor.options(num_cpus=0, max_concurrency=100_000, scheduling_strategy=beside)
    desk = Desk(actor.remote(path, most=caller.budget.most, spent=caller.budget.spent))
    try:
        yield desk
    finally:
        ray.kill(desk.actor)


@dataclass(frozen=True)
class RayAsking:
    """Asks on a cluster what an `Interview` would ask here; see `hyperllm.extraction.ask.Asking`."""

    workspace: Path
    config: ExtractConfig
    cluster: Cluster

    def __post_init__(self) -> None:
        if not self.config.asks:
            raise ConfigError(f"{self.config.llm!r} asks no model, so there is nothing for Ray to do; leave out --ray")
        if self.config.batch:
            raise ConfigError("a Batch API works by itself, so there is nothing for Ray to do; leave out --ray")
        if self.config.llm.startswith(VLLM):
            placed(self.cluster)
            if self.config.budget is not None:
                raise ConfigError("a model in the workers bills nobody, so no budget holds it; leave out --budget")

    def __call__(
        self,
        caller: Caller,
        asker: Asker,
        questions: Iterator[Question[Any]],
        *,
        total: int | None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Ask everything that is open, and wait for it."""
        outcome = Outcome()
        crew = Crew.of(self.cluster, self.config.workers)
        rows = map(_row, ask.still_open(caller.ledger, questions, outcome))
        size = ENGINE_BLOCK if self.config.llm.startswith(VLLM) else max(LEAST, ROUNDS * crew.places)
        with written(self.workspace / FOLDER, rows, QUESTION, size) as paths:
            if paths:
                self._ask(paths, crew, caller, outcome, lambda now: _show(progress, caller, outcome, now, total))
        return outcome

    def _ask(
        self,
        paths: Sequence[Path],
        crew: Crew,
        caller: Caller,
        outcome: Outcome,
        show: Callable[[Standing], None],
    ) -> None:
        with opened_book(self.workspace / LEDGER, self.cluster, caller) as book:
            tables = book.watched(lambda: self._ends(paths, crew, caller, book), show)
            standing: Standing = book.ask("close")
        handed_out = sum(pq.read_metadata(path).num_rows for path in paths)
        unended = handed_out - _count(tables, caller.ledger, outcome)
        show(standing)
        caller.budget.spent = standing.spent_usd
        if standing.failure is not None:
            raise standing.failure
        if standing.out_of_budget:
            outcome.stopped = ask.over_budget(caller.budget)
        elif unended:
            outcome.stopped = f"{unended:,} of {handed_out:,} questions came back from the workers without an end"

    def _ends(self, paths: Sequence[Path], crew: Crew, caller: Caller, book: Desk) -> list[pa.Table]:
        if self.config.llm.startswith(VLLM):
            return ask_engine(paths, self.config, caller.price, self.cluster, book)
        told_to_each = self.config, caller.price, crew, book
        needs = _processors(self.config)
        tables: list[pa.Table] = []
        killers = 0
        for table in through(paths, AskingWorker, told_to_each, processes=crew.processes, num_cpus=needs):
            tables.append(table)
            killers += table["reason"].to_pylist().count(KILLED)
            if killers >= MANY:
                book.ask("stop", "", f"{killers} questions killed {TRIES} processes each; repeat the command to go on")
        return tables


def _row(question: Question[Any]) -> dict[str, Any]:
    return {"kind": question.kind, "about": question.about, "key": question.key, "text": question.text}


def _processors(config: ExtractConfig) -> float:
    """What a worker takes of a machine: a model that runs in it computes, one at a server is waited for."""
    return float(config.threads or 1) if config.llm.startswith(GGUF) else WAITS


def _show(progress: Progress | None, caller: Caller, found: Outcome, standing: Standing, total: int | None) -> None:
    if progress is not None:
        spent = standing.spent_usd if caller.price else None
        progress(found.found_done + standing.ended, total, told(standing.input_tokens, standing.output_tokens, spent))


def _count(tables: Sequence[pa.Table], ledger: Ledger, outcome: Outcome) -> int:
    """Add the ends that workers handed back, and return how many; equal questions that another one had end as its."""
    ended = 0
    for table in tables:
        for row in table.to_pylist():
            found = (row["verdict"], row["reason"]) if row.get("verdict") else ledger.verdict(row["key"])
            if found is not None:
                outcome.count(row["kind"], row["about"], *found)
                ended += 1
    return ended


class AskingWorker(BlockWorker):
    """One of the processes that ask: a model, a gate, and a block of questions at a time."""

    schema = END

    def __init__(self, config: ExtractConfig, price: Price | None, crew: Crew, book: Desk) -> None:
        self._config = replace(config, workers=crew.places)
        self._price = price
        self._book = book
        self._who = uuid4().hex
        self._asker = Asker(*identity(config), Prompts.load(config.prompt), config.set_name, self._connect)
        self._gate = crew.gate(calls_per_minute=config.calls_per_minute, tokens_per_minute=config.tokens_per_minute)

    def _connect(self) -> Any:
        return chat_of(self._config)

    def name(self, row: dict[str, Any]) -> str:
        """Whom a question is about."""
        return f"{row['kind']} {row['about']}"

    def given_up(self, row: dict[str, Any]) -> dict[str, Any]:
        """A question that killed every process which asked it is quarantined."""
        self._book.ask("tell", [Judged(self._asker.call(self._question(row), 1), "quarantined", KILLED)])
        return {**{name: row[name] for name in _ABOUT}, "verdict": "quarantined", "reason": KILLED}

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """How these questions ended; those that did not are left out."""
        known: list[Known] | None = self._book.ask("lease", [(row["key"], row["about"]) for row in rows])
        if known is None:
            return
        with Echo.in_memory() as ledger, ExitStack() as flushed:
            caller = Reporter(self._book, ledger, self._gate, self._price, self._who)
            ledger.reporter = caller
            flushed.enter_context(self._book.hearing(self._who))
            flushed.callback(caller.flush)
            questions = [self._question(row) for row in rows]
            for question, found in zip(questions, known, strict=True):
                _remember(ledger, self._asker.call(question, 1), found)
            open_ones = [q for q, found in zip(questions, known, strict=True) if not found.elsewhere]
            self._ask(caller, open_ones)
            for row, found in zip(rows, known, strict=True):
                end = ledger.verdict(row["key"])
                if end is not None or found.elsewhere:
                    verdict, reason = end or (None, None)
                    yield {**{name: row[name] for name in _ABOUT}, "verdict": verdict, "reason": reason}

    def _ask(self, caller: Reporter, questions: Sequence[Question[Any]]) -> None:
        """Ask, and let all workers stop where this one cannot go on."""
        try:
            ask.run(caller, self._asker, iter(questions), total=None)
        except HyperLLMError as error:
            self._book.ask("stop", type(error).__name__, str(error))

    def _question(self, row: dict[str, Any]) -> Question[Any]:
        return self._asker.of(row["kind"], row["about"], row["text"])


def _remember(ledger: Echo, call: Call, known: Known) -> None:
    """Put what is on record into the worker's own ledger, where asking looks for it."""
    for turn, stored in known.replies.items():
        row = ledger.begin(replace(call, turn=turn))
        ledger.answered(row, stored.reply, price_usd=stored.price_usd, latency_s=None)
    if known.verdict is not None:
        ledger.note(call, *known.verdict)


class Echo(Ledger):
    """A worker's own ledger of the block it has, whose verdicts are told to the book too."""

    reporter: Reporter

    def judge(self, call: Call, verdict: Verdict, reason: str | None = None) -> None:
        """Note it here and there."""
        self.note(call, verdict, reason)
        self.reporter.say(Judged(call, verdict, reason))

    def note(self, call: Call, verdict: Verdict, reason: str | None) -> None:
        """Note it here only: the book knows."""
        super().judge(call, verdict, reason)


class Reporter(Caller):
    """A caller whose every call is on record in the book before it is sent."""

    def __init__(self, book: Desk, ledger: Ledger, gate: Gate, price: Price | None, who: str) -> None:
        super().__init__(ledger, gate, price=price)
        self._book = book
        self._who = who
        self._news: list[News] = []
        self._timer: asyncio.TimerHandle | None = None

    async def ask(
        self, call: Call, send: Callable[[], Awaitable[Reply]], *, tokens: int, longest: int = ASSUMED_OUTPUT
    ) -> Reply:
        """What ``send`` brings; see `Caller.ask`. The budget is the book's."""
        cost = self.price.of(tokens, longest) if self.price else 0.0
        return await super().ask(call, lambda: self._on_record(call, cost, send), tokens=tokens, longest=longest)

    async def _on_record(self, call: Call, cost: float, send: Callable[[], Awaitable[Reply]]) -> Reply:
        row: int | None = await self._book.actor.begin.remote(call, cost, self._taken(), self._who)
        if row is None:
            raise BudgetReached
        began = time.monotonic()
        try:
            reply = await send()
        except ProviderRefused as no:
            price = self.cost(no)
            self.say(Refused(row, str(no), no.input_tokens, no.output_tokens, price, time.monotonic() - began))
            raise
        except ProviderError as problem:
            self.say(Failed(row, str(problem), time.monotonic() - began))
            raise
        self.say(Answered(row, reply, self.cost(reply), time.monotonic() - began))
        return reply

    def say(self, news: News) -> None:
        """Tell the book, with the next call or a moment later."""
        self._news.append(news)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._send)

    def _send(self) -> None:
        if news := self._taken():
            self._book.actor.tell.remote(news)

    def _taken(self) -> list[News]:
        news, self._news = self._news, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return news

    def flush(self) -> None:
        """Tell the rest, and wait until it is on disk."""
        self._book.ask("tell", self._taken())
