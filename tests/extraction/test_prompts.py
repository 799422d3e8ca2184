"""Prompt versions: whole, rendered once, keyed by what was rendered."""

from __future__ import annotations

import pytest

from hyperllm.errors import ConfigError
from hyperllm.extraction.parse import ITEM_SCHEMA, USER_SCHEMA
from hyperllm.extraction.prompts import VERSIONS, Prompts, fingerprint, render


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_one_place_for_its_input(version):
    prompts = Prompts.load(version)
    assert prompts.item.count("{input}") == prompts.user.count("{input}") == 1
    assert prompts.version == version


PAPER_ITEM = (
    "Please generate a concise summary highlighting the main features and appeal of the item.",
    "Please generate 3 level tags for the item.",
    "The tags must be different and not duplicated at different levels. Each level can have multiple tags.",
    "Higher-level tags should represent broad, general categories that define the item’s overall domain or purpose.",
    "Lower-level tags should represent increasingly detailed classifications.",
    "Please generate edges between different level tags.",
    "where a higher-level tag is the parent and a lower-level tag is the child.",
    "The tags on each edge must be within the generated set of tags.",
)
PAPER_USER = (
    "Please analyze the item summaries and tags and generate a concise summary that captures the user’s preferences",
    "avoiding repetition while capturing patterns, common themes, and specific features.",
)


def test_the_papers_wording_in_the_papers_order():
    prompts = Prompts.load("paper")
    for template, sentences in ((prompts.item, PAPER_ITEM), (prompts.user, PAPER_USER)):
        places = [template.index(sentence) for sentence in sentences]
        assert places == sorted(places)
        assert template.index("{input}") > places[-1], "the input comes after the instructions"
    assert prompts.item.rstrip().endswith("Item Information: {input}")


def test_ours_names_every_field_that_is_read():
    prompts = Prompts.load("hyperllm-1")
    assert all(f'"{field}"' in prompts.item for field in ITEM_SCHEMA["required"])
    assert all(f'"{field}"' in prompts.user for field in USER_SCHEMA["required"])


def test_an_input_that_looks_like_a_template_stays_as_it_is():
    assert render("Item: {input}", "a {input} {0} {{b}}") == "Item: a {input} {0} {{b}}"


def test_the_key_changes_with_the_text():
    assert fingerprint("a") != fingerprint("b")
    assert len(fingerprint("a")) == 64


def test_an_unknown_version_lists_the_known():
    with pytest.raises(ConfigError, match="hyperllm-1, paper"):
        Prompts.load("v9")
