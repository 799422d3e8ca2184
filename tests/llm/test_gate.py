"""The gate on a clock of its own: how many pass, how fast, and what becomes of those who leave the queue."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError, ProviderFaltered
from hyperllm.llm import gate as room
from hyperllm.llm.gate import CUT, LONGEST_PAUSE_S, SHRINK, Gate

BUSY = ProviderFaltered("busy", busy=True)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing that is due; standing still for ever is a failure."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        really = self._selector.select

        def select(timeout: float | None) -> Any:
            assert timeout is not None, "everybody waits and nothing is due"
            self._now += max(0.0, timeout)
            return really(0)

        self._selector.select = select

    def time(self) -> float:
        return self._now


def now() -> float:
    return asyncio.get_running_loop().time()


def live(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(main())


@pytest.fixture(autouse=True, scope="module")
def _clock():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "time", SimpleNamespace(monotonic=now))
        yield


class Crowd:
    """Calls through one gate; notes when each one started, and how many were inside at most."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside = self.peak = 0
        self.started: list[float] = []
        self.order: list[int] = []

    async def call(self, number: int = 0, *, tokens: int = 1, lasts_s: float = 0.1) -> None:
        async with self.gate.passage(tokens):
            self.started.append(now())
            self.order.append(number)
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            try:
                await asyncio.sleep(lasts_s)
            finally:
                self.inside -= 1


@given(most=st.integers(1, 6), lasts=st.lists(st.floats(0, 2), min_size=1, max_size=30))
def test_never_more_than_the_most_and_never_fewer_than_could_be(most, lasts):
    async def main():
        crowd = Crowd(Gate(most))
        await asyncio.gather(*(crowd.call(n, lasts_s=s) for n, s in enumerate(lasts)))
        return crowd

    crowd = live(main)
    assert crowd.peak == min(most, len(lasts))
    assert crowd.order == list(range(len(lasts)))
    assert crowd.gate.passing == 0


@given(most=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_those_who_leave_take_no_place_along(most, seed):
    chance = random.Random(seed)

    async def main():
        crowd = Crowd(Gate(most))
        tasks = [asyncio.create_task(crowd.call(n, lasts_s=chance.choice([0.0, 0.1, 0.3]))) for n in range(20)]
        for task in chance.sample(tasks, 12):
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.05]))
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert crowd.gate.passing == 0
        await asyncio.gather(*(crowd.call() for _ in range(most)))
        return crowd

    assert live(main).peak <= most


def test_a_place_given_to_one_who_just_left_goes_to_the_next():
    async def main():
        crowd = Crowd(Gate(1))
        async with crowd.gate.passage(1):
            first, second = (asyncio.create_task(crowd.call(n)) for n in range(2))
            await asyncio.sleep(0)
        first.cancel()  # between being woken and waking
        await second
        return crowd.order

    assert live(main) == [1]


def test_a_busy_server_cuts_the_number_once_a_round_trip():
    async def main():
        gate = Gate(16)
        await asyncio.sleep(1)
        for _ in range(16):
            gate.troubled(BUSY, latency_s=1.0)
        assert gate.limit == pytest.approx(16 * CUT)
        await asyncio.sleep(0.5)
        gate.troubled(BUSY, latency_s=0.7)  # was sent before the cut
        assert gate.limit == pytest.approx(16 * CUT)
        gate.troubled(ProviderFaltered("reset"), latency_s=0.1)  # lost, but not for being too many
        assert gate.limit == pytest.approx(16 * CUT)
        for _ in range(20):
            gate.troubled(BUSY, latency_s=0.1)
            await asyncio.sleep(0.2)
        assert gate.limit == 1
        crowd = Crowd(gate)
        await asyncio.gather(*(crowd.call() for _ in range(5)))
        assert crowd.peak == 1

    live(main)


@given(most=st.integers(1, 200), start=st.floats(1, 200))
def test_quick_answers_bring_every_place_back(most, start):
    async def main():
        gate = Gate(most)
        gate.limit = min(start, float(most))
        before = gate.limit
        for _ in range(most * 120):
            gate.answered(1.0)
            assert before <= gate.limit <= most
            before = gate.limit
            if gate.limit == most:
                return

        raise AssertionError(f"{gate.limit} of {most}")

    live(main)


def test_answers_that_take_much_longer_shrink_the_number():
    gate = Gate(10)
    rounds = [(1.0, 10.0), (1.9, 10.0), (2.5, 10 * SHRINK), (2.5, 10 * SHRINK**2)]
    for latency, expected in rounds:
        for _ in range(int(gate.limit)):
            gate.answered(latency)
        assert gate.limit == pytest.approx(expected)


def test_answers_that_became_longer_for_good_are_forgiven():
    gate = Gate(10)
    for _ in range(10):
        gate.answered(1.0)
    for _ in range(1000):
        gate.answered(5.0)
    assert gate.limit == 10


@pytest.mark.parametrize(("asked_s", "kept_s"), [(7.0, 7.0), (1e9, LONGEST_PAUSE_S), (float("inf"), LONGEST_PAUSE_S)])
def test_nobody_starts_during_a_pause(asked_s, kept_s):
    async def main():
        crowd = Crowd(Gate(4))
        began = now()
        crowd.gate.troubled(ProviderFaltered("later", retry_after_s=asked_s), 0.0)
        await asyncio.gather(*(crowd.call() for _ in range(8)))
        return [start - began for start in crowd.started]

    waits = live(main)
    assert min(waits) >= kept_s - 1e-6
    assert max(waits) <= 1.1 * kept_s + 1


def test_one_call_that_is_put_off_among_answered_ones_stops_nobody():
    async def main():
        later = ProviderFaltered("later", busy=True, retry_after_s=50.0)
        crowd = Crowd(Gate(4))
        began = now()
        crowd.gate.answered(0.1)
        crowd.gate.troubled(later, 0.1)
        await crowd.call()
        assert crowd.started[-1] - began < 1
        crowd.gate.troubled(later, 0.1)
        await crowd.call()
        assert crowd.started[-1] - began >= 50

    live(main)


@given(
    a_minute=st.floats(6, 6000),
    tokens=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    kind=st.sampled_from(["calls_per_minute", "tokens_per_minute"]),
)
def test_no_stretch_of_time_holds_more_than_its_share(a_minute, tokens, kind):
    async def main():
        crowd = Crowd(Gate(len(tokens), **{kind: a_minute}))
        await asyncio.gather(*(crowd.call(tokens=each) for each in tokens))
        return crowd.started

    started = live(main)
    units = [1] * len(tokens) if kind == "calls_per_minute" else tokens
    for first in range(len(started)):
        for last in range(first + 1, len(started)):
            seconds = started[last] - started[first] + 1.0
            assert sum(units[first + 1 : last + 1]) <= a_minute / 60 * seconds + 1e-6
    slowest = sum(units) * 60 / a_minute
    assert started[-1] - 1000.0 <= slowest + 1e-6


def test_tokens_that_were_not_used_let_others_in_sooner():
    async def last_start(correction: int) -> float:
        crowd = Crowd(Gate(4, tokens_per_minute=60))
        two = [asyncio.create_task(crowd.call(tokens=30)) for _ in range(2)]
        await asyncio.sleep(1)
        crowd.gate.spent(correction)
        await asyncio.gather(crowd.call(tokens=30), *two)
        return crowd.started[-1]

    expected = live(lambda: last_start(0))
    assert live(lambda: last_start(-20)) == pytest.approx(expected - 20)
    assert live(lambda: last_start(+20)) == pytest.approx(expected + 20)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"calls_per_minute": 0}, {"tokens_per_minute": -1.0}])
def test_numbers_that_let_nobody_through_are_refused(wrong):
    with pytest.raises(ConfigError):
        Gate(**{"most": 1, **wrong})
