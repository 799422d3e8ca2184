"""Names and words in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.extraction.words import distinct, fold, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Skin Care", "skin-care"),
        ("  Skin   care. ", "SKIN_CARE"),
        ("Café", "Cafe\u0301"),
        ("ＬＥＧＯ", "lego"),
        ("STRASSE", "straße"),
    ],
)
def test_the_same_name(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("C", "C++"), ("का", "कि"), ("Hair Care", "Hair & Care"), ("玩具", "玩偶")])
def test_not_the_same_name(one, other):
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_twice_changes_nothing_and_nothing_is_left_at_the_ends(name):
    assert fold(fold(name)) == fold(name) == fold(f" ({name}) ")


@given(st.lists(st.text(max_size=4)))
def test_distinct_keeps_the_first_spelling_of_each(names):
    kept = distinct(names)
    assert [fold(name) for name in kept] == list(dict.fromkeys(fold(name) for name in names if fold(name)))
    assert all(next(n for n in names if fold(n) == fold(name)) == name for name in kept)


def test_words_by_hand():
    assert words("L'Oréal Self-Tanning lotion, 12 oz (3d) — हिन्दी 玩具 'été'") == [
        *("l'oréal", "self-tanning", "lotion", "हिन्दी", "玩具", "été")
    ]
    assert words(None) == []
