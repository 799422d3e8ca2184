"""The fake that ships: a valid answer to every prompt of every version, and a script where one is wanted."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError, MalformedReply
from hyperllm.extraction.parse import read_item, read_user
from hyperllm.extraction.prompts import VERSIONS, Prompts
from hyperllm.extraction.scripted import answer, scripted, scripted_from
from hyperllm.extraction.untrusted import as_data
from hyperllm.llm.chat import ChatProvider, Message

LOADED = [Prompts.load(version) for version in VERSIONS]


def said(chat: ChatProvider, messages: tuple[Message, ...]) -> str:
    return asyncio.run(chat.complete(messages)).text


@pytest.mark.parametrize("prompts", LOADED, ids=VERSIONS)
def test_tags_are_the_words_of_the_text_in_order(prompts):
    found = read_item(answer(prompts.item.messages("Toys puzzle: wooden, oak")))
    assert found.tags == (("toys",), ("puzzle",), ("wooden", "oak"))
    assert found.edges == (("toys", "puzzle"), ("puzzle", "wooden"), ("puzzle", "oak"))
    assert found.summary == "Toys puzzle: wooden, oak"
    assert read_user(answer(prompts.user.messages("Summary: oak Tags: toys"))) == "Likes summary, oak, tags, toys."


@given(st.text(max_size=120))
@example("x" * 500)
@example("...")
@example("<b>")
@example("one two ONE Two ｏｎｅ")
@example("\n\n")
@example("Information: ")
def test_every_prompt_has_a_valid_answer(text):
    for prompts in LOADED:
        assert read_item(answer(prompts.item.messages(as_data(text, 1500)))).tags[0]
        assert read_user(answer(prompts.user.messages(as_data(text, 1500))))


@pytest.mark.parametrize("prompts", LOADED, ids=VERSIONS)
def test_a_repair_is_answered_from_the_prompt_and_not_from_the_complaint(prompts):
    for prompt in (prompts.item, prompts.user):
        asked = prompt.messages("Toys puzzle wooden oak")
        again = (*asked, Message("assistant", "no"), Message("user", 'That answer cannot be used: "tags" "level_1"'))
        assert answer(again) == answer(asked)


def test_the_same_prompt_has_the_same_answer():
    asked = LOADED[0].item.messages("Toys puzzle")
    assert said(scripted(), asked) == said(scripted(), asked) == answer(asked)


def test_a_script_answers_what_it_matches_and_the_first_line_wins(tmp_path):
    lines = [
        {"match": "bear", "answer": "no"},
        {"match": "bear", "answer": "never said"},
        {"match": "cat", "answer": {"summary": "Größe"}},
    ]
    path = tmp_path / "script.jsonl"
    path.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    chat, prompts = scripted_from(path), LOADED[0]
    assert said(chat, prompts.item.messages("A bear and a cat")) == "no"
    assert json.loads(said(chat, prompts.user.messages("A cat"))) == {"summary": "Größe"}
    assert said(chat, prompts.item.messages("A dog")) == answer(prompts.item.messages("A dog"))
    with pytest.raises(MalformedReply):
        read_item(said(chat, prompts.item.messages("A bear")))


@pytest.mark.parametrize("text", ["not json", '{"match": "x"}', '["x"]', "3"])
def test_what_is_no_script_is_refused_by_name(tmp_path, text):
    path = tmp_path / "script.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"script\.jsonl"):
        scripted_from(path)


def test_a_script_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no script"):
        scripted_from(tmp_path / "absent.jsonl")
