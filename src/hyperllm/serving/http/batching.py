"""Work beside the event loop: rankings of many users together, and everything else in a few threads.

Knows queues and their bounds. Does not know HTTP beyond the refusal of what is too much. While one batch is computed
the next one gathers, so that batches grow with the load and nobody waits for a clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from hyperllm.serving.http.entries import encoded
from hyperllm.serving.http.guard import Refusal
from hyperllm.serving.http.metrics import Metrics
from hyperllm.serving.http.remembered import Remembered
from hyperllm.serving.http.served import Served

T = TypeVar("T")
MOST = 256


@dataclass(frozen=True, eq=False, slots=True)
class Ask:
    """One user's plain list: a row of the model of ``served``."""

    served: Served
    row: int
    k: int
    seen: bool
    answer: asyncio.Future[bytes]

    def fits(self, other: Ask) -> bool:
        """Whether both can be ranked at once."""
        return self.served is other.served and self.seen == other.seen


class Batcher:
    """Ranks in one thread, at most `MOST` users at a time, and remembers the lists; used from one event loop."""

    def __init__(self, *, waiting: int, remember: int, metrics: Metrics) -> None:
        self._limit = waiting
        self._metrics = metrics
        self._remembered = Remembered(remember)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ranking")
        self._waiting: deque[Ask] = deque()
        self._busy = False

    async def recommend(self, served: Served, row: int, k: int, *, seen: bool) -> bytes:
        """The JSON answer for one user; raises a `Refusal` where too many wait already."""
        known = self._remembered.get(served, (row, k, seen))
        if known is not None:
            self._metrics.remembered()
            return known
        if len(self._waiting) >= self._limit:
            raise busy()
        loop = asyncio.get_running_loop()
        ask = Ask(served, row, k, seen, loop.create_future())
        self._waiting.append(ask)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start, loop)  # after everything that arrived along with this
        return await ask.answer

    def close(self) -> None:
        """Finish what runs."""
        self._thread.shutdown()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._gathered()
        if not batch:
            self._busy = False
            return
        self._metrics.ranked(len(batch))
        work = self._thread.submit(answers, batch)
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, loop, batch, done))

    def _gathered(self) -> list[Ask]:
        """The longest waiting ask whose client is still there, and all that fit with it."""
        alive = [ask for ask in self._waiting if not ask.answer.done()]
        batch = [ask for ask in alive if ask.fits(alive[0])][:MOST]
        taken = set(map(id, batch))
        self._waiting = deque(ask for ask in alive if id(ask) not in taken)
        return batch

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[Ask], done: Future[list[bytes]]) -> None:
        error = done.exception()
        for number, ask in enumerate(batch):
            if error is None:
                self._remembered.put(ask.served, (ask.row, ask.k, ask.seen), done.result()[number])
            if ask.answer.done():
                continue
            if error is not None:
                ask.answer.set_exception(error)
            else:
                ask.answer.set_result(done.result()[number])
        self._start(loop)


def answers(batch: list[Ask]) -> list[bytes]:
    """The JSON answers of asks that fit together: ranked to the largest k, of which each gets its first items."""
    served = batch[0].served
    ranked = served.ranked([ask.row for ask in batch], max(ask.k for ask in batch), seen=batch[0].seen)
    users = served.recommender.users.ids
    return [
        b'{"version":%b,"user":%b,"items":%b}'
        % (served.version_json, encoded(users[ask.row]), served.entries.ranked(items[: ask.k], scores[: ask.k]))
        for ask, (items, scores) in zip(batch, ranked, strict=True)
    ]


class Pool:
    """A few threads for everything else; used from one event loop."""

    def __init__(self, *, workers: int, waiting: int) -> None:
        self._limit = waiting
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._inside = 0

    async def run(self, work: Callable[..., T], *what: object) -> T:
        """``work(*what)`` in a thread; raises a `Refusal` where too much waits already."""
        if self._inside >= self._limit:
            raise busy()
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *what))
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Finish what runs."""
        self._threads.shutdown()


def busy() -> Refusal:
    """Too much waits already."""
    return Refusal(503, "the server is busy; try again in a moment.", {"Retry-After": "1"})
