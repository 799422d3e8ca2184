"""Prompt versions: whole, rendered once, keyed by what was rendered."""

from __future__ import annotations

import pytest

from hyperllm.errors import ConfigError
from hyperllm.extraction.prompts import VERSIONS, Prompts, fingerprint, render


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_one_place_for_its_input(version):
    prompts = Prompts.load(version)
    assert prompts.item.count("{input}") == prompts.user.count("{input}") == 1
    assert prompts.version == version


def test_the_paper_asks_for_three_levels_and_edges_between_them():
    item = Prompts.load("paper").item
    assert "3 level tags" in item
    assert "parent-child relationship" in item


def test_an_input_that_looks_like_a_template_stays_as_it_is():
    assert render("Item: {input}", "a {input} {0} {{b}}") == "Item: a {input} {0} {{b}}"


def test_the_key_changes_with_the_text():
    assert fingerprint("a") != fingerprint("b")
    assert len(fingerprint("a")) == 64


def test_an_unknown_version_lists_the_known():
    with pytest.raises(ConfigError, match="hyperllm-1, paper"):
        Prompts.load("v9")
