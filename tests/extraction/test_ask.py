"""Asking a chat model: one repair, nothing asked twice, and user prompts from training interactions only."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.errors import ProviderRefused, ProviderUnavailable
from hyperllm.extraction.ask import Asked, Interviewer, training_texts
from hyperllm.extraction.journal import Journal
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.extraction.prompts import VERSIONS, Prompts, fingerprint, render
from hyperllm.extraction.scripted import scripted
from hyperllm.ids import Vocabulary
from hyperllm.llm.chat import Message, ScriptedChat

GOOD = json.dumps({"summary": "s", "level_1": ["a"], "level_2": ["b"], "level_3": [], "edges": [["a", "b"]]})


class Counting:
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
def interview(tmp_path):
    def make(chat) -> Interviewer:
        return Interviewer(chat, Prompts.load(), Journal(tmp_path / "j.jsonl"))

    return make


def test_a_good_answer_is_kept_with_its_origin(interview, catalog):
    model = Counting(GOOD)
    made = catalog({"title": "thing"})
    asked = Asked()
    interview(model.chat).items(made, asked, limit=None, progress=None)
    (found,) = asked.items
    prompt = render(Prompts.load().item, made.texts()[0])
    assert model.seen == [[Message("user", prompt)]]
    assert (found.item_id, found.tags, found.edges) == ("i00", (("a",), ("b",), ()), (("a", "b"),))
    tokens = len(prompt.split()), len(GOOD.split())
    assert found.origin == Origin("counting", "hyperllm-1", fingerprint(prompt), *tokens, GOOD)


def test_a_malformed_answer_is_repaired_once_and_both_calls_are_counted(interview, catalog):
    model = Counting("no json", GOOD)
    asked = Asked()
    interview(model.chat).items(catalog({"title": "thing"}), asked, limit=None, progress=None)
    first, second = model.seen
    assert second[:2] == [*first, Message("assistant", "no json")]
    assert "no JSON object" in second[2].content
    assert '"level_1"' in second[2].content, "the repair says what is wanted, whatever the first prompt said"
    sent = sum(len(m.content.split()) for m in [*first, *second])
    assert (asked.items[0].origin.input_tokens, asked.items[0].origin.output_tokens) == (sent, 2 + len(GOOD.split()))


def test_twice_malformed_or_refused_is_left_out_and_the_rest_goes_on(interview, catalog):
    model = Counting("bad", "worse", ProviderRefused("not this one"), GOOD)
    asked = Asked()
    made = catalog({"title": "x"}, {"title": "y"}, {"title": "z"})
    interview(model.chat).items(made, asked, limit=None, progress=None)
    assert [p.item_id for p in asked.items] == ["i02"]
    assert list(asked.left_out) == ["item i00", "item i01"]
    assert "worse" in asked.left_out["item i00"]
    assert asked.left_out["item i01"] == "not this one"


def test_after_an_interruption_nothing_is_asked_again(interview, catalog):
    made = catalog(*({"title": f"thing {n}"} for n in range(4)))
    first = Counting(GOOD, "bad", "worse", ProviderUnavailable("gone"))
    with pytest.raises(ProviderUnavailable, match="gone"):
        interview(first.chat).items(made, Asked(), limit=None, progress=None)
    second = Counting(GOOD, GOOD)
    asked = Asked()
    interview(second.chat).items(made, asked, limit=None, progress=None)
    assert len(second.seen) == 2, "two items were finished: one well, one twice malformed"
    assert [p.item_id for p in asked.items] == ["i00", "i02", "i03"]
    assert list(asked.left_out) == ["item i01"]


def test_items_without_text_cost_nothing_and_do_not_count_towards_the_limit(interview, catalog):
    model = Counting(GOOD, GOOD)
    seen: list[tuple[int, int]] = []
    asked = Asked()
    made = catalog({}, {"title": "x"}, {"title": "y"}, {"title": "z"})
    interview(model.chat).items(made, asked, limit=2, progress=lambda done, total: seen.append((done, total)))
    assert [p.item_id for p in asked.items] == ["i01", "i02"]
    assert seen == [(1, 2), (2, 2)]


def split_of(train: list[tuple[int, int]], held: list[tuple[int, int]]) -> Split:
    def pairs(rows: list[tuple[int, int]]) -> Pairs:
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return Pairs(table[:, 0], table[:, 1])

    return Split(Vocabulary(("u", "v")), Vocabulary(("i", "j", "k")), pairs(train), pairs(held), pairs(held))


KNOWN = {i: ItemProfile(i, f"About {i}.", ((i.upper(),), (), ()), (), Origin("m")) for i in "ijk"}


def test_a_users_text_is_the_training_items_and_nothing_else():
    expected = [("u", "Summary: About i. Tags: I\nSummary: About j. Tags: J"), ("v", "")]
    assert training_texts(split_of([(0, 0), (0, 1)], [(0, 2), (1, 2)]), KNOWN) == expected
    assert training_texts(split_of([(0, 1), (0, 0)], []), KNOWN) == expected


def test_users_without_a_text_are_not_asked(interview):
    model = Counting('{"summary": "Likes i."}')
    asked = Asked(items=list(KNOWN.values()))
    interview(model.chat).users(split_of([(0, 0)], [(1, 2)]), asked, limit=None, progress=None)
    assert [(p.user_id, p.summary) for p in asked.users] == [("u", "Likes i.")]
    assert "About k" not in model.seen[0][0].content


@pytest.mark.parametrize("version", VERSIONS)
def test_the_scripted_model_answers_every_version_validly(version, tmp_path, catalog):
    made = catalog({"title": "Straße STRASSE ox"}, {"title": "!"}, {"title": "one two three four five"})
    interviewer = Interviewer(scripted(), Prompts.load(version), Journal(tmp_path / "j"))
    asked, split = Asked(), split_of([(0, 0), (1, 2)], [])
    split = Split(split.users, made.items, split.train, split.valid, split.test)
    interviewer.items(made, asked, limit=None, progress=None)
    interviewer.users(split, asked, limit=None, progress=None)
    assert asked.left_out == {}
    assert [p.item_id for p in asked.items] == list(made.items.ids)
    assert [p.user_id for p in asked.users] == ["u", "v"]
    assert asked.items[2].tags == (("one",), ("two",), ("three", "four"))
