"""One ledger for many workers: what is on record, what is set aside, and what a dead worker leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.llm.chat import Reply
from hyperllm.llm.ledger import Call, Ledger
from hyperllm.scale import book as room
from hyperllm.scale.book import SILENT_S, Answered, Book, Failed, Judged, Refused

REPLY = Reply("yes", 10, 5)


def call(number: int, turn: int = 1) -> Call:
    return Call(bytes([number]) * 32, turn, "set", "item")


def leased(number: int) -> list[tuple[bytes, str]]:
    return [(call(number).question, f"i{number}")]


@pytest.fixture
def path(tmp_path: Path) -> Generator[Path]:
    """A ledger that another one has open, as the process that started the workers has."""
    with Ledger.opened(tmp_path / "calls.sqlite") as ledger:
        ledger.settle()
        yield tmp_path / "calls.sqlite"


@dataclass
class Clock:
    """What the book takes for the time."""

    now: float = 0.0

    async def passes(self, seconds: float, book: Book, *living: str) -> None:
        """These give signs of life meanwhile."""
        for _ in range(5):
            self.now += seconds / 5
            for who in living:
                await book.alive(who)
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def states(path: Path) -> list[str]:
    with Ledger.read(path) as ledger:
        assert ledger is not None
        return [row[0] for row in ledger._db.execute("SELECT state FROM calls ORDER BY id")]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_call_is_on_record_before_it_is_sent_and_its_reply_with_the_next(path: Path) -> None:
    async def work() -> None:
        book = Book(path)
        row = await book.begin(call(1), 0.0)
        assert states(path) == ["sent"]
        await book.begin(call(2), 0.0, [Answered(row, REPLY, 0.25, 1.0)])
        assert states(path) == ["answered", "sent"]
        standing = await book.close()
        assert (standing.input_tokens, standing.output_tokens, standing.spent_usd) == (10, 5, 0.25)

    run(work())


def test_every_end_of_a_call_is_written(path: Path) -> None:
    async def work() -> None:
        book = Book(path)
        rows = [await book.begin(call(n), 0.0) for n in range(3)]
        await book.tell([Answered(rows[0], REPLY, 1.0, 0.1), Failed(rows[1], "lost", 0.1)])
        await book.tell([Refused(rows[2], "no", 7, 1, 0.5, 0.1), Judged(call(0), "done", None)])
        assert states(path) == ["answered", "failed", "refused"]
        known = await book.lease([*leased(0), *leased(1)])
        assert known is not None
        assert known[0].verdict == ("done", None)
        assert known[1].verdict is None
        assert (await book.close()).spent_usd == 1.5

    run(work())


def test_a_dead_workers_calls_are_lost_and_its_replies_are_not(path: Path) -> None:
    async def work() -> None:
        book = Book(path)
        await book.lease([*leased(1), *leased(2)])
        first = await book.begin(call(1), 0.0)
        await book.begin(call(2), 0.0, [Answered(first, REPLY, 0.0, 0.1)])
        known = await book.lease([*leased(1), *leased(2)])  # the block is given out again
        assert known is not None
        assert known[0].replies[1].reply == REPLY
        assert not known[1].replies
        assert states(path) == ["answered", "lost"]
        await book.close()

    run(work())


def test_equal_questions_are_asked_once(path: Path) -> None:
    async def work() -> None:
        book = Book(path)
        first = await book.lease([(call(1).question, "a")])
        second = await book.lease([(call(1).question, "b")])
        again = await book.lease([(call(1).question, "a")])
        assert [known[0].elsewhere for known in (first, second, again) if known] == [False, True, False]
        await book.close()

    run(work())


def test_what_does_not_fit_waits_for_those_on_their_way_and_then_stops_all(path: Path) -> None:
    async def work() -> None:
        book = Book(path, most=1.0, spent=0.2)
        first = await book.begin(call(1), 0.5)
        waiting = asyncio.create_task(book.begin(call(2), 0.5))
        await asyncio.sleep(0.01)
        assert not waiting.done(), "0.2 spent, 0.5 set aside and 0.5 more is too much"
        await book.tell([Answered(first, REPLY, 0.1, 0.1)])
        second = await waiting
        assert second is not None
        await book.tell([Answered(second, REPLY, 0.6, 0.1)])
        assert await book.begin(call(3), 0.2) is None
        assert await book.lease(leased(4)) is None, "others stop as well"
        standing = await book.close()
        assert standing.out_of_budget
        assert standing.spent_usd == pytest.approx(0.9)

    run(work())


def test_a_dead_worker_gives_back_what_was_set_aside_for_it(path: Path) -> None:
    async def work() -> None:
        book = Book(path, most=1.0)
        await book.lease(leased(1))
        await book.begin(call(1), 0.8)
        waiting = asyncio.create_task(book.begin(call(2), 0.8))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await book.lease(leased(1))
        assert await waiting is not None
        await book.close()

    run(work())


def test_a_worker_that_never_comes_back_holds_nobody_up(path: Path, clock: Clock) -> None:
    async def work() -> None:
        book = Book(path, most=1.0)
        lost = await book.begin(call(1), 0.8, who="lost")
        dead = asyncio.create_task(book.begin(call(2), 0.8, who="lost"))
        waiting = asyncio.create_task(book.begin(call(3), 0.8, who="living"))
        await asyncio.sleep(0)
        await clock.passes(SILENT_S, book, "living")
        assert not waiting.done(), "it may yet answer"
        await clock.passes(1.0, book, "living")
        row = await asyncio.wait_for(waiting, 1.0)
        assert not dead.done(), "nobody waits for it"
        assert states(path) == ["lost", "sent"]
        await book.tell([Answered(lost, REPLY, 0.3, 9.0), Answered(row, REPLY, 0.2, 0.1)])
        assert states(path) == ["answered", "answered"], "it was alive after all, and is paid for"
        assert (await book.close()).spent_usd == pytest.approx(0.5)

    run(work())


def test_a_worker_that_was_taken_for_dead_as_it_waited_gets_its_turn(path: Path, clock: Clock) -> None:
    async def work() -> None:
        book = Book(path, most=1.0)
        row = await book.begin(call(1), 0.8, who="living")
        waiting = asyncio.create_task(book.begin(call(2), 0.5, who="paused"))
        await asyncio.sleep(0)
        await clock.passes(SILENT_S + 1.0, book, "living")
        await book.tell([Answered(row, REPLY, 0.1, 0.1)])
        await asyncio.sleep(0)
        assert not waiting.done(), "there is room, which the living may need"
        await book.alive("paused")
        assert await asyncio.wait_for(waiting, 1.0) is not None
        standing = await book.close()
        assert not standing.out_of_budget
        assert standing.failure is None

    run(work())


def test_a_book_that_stood_still_takes_nobody_for_dead(path: Path, clock: Clock) -> None:
    async def work() -> None:
        book = Book(path)
        for number, who in enumerate(("a", "b", "c")):
            await book.begin(call(number), 0.0, who=who)
            await book.alive(who)
        clock.now += 2 * SILENT_S
        await book.begin(call(3), 0.0, who="a")
        await book.alive("a")
        await book.tell([])
        assert states(path) == ["sent"] * 4
        await clock.passes(SILENT_S + 1.0, book, "a", "b")
        await book.tell([])
        assert states(path) == ["sent", "sent", "lost", "sent"], "c is dead, as it turns out"
        await book.close()

    run(work())


def test_the_end_of_a_question_frees_what_its_dead_workers_left(path: Path) -> None:
    async def work() -> None:
        book = Book(path, most=1.0)
        await book.lease(leased(1))
        await book.begin(call(1), 0.8)
        await book.tell([Judged(call(1), "quarantined", "it kills")])
        assert await asyncio.wait_for(book.begin(call(2), 0.8), 1.0) is not None
        assert states(path) == ["lost", "sent"]
        await book.close()

    run(work())


@pytest.mark.parametrize(("kind", "error"), [("ConfigError", ConfigError), ("ProviderFaltered", ProviderUnavailable)])
def test_the_first_failure_stops_all(path: Path, kind: str, error: type[Exception]) -> None:
    async def work() -> None:
        book = Book(path)
        await book.stop(kind, "the key is wrong")
        await book.stop("ProviderUnavailable", "me too")
        assert await book.lease(leased(1)) is None
        failure = (await book.close()).failure
        assert type(failure) is error
        assert str(failure) == "the key is wrong"

    run(work())
