"""Asking: one repair, nothing asked twice, and everybody ends as done, quarantined or unanswered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hyperllm.errors import ProviderRefused, ProviderUnavailable
from hyperllm.extraction import ask
from hyperllm.extraction.ask import Asker, Outcome, answered
from hyperllm.extraction.parse import read_item
from hyperllm.extraction.prompts import VERSIONS, Prompts
from hyperllm.extraction.scripted import scripted
from hyperllm.llm.caller import Budget, Caller
from hyperllm.llm.chat import Message, Reply, ScriptedChat
from hyperllm.llm.gate import Gate
from hyperllm.llm.ledger import Ledger
from hyperllm.llm.prices import Price

GOOD = json.dumps({"summary": "s", "level_1": ["a"], "level_2": ["b"], "level_3": [], "edges": [["a", "b"]]})


class Model:
    """Answers from a list, in order, and remembers what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[list[Message]] = []
        self.chat = ScriptedChat(self._next, name="counting")

    def _next(self, messages: Sequence[Message]) -> str:
        self.seen.append(list(messages))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.opened(tmp_path / "calls.sqlite") as opened:
        yield opened


def asker(chat: ScriptedChat, version: str = "hyperllm-1") -> Asker:
    return Asker(chat.name, chat.settings, Prompts.load(version), "series", lambda: chat)


def run(ledger: Ledger, model: Model, *texts: str, workers: int = 1, **options: object) -> Outcome:
    who = asker(model.chat)
    questions = (who.item(f"i{number}", text) for number, text in enumerate(texts))
    caller = Caller(ledger, Gate(workers), **options)  # type: ignore[arg-type]
    return ask.run(caller, who, questions, total=len(texts))


def test_a_good_answer_is_kept_with_its_origin(ledger):
    model = Model(GOOD)
    outcome = run(ledger, model, "thing")
    assert dict(outcome.verdicts) == {"done": 1}
    who = asker(model.chat)
    question = who.item("i0", "thing")
    assert model.seen == [list(question.messages)]
    found = answered(ledger, who, question.key, read_item)
    assert found is not None
    answer, origin = found
    assert (answer.tags, answer.edges) == ((("a",), ("b",), ()), (("a", "b"),))
    assert (origin.model, origin.prompt_version, origin.prompt_hash) == ("counting", "hyperllm-1", question.key.hex())
    assert origin.raw == GOOD
    assert origin.input_tokens == sum(len(m.content.split()) for m in question.messages)


def test_a_malformed_answer_is_repaired_once_and_both_calls_are_counted(ledger):
    model = Model("no json", GOOD)
    assert dict(run(ledger, model, "thing").verdicts) == {"done": 1}
    first, second = model.seen
    assert second[: len(first) + 1] == [*first, Message("assistant", "no json")]
    assert "no JSON object" in second[-1].content
    assert '"children"' in second[-1].content, "the repair says what is wanted, whatever the first prompt said"
    who = asker(model.chat)
    found = answered(ledger, who, who.item("i0", "thing").key, read_item)
    assert found is not None
    assert found[1].output_tokens == 2 + len(GOOD.split())
    (tally,) = ledger.tallies()
    assert (tally.calls, tally.repairs, tally.done) == (2, 1, 1)


def test_twice_malformed_or_refused_is_quarantined_and_the_rest_goes_on(ledger):
    model = Model("bad", "worse", ProviderRefused("not this one", input_tokens=5), GOOD)
    outcome = run(ledger, model, "x", "y", "z")
    assert dict(outcome.verdicts) == {"quarantined": 2, "done": 1}
    assert "worse" in outcome.examples["item i0"]
    assert outcome.examples["item i1"] == "not this one"
    (tally,) = ledger.tallies()
    assert (tally.quarantined, tally.refused, tally.done) == (2, 1, 1)
    again = Model()
    assert run(ledger, again, "x", "y", "z").found_done == 3, "quarantine is an end: nothing is asked again"
    assert ledger.reopen("series") == 2
    assert dict(run(ledger, Model(GOOD, GOOD), "x", "y", "z").verdicts) == {"done": 3}


def test_after_an_interruption_nothing_is_asked_again(ledger):
    texts = [f"thing {n}" for n in range(4)]
    first = Model(GOOD, "bad", "worse", ProviderUnavailable("gone"))
    with pytest.raises(ProviderUnavailable, match="gone"):
        run(ledger, first, *texts)
    second = Model(GOOD, GOOD)
    outcome = run(ledger, second, *texts)
    assert len(second.seen) == 2, "two items were finished: one well, one twice malformed"
    assert dict(outcome.verdicts) == {"done": 3, "quarantined": 1}


def test_an_answer_whose_repair_was_never_sent_is_repaired_without_asking_first_again(ledger):
    with pytest.raises(ProviderUnavailable):
        run(ledger, Model("bad", ProviderUnavailable("gone")), "x")
    model = Model(GOOD)
    assert dict(run(ledger, model, "x").verdicts) == {"done": 1}
    assert len(model.seen[0]) == 4, "the second turn: the paid first answer is shown, not asked for"


def test_a_broken_worker_lets_the_others_finish_what_they_sent(ledger):
    model = Model(ProviderUnavailable("gone"), *[GOOD] * 9)
    with pytest.raises(ProviderUnavailable):
        run(ledger, model, *map(str, range(10)), workers=3)
    assert sum(t.lost for t in ledger.tallies()) == 0
    assert not ledger.on_the_way("series", "item")


def test_the_budget_stops_asking_and_is_never_passed(ledger):
    price = Price(1e6, 0.0, "a dollar a token")
    who = asker(Model().chat)
    each = sum(len(m.content.split()) for m in who.item("i0", "thing").messages)
    model = Model(*[GOOD] * 20)
    outcome = run(ledger, model, *map(str, range(20)), price=price, budget=Budget(6.5 * each), workers=4)
    assert outcome.stopped is not None
    assert "passes" in outcome.stopped or "could pass" in outcome.stopped
    assert 0 < ledger.spent_usd("series") <= 6.5 * each
    assert ledger.spent_usd("series") == each * len(model.seen)


def test_progress_counts_everybody_and_ends_at_the_total(ledger):
    told: list[tuple[int, int | None, str]] = []
    model = Model(GOOD, "bad", "worse", GOOD)
    who = asker(model.chat)
    questions = (who.item(f"i{n}", f"t{n}") for n in range(3))
    ask.run(Caller(ledger, Gate(1)), who, questions, total=3, progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == [1, 2, 3, 3]
    assert "1 without profile" in told[-1][2]
    assert "price unknown" in told[-1][2]


def test_model_settings_prompt_and_text_are_all_part_of_the_key():
    base = asker(scripted()).item("i", "text").key
    prompts = Prompts.load()
    others = [
        Asker("other", {}, prompts, "series", scripted).item("i", "text").key,
        Asker("scripted", {"temperature": 1}, prompts, "series", scripted).item("i", "text").key,
        asker(scripted(), "paper").item("i", "text").key,
        asker(scripted()).item("i", "text.").key,
        asker(scripted()).user("i", "text").key,
    ]
    assert len({base, *others}) == 6
    assert asker(scripted()).item("another id", "text").key == base, "equal texts share one call"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_scripted_model_answers_every_version_validly(version, ledger):
    chat = scripted()
    who = asker(chat, version)
    texts = ["Straße STRASSE ox", "!", "one two three four five"]
    questions = [*(who.item(str(n), t) for n, t in enumerate(texts)), who.user("u", "Summary: About i. Tags: I")]
    outcome = ask.run(Caller(ledger, Gate(2)), who, iter(questions), total=None)
    assert dict(outcome.verdicts) == {"done": 4}
    found = answered(ledger, who, questions[2].key, read_item)
    assert found is not None
    assert found[0].tags == (("one",), ("two",), ("three", "four"))


def test_a_running_loop_is_no_obstacle(ledger):
    async def notebook() -> Outcome:
        return run(ledger, Model(GOOD), "thing")

    assert dict(asyncio.run(notebook()).verdicts) == {"done": 1}


def test_equal_questions_on_their_way_together_share_one_call(ledger):
    calls: list[str] = []

    class Slow:
        name, settings = "slow", {}

        async def complete(self, messages, *, schema=None):
            calls.append(messages[-1].content)
            await asyncio.sleep(0.02)
            return Reply("no json" if len(calls) == 1 else GOOD)

        async def close(self) -> None: ...

    who = Asker("slow", {}, Prompts.load(), "series", Slow)
    questions = (who.item(f"i{n}", "the same") for n in range(6))
    outcome = ask.run(Caller(ledger, Gate(6)), who, questions, total=6)
    assert dict(outcome.verdicts) == {"done": 6}
    assert len(calls) == 2, "one call and one repair"
