"""Which spellings are one tag: forms, plurals and meanings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperllm.extraction import naming
from hyperllm.extraction.naming import Given, form, leaders, name_tags, singular
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.extraction.words import fold
from hyperllm.ids import Vocabulary
from hyperllm.llm.hashing import HashEncoder
from hyperllm.llm.rows import unit_rows

SAME = [
    ("T-Shirt", "t shirt", "Tshirts", "T–Shirts"),
    ("Bath & Body", "bath and body", "Bath&Body"),
    ("Women's Perfume", "womens perfumes", "women’s perfume"),
    ("Eye Shadow", "eyeshadows", "Eye-Shadow"),
    ("SPF 15", "spf15", "SPF-15"),
    ("berry", "Berries"),
    ("Cookie", "cookies"),
    ("Movies", "movie"),
    ("dress", "Dresses"),
    ("lip gloss", "Lip Glosses"),
    ("brush", "brushes"),
    ("Watch", "watches"),
    ("box", "Boxes"),
    ("size", "sizes"),
    ("R&B", "r and b"),
]
APART = [
    ("glass", "glasses"),
    ("bus", "bu"),
    ("boss", "bos"),
    ("basis", "basi"),
    ("electronic", "electronics"),
    ("3D", "3Ds"),
    ("short", "shorts"),
    ("new", "news"),
    ("leave", "leaves"),
    ("natural", "naturals"),
    ("rosy", "rosie"),
    ("2 in 1 10", "2 in 11 0"),
    ("1.5", "15"),
    ("gel", "jelly"),
    ("shampoo & conditioner", "shampoo conditioner"),
    ("Vitamin B", "Vitamin B+"),
    ("gas", "ga"),
    ("café", "cafés"),
]


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_other_forms_of_a_name(names):
    assert len({form(fold(name)) for name in names}) == 1


@pytest.mark.parametrize("names", APART, ids=lambda names: names[0])
def test_names_that_stay_apart(names):
    assert len({form(fold(name)) for name in names}) == len(names)


@given(st.text(max_size=30))
def test_a_form_knows_neither_blanks_nor_the_ways_of_writing(name):
    folded = fold(name)
    assert form(folded) == form(folded.replace("&", " and "))
    assert " " not in form(folded) or any(c.isdigit() for c in folded)
    assert bool(form(folded)) == bool(folded)


@given(st.text(alphabet="abcehiosuxy", min_size=1, max_size=9))
def test_a_word_without_its_plural_is_never_empty_nor_longer(word):
    assert 0 < len(singular(word)) <= len(word)
    assert singular(word)[: len(word) - 3] == word[: len(word) - 3]


def read(*lists: list[str], level: int = 2) -> Given:
    profiles = []
    for number, names in enumerate(lists):
        tags = tuple(tuple(names) if level == n else () for n in (1, 2, 3))
        profiles.append(ItemProfile(f"i{number}", "s", tags, (), Origin("test")))
    return Given.read(profiles, Vocabulary(tuple(f"i{n}" for n in range(len(lists)))))


def named(found: Given, **options) -> dict[str, str]:
    options = {"forms": True, "similarity": None, "encoder": None} | options
    tag = name_tags(found, **options).tag
    return {spelling: found.spellings[tag[s]] for s, spelling in enumerate(found.spellings)}


def test_most_items_choose_the_name_then_length_then_alphabet():
    assert named(read(["Lip Balms"], ["Lip Balms"], ["lip balm"]))["lip balm"] == "Lip Balms"
    assert named(read(["Lip Balms"], ["Lip-Balm"], ["Lip Balm"]))["Lip Balms"] == "Lip Balm"
    assert named(read(["Lip Balms", "Lip Balms"], ["LIP BALMS"], ["LIP BALMS"]))["Lip Balms"] == "LIP BALMS"


def test_nothing_is_renamed_alone():
    assert named(read(["Berries", "T - Shirts", "Bath and Body"])) == {
        name: name for name in ("Berries", "T - Shirts", "Bath and Body")
    }


def test_forms_can_be_left_apart():
    assert named(read(["Toy", "toy."], ["Toys"]), forms=False) == {"Toy": "Toy", "toy.": "Toy", "Toys": "Toys"}


def test_every_merge_is_counted_and_only_some_are_shown():
    found = read(*[[f"thing {n}a", f"thing {n}as", f"Thing {n}a"] for n in range(30)], ["x" * 500, "X" * 500])
    result = name_tags(found, forms=True, similarity=None, encoder=None)
    assert result.merged == {"spelling": 31, "form": 0, "meaning": 0}
    assert len(result.examples["spelling"]) == naming.EXAMPLES
    words = read(*[[f"thing{'a' * n}b", f"thing{'a' * n}bs"] for n in range(80)])
    result = name_tags(words, forms=True, similarity=None, encoder=None)
    assert result.merged == {"spelling": 0, "form": 80, "meaning": 0}
    assert all(tag == spelling[:-1] for spelling, tag in result.examples["form"])
    shown = name_tags(read(["x" * 500, "X" * 500]), forms=True, similarity=None, encoder=None).examples["spelling"]
    assert [len(name) for name in shown[0]] == [naming.LONGEST_EXAMPLE] * 2


class Senses:
    """Two dimensions of meaning; a name without a number in it means nothing."""

    name, version, dim = "senses", "1", 2

    def encode(self, texts, *, progress=None):
        angles = [next((int(word) for word in text.split() if word.isdigit()), None) for text in texts]
        rows = [[0, 0] if a is None else [np.cos(np.radians(a)), np.sin(np.radians(a))] for a in angles]
        return np.array(rows, dtype=np.float32)


def test_by_meaning_without_chains():
    found = read(["a 0", "b 20", "c 40"], ["a 0", "b 20"], ["a 0"], ["nothing", "at all"])
    near = named(found, similarity=float(np.cos(np.radians(25))), encoder=Senses())
    assert near == {"a 0": "a 0", "b 20": "a 0", "c 40": "c 40", "nothing": "nothing", "at all": "at all"}


def test_by_meaning_the_nearest_wins_not_the_most_frequent():
    found = read(["a 0", "b 50", "c 30"], ["a 0", "b 50"], ["a 0"])
    assert named(found, similarity=0.8, encoder=Senses())["c 30"] == "b 50"


def test_by_meaning_only_on_one_level():
    profile = ItemProfile("i", "s", (("a 0",), ("b 0",), ("c 0",)), (), Origin("test"))
    found = Given.read([profile], Vocabulary(("i",)))
    assert name_tags(found, forms=True, similarity=1.0, encoder=Senses()).merged["meaning"] == 0


def test_with_the_hashing_encoder():
    found = read(["dry hair shampoo", "hair shampoo dry"], ["dry hair shampoo", "lip balm"])
    near = named(found, similarity=0.6, encoder=HashEncoder())
    assert near["hair shampoo dry"] == "dry hair shampoo"
    assert near["lip balm"] == "lip balm"
    assert len(set(named(found, similarity=1.0, encoder=HashEncoder()).values())) == 3


def plain_leaders(vectors, similarity):
    leader, standing = [], []
    for row, vector in enumerate(vectors):
        best = max(standing, key=lambda other: (round(float(vectors[other] @ vector), 5), -other), default=None)
        follows = best is not None and float(vectors[best] @ vector) >= similarity - 1e-6
        leader.append(best if follows else row)
        standing += [] if follows else [row]
    return leader


@settings(deadline=None)
@given(
    st.integers(0, 60), st.integers(0, 1000), st.sampled_from([0.3, 0.6, 0.9, 1.0]), st.sampled_from([1, 3, 7, 1024])
)
def test_blocks_do_not_matter(count, seed, similarity, block):
    vectors = unit_rows(np.random.default_rng(seed).integers(-2, 3, (count, 3)).astype(np.float64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(naming, "BLOCK", block)
        found = leaders(vectors, similarity)
    expected = plain_leaders(vectors, similarity)
    for row, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert (one == row) == (other == row)
        np.testing.assert_allclose(vectors[one] @ vectors[row], vectors[other] @ vectors[row], atol=1e-5)
    assert all(found[one] == one for one in found), "a leader follows another"
