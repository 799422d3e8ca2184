"""Names and words in any script.

Knows when two names are the same and where a word ends. Vowel signs and accents are part of a word, whether or not they
are characters of their own. Of languages it knows only the little words that name nothing, in a few of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# English, German, French, Spanish, Italian, Portuguese, Dutch. Words of one or two letters are left out anyway;
# missing on purpose is what another of these languages uses in names of products ("die cast", "plus size").
_LITTLE = """
about and are but can for from has have its not now only our out per than that the their them these they this those very
may vary was what when with without you your
auf aus bei das dem den der durch ein eine einem einen einer eines für ihr ihre mit nach nicht oder ohne sich sie und
unter vom von zum zur über
aux avec cette dans des elle est les leur mais nos notre nous par pas pour que qui sans ses sur une votre vous
como con del ella las los más muy para pero por sobre una uno unos unas
che dei della delle dello gli nel nella più senza sono sul
com mas nas não pela pelo sem sua seu uma
deze een het naar niet onder ook voor zijn
"""
LITTLE = frozenset(_LITTLE.split())
"""Articles, conjunctions and the like: never a tag."""

_IN_NAMES = "&+%"
_IN_WORDS = "'’-"
_TRADE_MARKS = str.maketrans("™℠", "  ")


@lru_cache(maxsize=4096)
def _is_writing(character: str) -> bool:
    """Letters, marks and numbers."""
    return unicodedata.category(character)[0] in "LMN"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(_TRADE_MARKS)).casefold()


def _only_writing(text: str, also: str) -> list[str]:
    return "".join(c if _is_writing(c) or c in also else " " for c in _plain(text)).split()


def fold(name: str) -> str:
    """The form under which names are compared: case, blanks, punctuation and ways of coding do not count."""
    return " ".join(_only_writing(name, _IN_NAMES))


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The first spelling of each name, in order, without names that are nothing but blanks and punctuation."""
    first: dict[str, str] = {}
    for name in names:
        if form := fold(name):
            first.setdefault(form, name)
    return tuple(first.values())


def is_word(token: str) -> bool:
    """Whether it begins with a letter and has at least three of them (two outside ASCII)."""
    return len(token) > (2 if token.isascii() else 1) and token[0].isalpha()


def words(text: str | None) -> list[str]:
    """The words of a text (`is_word`), folded, in order."""
    return [token for token in tokens(text) if is_word(token)]


def tokens(text: str | None) -> list[str]:
    """Words and numbers, folded, in order; ``&`` stays, any other sign between them becomes one ``|``."""
    spaced = (_token_part(c) for c in _plain(text or ""))
    found = (token.strip(_IN_WORDS) for token in "".join(spaced).split())
    return [token for token in found if token]


def _token_part(character: str) -> str:
    if _is_writing(character) or character in _IN_WORDS or character.isspace():
        return character
    return " & " if character == "&" else " | "
