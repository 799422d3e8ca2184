"""A model's answer: what is tolerated, what is refused and why, and that nothing else can happen."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import MalformedReply
from hyperllm.extraction.parse import ITEM_SCHEMA, json_object, read_item, read_user
from hyperllm.extraction.words import fold

GOOD: dict[str, Any] = {
    "summary": "A wooden  puzzle.",
    "level_1": ["Toys"],
    "level_2": ["Puzzles"],
    "level_3": ["Jigsaws", "Wooden"],
    "edges": [["Toys", "Puzzles"], ["puzzles", "Jigsaws"]],
}


def answer(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def test_a_good_answer():
    summary, tags, edges = read_item(answer())
    assert summary == "A wooden puzzle."
    assert tags == (("Toys",), ("Puzzles",), ("Jigsaws", "Wooden"))
    assert edges == (("Toys", "Puzzles"), ("puzzles", "Jigsaws"))


@pytest.mark.parametrize("around", ["```json\n{}\n```", "Sure! Here it is: {} Hope it helps {{:-)}}", "\n\t{}"])
def test_fences_and_chatter_are_tolerated(around):
    assert read_item(around.replace("{}", answer(), 1)) == read_item(answer())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"summary": " "}, "no summary"),
        ({"summary": 3}, "no summary"),
        ({"level_1": []}, "level_1 is empty"),
        ({"level_2": "Puzzles"}, "level_2 must be a list"),
        ({"level_3": ["Jigsaws", "PUZZLES!"]}, "'PUZZLES!' stands on two levels"),
        ({"edges": [["Toys", "Cars"]]}, "'Toys' -> 'Cars' uses a name outside the tags"),
        ({"edges": [["Jigsaws", "Toys"]]}, "does not lead to a more specific level"),
        ({"edges": [["Jigsaws", "Wooden"]]}, "does not lead to a more specific level"),
        ({"edges": [["Toys", "Toys"]]}, "does not lead to a more specific level"),
        ({"edges": [["Toys"]]}, "is not a pair"),
        ({"edges": ["Toys -> Puzzles"]}, "is not a pair"),
    ],
)
def test_what_is_refused(changes, reason):
    with pytest.raises(MalformedReply) as refused:
        read_item(answer(**changes))
    assert reason in str(refused.value)


def test_every_reason_at_once():
    with pytest.raises(MalformedReply, match=r"two levels.*outside the tags"):
        read_item(answer(level_3=["Toys"], edges=[["Toys", "Cars"]]))


def test_repeats_are_dropped_quietly():
    _, tags, edges = read_item(answer(level_3=["Jigsaws", "jigsaws", " "], edges=[["Toys", "Puzzles"]] * 2))
    assert tags[2] == ("Jigsaws",)
    assert edges == (("Toys", "Puzzles"),)


def test_half_a_surrogate_pair_can_be_stored():
    summary, tags, _ = read_item('{"summary": "a \\ud83d b", "level_1": ["x\\udc00y"], "level_2": [], "level_3": []}')
    assert (summary, tags[0]) == ("a ? b", ("x?y",))


@pytest.mark.parametrize("text", ["", "no json", "{", "[1]", answer()[:-5], '{"a":' + "[" * 100_000])
def test_no_object_is_refused(text):
    with pytest.raises(MalformedReply):
        read_item(text)


def test_the_first_whole_object_counts():
    assert json_object('{broken {"a": 1} {"b": 2}') == {"a": 1}


def test_a_user_summary():
    assert read_user('```\n{"summary": "Likes\\n puzzles."}\n```') == "Likes puzzles."
    with pytest.raises(MalformedReply):
        read_user('{"text": "x"}')


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional={key: json_values | st.just(GOOD[key]) for key in ITEM_SCHEMA["required"]}))
def test_any_object_is_read_or_refused(value):
    try:
        _, tags, edges = read_item(json.dumps(value))
    except MalformedReply:
        return
    level = {fold(name): number for number, names in enumerate(tags) for name in names}
    assert len(level) == sum(len(names) for names in tags)
    assert all(level[fold(parent)] < level[fold(child)] for parent, child in edges)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(MalformedReply):
        assert read_user(text)


def test_a_cut_answer_is_refused_wherever_it_is_cut():
    whole = answer()
    for end in range(len(whole)):
        with pytest.raises(MalformedReply):
            read_item(whole[:end])
