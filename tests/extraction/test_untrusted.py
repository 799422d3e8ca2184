"""What is taken out of texts that nobody vouches for, and that nothing else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperllm.extraction.untrusted import as_data, as_name, as_text, visible, without_brackets
from hyperllm.extraction.words import fold

JOINERS = "\u200c\u200d"
SIGNS = "<>[](){}|\\/*_`~#\"'“”‘’„«».,;:-–— \n\t\x00\x1b\x9bab1éक\u200b\u200c\u200d\u202e\u00ad\ud83d\u3164😀"
texts = st.text(max_size=60) | st.text(alphabet=SIGNS, max_size=30)

ORDINARY = [
    "C++",
    "C#",
    "F# Minor",
    "AT&T",
    "R&B",
    "Women's",
    "Children’s",
    "Rock 'n' Roll",
    "O'Neill",
    "'90s",
    "90's",
    "100% Cotton",
    "50+",
    "A/B",
    "Wi-Fi",
    "T-Shirt",
    "Half-Life 2: Episode One",
    "5 - Piece",
    "#2 Pencil",
    "#1",
    "3-in-1",
    "½ inch",
    '1/2"',
    '12" Vinyl',
    "12”",
    "Size 3.5",
    "2.4 GHz",
    "-40°",
    "No. 5",
    "U.S.A.",
    "Robert Downey Jr.",
    ".NET",
    "will.i.am",
    "*NSYNC",
    "M*A*S*H",
    "A*",
    "P!nk",
    "Yahoo!",
    "A$AP Rocky",
    "snake_case",
    "Hawai`i",
    "(Pack of 2)",
    "Größe",
    "日本語",
    "「進撃の巨人」",
    "i♥you",
    "Foo™",
    "n°5",
]
JOINED = [
    "می\u200cخواهم",  # Persian: two parts of one word
    "کتاب\u200cها",
    "PDF\u200cها",
    "क्\u200dष",  # Hindi: half a letter
    "ന്\u200d",  # Malayalam: at the end of a word
    "👩\u200d👩\u200d👧",
    "❤\ufe0f\u200d🔥",
    "🏳\ufe0f\u200d🌈",
    "1\ufe0f\u20e3",
]


@given(texts)
def test_what_is_visible_is_one_printable_line(text):
    plain = visible(text)
    assert visible(plain) == plain
    assert plain == " ".join(plain.split())
    assert all(c.isprintable() or c in JOINERS for c in plain)
    assert plain.encode("utf-8").decode("utf-8") == plain


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]), max_size=40))
def test_whatever_shows_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize("text", JOINED)
def test_joiners_stay_where_a_script_needs_them(text):
    assert visible(text) == as_data(text, 50) == as_text(text) == as_name(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("To\u200dys", "Toys"),
        ("\u200cToys\u200d", "Toys"),
        ("می\u200c\u200d\u200cخواهم", "می\u200cخواهم"),
        ("To\u200bys", "Toys"),
        ("To\u00adys\ufeff", "Toys"),
        ("a\u202ecba\u202c d\u2066e\u2069", "acba de"),
        ("\u200fשלום", "שלום"),
        ("x\U000e0041\U000e0042", "x"),
        ("a\u0000b\u0085c", "a b c"),
        ("a\u2028b\u2029c\u00a0d\u3000e\r\nf", "a b c d e f"),
        ("half \ud83d pair", "half ? pair"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]8;;http://x.y\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b]never ends", "]never ends"),
        ("cut \x1b[", "cut ["),
    ],
)
def test_what_does_not_show_is_removed(text, shown):
    assert visible(text) == shown


@given(texts, st.integers(1, 40))
@example("é\u200dé " * 9, 2)
def test_data_is_one_line_within_its_limit_and_closes_nothing(text, limit):
    plain = as_data(text, limit)
    assert len(plain) <= limit
    assert not set("<>\n\r\x1b") & set(plain)
    assert as_data(plain, limit) == plain
    assert as_data(text, 1000) == without_brackets(visible(text))


@given(st.text(alphabet="ab ", min_size=1, max_size=60), st.integers(1, 60))
def test_data_is_cut_at_a_word(text, limit):
    whole, plain = visible(text), as_data(text, limit)
    if plain != whole:
        head = plain.removesuffix("…")
        assert plain.endswith("…")
        assert whole.startswith(head)
        assert whole[len(head)] == " " or " " not in whole[:limit].strip() or not head


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_survive(name):
    assert as_name(name) == name
    assert as_text(f"It is {name} for you") == f"It is {name} for you"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("<b>Toys</b>", "Toys"),
        ("<script>alert(1)</script>", "alert(1)"),
        ("<scr<b></b>ipt>x", "x"),
        ("<!-- note -->Toys<br/>", "Toys"),
        ("3 < 4", "3 4"),
        ("**Toys**", "Toys"),
        ("_Toys_", "Toys"),
        ("***_Toys_***", "Toys"),
        ("`Toys`", "Toys"),
        ("```Toys```", "Toys"),
        ("## Toys", "Toys"),
        ("# Toys", "Toys"),
        ("[Toys](http://x.y)", "Toys"),
        ("![](http://x.y/z.png) Toys", "Toys"),
        ("[red]Toys[/red]", "Toys"),
        ("[bold red]Toys[/]", "Toys"),
        ("[link=http://x.y]Toys[/link]", "Toys"),
        ("[b][i]Toys[/i][/b]", "Toys"),
        ("[/red]Toys", "Toys"),
        ("Music [import]", "Music (import)"),
        ("[red]", "(red)"),
        ("{Toys}", "Toys"),
        ("Toys | Games", "Toys Games"),
        ("AC\\DC", "AC DC"),
        ("- Toys", "Toys"),
        ("• Toys", "Toys"),
        ("* Toys", "Toys"),
        ("2) Toys", "Toys"),
        ('"Toys"', "Toys"),
        ("“12”", "12"),
        ("'Toys',", "Toys"),
        ("Toys:", "Toys"),
        ("Toys.", "Toys"),
        ("...Toys", "Toys"),
        ("Toys –", "Toys"),
        ("\u3164Toys\u2800", "Toys"),
        ("", ""),
        (' "*" ', ""),
    ],
)
def test_markup_marks_and_quotes_are_taken_out_of_names(given, name):
    if fold(name):
        assert as_name(given) == name
    assert fold(as_name(given)) == fold(name)


@given(texts)
@example("<scr<b></b>ipt>")
@example("_*_*x*_*_")
@example('"\'"Toys"\'"')
@example("- - [[red]x[/red]](y)")
def test_cleaning_twice_is_cleaning_once(text):
    assert as_text(as_text(text)) == as_text(text)
    assert as_name(as_name(text)) == as_name(text)
    assert as_name(as_text(text)) == as_name(text)


@given(texts)
def test_no_markup_and_nothing_invisible_is_left(text):
    for plain in (as_text(text), as_name(text)):
        assert plain == visible(plain)
        assert not set("<>[]\u3164\u2800") & set(plain)
        assert not re.search(r"(?<![^\W_])([*_`~]+)[^\W_]+\1(?![^\W_])", plain)
    assert not set("{}|\\‹›") & set(as_name(text))


@given(
    st.text(alphabet=st.characters(categories=["Ll", "Lu", "Lo", "Nd"], exclude_characters="\u3164\uffa0"), max_size=30)
)
def test_letters_and_digits_always_survive(text):
    if not set(text) & set("\u115f\u1160"):
        assert as_name(text) == as_text(text) == text


@pytest.mark.parametrize("piece", ["<", "[a]", "*_", "`", "\"'", "# ", "[a](", "<a", "\u200c", "a.", "[b", "** "])
def test_hostile_repetition_is_cleaned_in_no_time(piece):
    long = piece * (2000 // len(piece))
    assert as_text(as_text(long)) == as_text(long)
    assert len(as_name(long[:320])) <= 320
