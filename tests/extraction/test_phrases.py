"""Which words of titles become keyphrases, rule by rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyperllm.extraction.phrases import Phrases
from hyperllm.extraction.words import LITTLE, fold

FILLER = [f"nothing{n}" for n in range(200)]


def best(*titles: str, spoken: tuple[str, ...] = (), count: int = 4) -> list[str]:
    """The keyphrases of the first title among many others that say something else."""
    return Phrases.of([*titles, *FILLER]).best(0, {fold(name) for name in spoken}, count)


def test_a_word_must_be_shared_by_three_titles_of_a_large_catalogue():
    large = [f"nothing{n}" for n in range(300)]
    assert Phrases.of(["alpha", "alpha", "beta", "beta", "beta", *large]).best(0, (), 4) == []
    assert Phrases.of(["beta", "alpha", "alpha", "beta", "beta", *large]).best(0, (), 4) == ["beta"]


def test_and_by_no_more_than_a_tenth():
    common = ["dragon"] * 10
    assert Phrases.of([*common, *FILLER[:90]]).best(0, (), 4) == ["dragon"]
    assert Phrases.of([*common, "dragon", *FILLER[:89]]).best(0, (), 4) == []


def test_little_words_never_stand_in_a_phrase():
    assert best(*["castle for the king with sword"] * 3) == ["castle", "king", "sword"]
    assert not any(
        word in phrase.split() for phrase in best(*["schere mit der hand für papier"] * 3) for word in LITTLE
    )


def test_units_are_words_that_numbers_count():
    titles = ["soap 3 pieces", "soap 12-piece pieces", "soap pack of 6", "soap 2 pack", "soap 500 pieces"]
    found = {phrase for n in range(5) for phrase in Phrases.of([*titles, *FILLER]).best(n, (), 4)}
    assert found == {"soap"}


def test_a_number_behind_a_word_does_not_make_it_a_unit():
    assert best(*[f"sunscreen spf {n}" for n in (15, 30, 50)]) == ["sunscreen spf"]


def test_pairs_do_not_reach_across_signs_or_numbers():
    assert best(*["cream, ounces"] * 3) == ["cream", "ounces"]
    assert best(*["friends 3189 heartlake"] * 3) == ["friends", "heartlake"]
    assert best(*["melissa & doug"] * 3) == ["melissa & doug"]
    assert best(*["melissa &, doug"] * 3) == ["doug", "melissa"]


def test_a_pair_takes_a_third_of_its_rarer_word():
    loose = [f"lego x{n}" for n in range(12)] + [f"star {n}x" for n in range(12)]
    assert best(*["lego star"] * 3, *loose) == ["lego", "star"]
    assert best(*["star wars"] * 3, *loose) == ["star wars"]


def test_no_word_is_said_twice_nor_one_that_begins_a_category_or_brand():
    titles = ["burt's bees puzzle honey balm"] * 3
    assert best(*titles, spoken=("Burt' s Bees", "bees", "Pegged Puzzles", "pegged", "puzzles")) == ["honey balm"]
    words = [word for phrase in best(*["red fox red hen"] * 3) for word in phrase.split()]
    assert len(words) == len(set(words))


def test_trade_marks_are_no_letters():
    assert Phrases.of(["Crayola™ chalk", "crayola", "CRAYOLA® box"]).shared["crayola"] == 3


titles = st.lists(st.text(alphabet="abcde &-'3|éक्", max_size=20) | st.none(), max_size=10)


@given(titles, st.integers(0, 4))
def test_laws(given_titles, count):
    made = Phrases.of(given_titles)
    assert made == Phrases.of(given_titles)
    assert len(made.terms) == len(given_titles)
    for row, title in enumerate(given_titles):
        found = made.best(row, (), count)
        assert len(found) == len(set(found)) <= count
        assert all(fold(word) in fold(title or "") for phrase in found for word in phrase.split(" & "))
        assert len(made.broad(row)) <= 2
