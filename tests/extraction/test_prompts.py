"""Prompt versions: whole, packaged, and filled in without being read."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError, MalformedReply
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.parse import ITEM_SCHEMAS, USER_SCHEMA, read_item, read_user
from hyperllm.extraction.prompts import DEFAULT, VERSIONS, Prompt, Prompts
from hyperllm.llm.chat import Message

OURS = [version for version in VERSIONS if version != "paper"]

PAPER_ITEM = (
    "Please generate a concise summary highlighting the main features and appeal of the item.\n\n"
    "Please generate 3 level tags for the item. The tags must be different and not duplicated at different levels. "
    "Each level can have multiple tags. Higher-level tags should represent broad, general categories that define the "
    "item’s overall domain or purpose. Lower-level tags should represent increasingly detailed classifications.\n\n"
    "Please generate edges between different level tags. Each edge should represent a parent-child relationship, where "
    "a higher-level tag is the parent and a lower-level tag is the child. The tags on each edge must be within the "
    "generated set of tags.\n\n"
    "Item Information: "
)
PAPER_USER = (
    "Please analyze the item summaries and tags and generate a concise summary that captures the user’s preferences "
    "based on these inputs. Ensure that the summary reflects the user’s preferences, avoiding repetition while "
    "capturing patterns, common themes, and specific features.\n\n"
)


@pytest.fixture(params=VERSIONS)
def prompts(request) -> Prompts:
    return Prompts.load(request.param)


def test_the_papers_two_prompts_word_for_word():
    paper = Prompts.load("paper")
    assert paper.item.user == PAPER_ITEM + "{input}"
    assert paper.user.user == PAPER_USER + "{input}"
    assert paper.join == " | ", "the paper's sign between the parts of an input"


def test_the_papers_input_is_filled_in_as_it_prints_it():
    (_, asked) = Prompts.load("paper").item.messages(" | ".join(["Cube", "Toys > Cubes", "Oak"]))
    assert asked.content.endswith("Item Information: Cube | Toys > Cubes | Oak")


def test_every_version_has_one_place_for_its_input(prompts):
    for prompt in (prompts.item, prompts.user):
        assert prompt.user.count("{input}") == 1
        assert "{input}" not in prompt.system
        assert prompt.system == prompt.system.strip()


def test_every_version_is_packaged_and_no_file_is_left_over():
    packaged = {entry.name for entry in files("hyperllm.extraction.prompts").iterdir() if entry.name.endswith(".toml")}
    assert packaged == {f"{version}.toml" for version in VERSIONS}


def test_the_default_is_a_version_and_what_a_config_asks_with():
    assert DEFAULT in VERSIONS
    assert Prompts.load() == Prompts.load(DEFAULT)
    assert ExtractConfig().prompt == DEFAULT


def test_an_unknown_version_lists_the_known():
    with pytest.raises(ConfigError, match="v9") as refused:
        Prompts.load("v9")
    assert all(version in str(refused.value) for version in VERSIONS)


@pytest.mark.parametrize("version", ["../prompts/paper", "paper.toml", "", "PAPER", "/etc/passwd"])
def test_a_version_is_a_name_and_no_path(version):
    with pytest.raises(ConfigError):
        Prompts.load(version)


def test_the_form_asked_for_is_the_form_of_the_schema(prompts):
    assert all(f'"{field}"' in prompts.item.system for field in ITEM_SCHEMAS[prompts.answer]["required"])
    other = {"lists": "tree", "tree": "lists"}[prompts.answer]
    strange = set(ITEM_SCHEMAS[other]["required"]) - set(ITEM_SCHEMAS[prompts.answer]["required"])
    assert not any(f'"{field}"' in prompts.item.system for field in strange)
    assert all(f'"{field}"' in prompts.user.system for field in USER_SCHEMA["required"])


def test_the_form_itself_is_no_answer_and_filled_in_it_is_one(prompts):
    with pytest.raises(MalformedReply):
        read_item(prompts.item.system)
    with pytest.raises(MalformedReply):
        read_user(prompts.user.system)
    words = iter("abcdefgh")
    filled = re.sub(r'"\.\.\."', lambda _: f'"{next(words)}"', prompts.item.system)
    found = read_item(filled.replace('"parent"', '"b"').replace('"child"', '"c"'))
    assert [names[:1] for names in found.tags] == [("b",), ("c",), ("d",)]
    assert ("b", "c") in found.edges


def test_the_model_is_told_that_inputs_are_data(prompts):
    for prompt in (prompts.item, prompts.user):
        assert re.search(r"\bdata\b", prompt.system)


@pytest.mark.parametrize("version", OURS)
def test_ours_put_the_input_alone_between_two_marks(version):
    prompts = Prompts.load(version)
    assert prompts.item.user == "<item>\n{input}\n</item>"
    assert prompts.user.user == "<items>\n{input}\n</items>"
    for prompt, mark in ((prompts.item, "item"), (prompts.user, "items")):
        assert f"<{mark}>" in prompt.system
        assert f"</{mark}>" in prompt.system


@given(st.text(max_size=40) | st.sampled_from(["{input}", "{input}{input}", "{0} {{b}} %s $x \\1", "{", "}{"]))
def test_a_text_is_put_in_place_as_it_is(text):
    for version in VERSIONS:
        loaded = Prompts.load(version)
        for prompt in (loaded.item, loaded.user):
            before, after = prompt.user.split("{input}")
            system, user = prompt.messages(text)
            assert system == Message("system", prompt.system), "nothing of the text reaches the instructions"
            assert user == Message("user", before + text + after)


def test_a_template_is_filled_once():
    assert Prompt("s", "a {input} b").messages("{input} {input}")[1].content == "a {input} {input} b"
