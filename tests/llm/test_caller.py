"""Calls that count: which are made again, when a server is given up, and that a budget is never passed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import MalformedReply, ProviderError, ProviderFaltered, ProviderRefused, ProviderUnavailable
from hyperllm.llm import caller as room
from hyperllm.llm.caller import (
    FIRST_WAIT_S,
    GIVE_UP_AFTER,
    LONGEST_WAIT_S,
    REFUSED_IN_A_ROW,
    TRIES,
    Budget,
    BudgetReached,
    Caller,
    Unanswered,
)
from hyperllm.llm.chat import Reply
from hyperllm.llm.endpoint import BadRequest
from hyperllm.llm.gate import CUT, LONGEST_PAUSE_S, Gate
from hyperllm.llm.ledger import Call, Ledger
from hyperllm.llm.prices import Price

LOST = ProviderFaltered("lost")
BUSY = ProviderFaltered("busy", busy=True)
DOLLAR = Price(1e6, 1e6, "a dollar a token")
Send = Callable[[], Awaitable[Reply]]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger.in_memory() as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def slept(monkeypatch) -> list[float]:
    """The waits between tries, none of which is waited."""
    waits: list[float] = []
    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await really(0)

    monkeypatch.setattr(room, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    return waits


def question(n: int = 1) -> Call:
    return Call(b"%d" % n, 1, "set", "item")


def sending(*outcomes: Reply | Exception) -> Send:
    """One outcome a call; the last one for ever."""
    left = list(outcomes)

    async def send() -> Reply:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return send


def ask(caller: Caller, *outcomes: Reply | Exception, tokens: int = 1, longest: int = 1) -> Reply:
    return asyncio.run(caller.ask(question(), sending(*outcomes), tokens=tokens, longest=longest))


def test_an_answer_is_recorded_and_counted(ledger):
    caller = Caller(ledger, Gate(1), price=Price(1.0, 2.0, "a test"))
    assert ask(caller, Reply("yes", 1000, 500)) == Reply("yes", 1000, 500)
    stored, (tally,) = ledger.reply(b"1", 1), ledger.tallies()
    assert stored is not None
    assert (stored.reply.text, stored.price_usd) == ("yes", 0.002)
    assert (tally.calls, tally.answered, tally.price_usd) == (1, 1, 0.002)
    assert (caller.input_tokens, caller.output_tokens, caller.budget.spent) == (1000, 500, 0.002)
    assert caller.note() == "1.0k + 500 tokens, $0.0020"


def test_without_a_price_nothing_is_said_to_be_spent(ledger):
    caller = Caller(ledger, Gate(1))
    ask(caller, Reply("yes", 10, 10))
    assert caller.note() == "10 + 10 tokens, price unknown"
    assert ledger.tallies()[0].unpriced == 1


@pytest.mark.parametrize(
    ("problem", "tries"),
    [
        (LOST, TRIES),
        (BUSY, 2 * TRIES),
        (ProviderUnavailable("gone"), 1),
        (ProviderRefused("no"), 1),
        (BadRequest("no", status=400), 1),
        (MalformedReply("what"), 1),
    ],
)
def test_only_what_was_lost_is_asked_again(ledger, slept, problem, tries):
    with pytest.raises(ProviderError) as raised:
        ask(Caller(ledger, Gate(1)), problem)
    (tally,) = ledger.tallies()
    assert tally.calls == tries
    assert tally.failed + tally.refused == tries
    assert len(slept) == tries - 1
    if tries > 1:
        assert type(raised.value) is Unanswered
        assert f"asked {tries} times" in str(raised.value)
    else:
        assert raised.value is problem


@pytest.mark.parametrize("failures", range(TRIES))
def test_the_answer_comes_whichever_try_brings_it(ledger, failures):
    assert ask(Caller(ledger, Gate(1)), *[LOST] * failures, Reply("at last")).text == "at last"
    (tally,) = ledger.tallies()
    assert (tally.failed, tally.answered) == (failures, 1)


@pytest.mark.parametrize(("problem", "each"), [(LOST, 1.0), (BUSY, 0.5)])
def test_waits_double_and_are_jittered(ledger, slept, problem, each):
    for _ in range(4):
        with pytest.raises(ProviderUnavailable):
            ask(Caller(ledger, Gate(1)), problem)
    rounds = [slept[start : start + int(TRIES / each) - 1] for start in range(0, len(slept), int(TRIES / each) - 1)]
    assert len({tuple(waits) for waits in rounds}) == 4
    for waits in rounds:
        for number, wait in enumerate(waits, start=1):
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** int(number * each))
            assert longest / 2 <= wait <= longest


def test_no_try_comes_before_the_server_said(ledger, slept):
    with pytest.raises(Unanswered):
        ask(Caller(ledger, _Open(1)), ProviderFaltered("later", busy=True, retry_after_s=45.0))
    assert len(slept) == 2 * TRIES - 1
    assert min(slept) == 45.0
    slept.clear()
    with pytest.raises(Unanswered):
        ask(Caller(ledger, _Open(1)), ProviderFaltered("later", retry_after_s=float("inf")))
    assert set(slept) == {LONGEST_PAUSE_S}


class _Open(Gate):
    """A gate that hears of no pause."""

    def troubled(self, problem: ProviderFaltered, latency_s: float) -> None:
        super().troubled(ProviderFaltered(str(problem), busy=problem.busy), latency_s)


def test_the_gate_hears_of_trouble_and_is_told_what_was_really_used(ledger):
    class Counting(Gate):
        charged = 0

        def passage(self, tokens: int):
            self.charged += tokens
            return super().passage(tokens)

        def spent(self, more_tokens: int) -> None:
            self.charged += more_tokens

    gate = Counting(8)
    ask(Caller(ledger, gate), Reply("yes", 120, 30), tokens=100, longest=1000)
    assert gate.charged == 150
    ask(Caller(ledger, gate), BUSY, Reply("yes"))
    assert gate.limit == 8 * CUT


# Giving up


def test_a_server_that_never_answers_is_given_up(ledger):
    caller = Caller(ledger, Gate(1))
    for _ in range(GIVE_UP_AFTER - 1):
        with pytest.raises(Unanswered):
            ask(caller, LOST)
    with pytest.raises(ProviderUnavailable, match=f"{GIVE_UP_AFTER} questions in a row") as raised:
        ask(caller, LOST)
    assert type(raised.value) is ProviderUnavailable


@pytest.mark.parametrize("life", [Reply("yes"), ProviderRefused("I had rather not")])
def test_a_sign_of_life_counts_from_the_beginning(ledger, life):
    caller = Caller(ledger, Gate(1))
    for outcome in [*[LOST] * (GIVE_UP_AFTER - 1), life, *[LOST] * (GIVE_UP_AFTER - 1)]:
        try:
            ask(caller, outcome)
        except (Unanswered, ProviderRefused):
            continue


def test_a_server_that_takes_no_request_is_given_up(ledger):
    caller = Caller(ledger, Gate(1))
    for _ in range(REFUSED_IN_A_ROW - 1):
        with pytest.raises(BadRequest):
            ask(caller, BadRequest("no such field", status=400))
    with pytest.raises(ProviderUnavailable, match="no such field"):
        ask(caller, BadRequest("no such field", status=400))


def test_one_request_that_is_not_taken_is_no_reason(ledger):
    caller = Caller(ledger, Gate(1))
    for _ in range(2 * REFUSED_IN_A_ROW):
        with pytest.raises(BadRequest):
            ask(caller, BadRequest("too long", status=400))
        ask(caller, Reply("yes"))


# The budget


STEP = st.tuples(
    st.integers(1, 30),  # tokens expected
    st.integers(0, 30),  # longest answer
    st.floats(0, 1),  # share of both that is used
    st.integers(0, 4),  # turns of the loop
    st.sampled_from(["answer", "answer", "refuse", "lose", "reject"]),
)


@given(
    steps=st.lists(STEP, max_size=25),
    dollars=st.floats(0, 400),
    places=st.integers(1, 6),
    per_token=st.sampled_from([1.0, 0.1, 1 / 3]),
)
def test_no_order_of_events_passes_the_budget(steps, dollars, places, per_token):
    price, budget = Price(1e6 * per_token, 1e6 * per_token, "a test"), Budget(dollars)

    async def main(caller: Caller) -> list[object]:
        async def one(n: int) -> None:
            tokens, longest, share, turns, end = steps[n]

            async def send() -> Reply:
                for _ in range(turns):
                    await asyncio.sleep(0)
                    assert budget.spent + budget.reserved <= dollars + 1e-9
                used = int(tokens * share), int(longest * share)
                if end == "refuse":
                    raise ProviderRefused("no", input_tokens=used[0], output_tokens=used[1])
                if end == "reject":
                    raise BadRequest("no", status=400)
                if end == "lose":
                    raise LOST
                return Reply("yes", *used)

            await caller.ask(question(n), send, tokens=tokens, longest=longest)
            assert budget.spent <= dollars + 1e-9

        everyone = asyncio.gather(*map(one, range(len(steps))), return_exceptions=True)
        return await asyncio.wait_for(everyone, 20)

    with Ledger.in_memory() as ledger:
        ends = asyncio.run(main(Caller(ledger, Gate(places), price=price, budget=budget)))
        assert budget.spent <= dollars + 1e-9
        assert budget.spent == pytest.approx(ledger.spent_usd("set"))
        assert budget.reserved == 0
        for step, end in zip(steps, ends, strict=True):
            assert end is None or isinstance(end, BudgetReached | ProviderError), end
            if isinstance(end, BudgetReached):
                assert budget.spent + price.of(step[0], step[1]) > dollars - 1e-9


def test_who_does_not_fit_waits_for_those_on_their_way(ledger):
    """Set aside are 0.1 + 0.2 - 0.1 - 0.2 dollars, which is more than nothing to a computer."""
    budget = Budget(0.3000001)
    caller = Caller(ledger, Gate(9), price=Price(1e5, 0.0, "a test"), budget=budget)

    async def main() -> list[object]:
        async def slow() -> Reply:
            await asyncio.sleep(0.01)
            return Reply("yes", 0, 0)

        calls = [caller.ask(question(n), slow, tokens=n, longest=0) for n in (1, 2, 3, 4)]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)

    *answers, over = asyncio.run(main())
    assert answers == [Reply("yes")] * 3
    assert isinstance(over, BudgetReached)


def test_a_call_that_could_pass_the_budget_is_not_made(ledger):
    caller = Caller(ledger, Gate(1), price=DOLLAR, budget=Budget(10.0, spent=8.0))
    with pytest.raises(BudgetReached):
        ask(caller, Reply("yes", 1, 1), tokens=2, longest=1)
    assert ledger.tallies() == []
    ask(caller, Reply("yes", 1, 1), tokens=1, longest=1)
    assert caller.budget.spent == 10.0


def test_tokens_of_a_refusal_are_spent_too(ledger):
    caller = Caller(ledger, Gate(1), price=DOLLAR, budget=Budget(10.0))
    with pytest.raises(ProviderRefused):
        ask(caller, ProviderRefused("no", input_tokens=3, output_tokens=2))
    assert caller.budget.spent == ledger.spent_usd("set") == 5.0
    assert (caller.input_tokens, caller.output_tokens) == (3, 2)


def test_one_caller_may_serve_one_loop_after_another(ledger):
    caller = Caller(ledger, Gate(2), price=DOLLAR, budget=Budget(2.0))

    async def crowd() -> None:
        free = sending(Reply("yes", 0, 0))

        async def slow() -> Reply:
            await asyncio.sleep(0)
            return await free()

        await asyncio.gather(*(caller.ask(question(n), slow, tokens=1, longest=1) for n in range(8)))

    for _ in range(3):
        asyncio.run(crowd())
    assert ledger.tallies()[0].answered == 24


@pytest.mark.parametrize("seed", range(10))
def test_calls_that_are_called_off_leave_nothing_set_aside(ledger, seed):
    chance = random.Random(seed)
    caller = Caller(ledger, Gate(2), price=DOLLAR, budget=Budget(3.0))

    async def main() -> None:
        async def slow() -> Reply:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            return Reply("yes", 0, 0)

        tasks = [asyncio.create_task(caller.ask(question(n), slow, tokens=1, longest=0)) for n in range(12)]
        for task in chance.sample(tasks, 6):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    asyncio.run(main())
    assert caller.budget.reserved == caller.gate.passing == 0
    (tally,) = ledger.tallies()
    assert tally.answered >= 6
    assert tally.calls == tally.answered + ledger.on_the_way("set", "item")
