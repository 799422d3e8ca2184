"""Keyphrases of titles, told apart by counting.

Knows every title of a catalogue as words, and which of them make good tags. A term is a word or two neighbouring words
with nothing but blanks or ``&`` between them. It counts where

* neither little words (`LITTLE`) nor units take part; a unit is a word that numbers of at most three digits count in
  half of its places, as in ``3 pieces`` or ``pack of 3``;
* at least three and at most a tenth of the titles share it;
* and a pair takes at least a third of the rarer word's titles, so that ``star wars`` is one and ``lego star`` is not.

Does not know categories, brands or any language.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from hyperllm.extraction.words import LITTLE, is_word, tokens

FEWEST_TITLES = 3
WIDEST_SHARE = 0.1
WIDEST_SHARE_OF_BROAD = 0.5
TOGETHER = 1 / 3
PAIR_BONUS = 1.5
_AND = " & "


@dataclass(frozen=True)
class Phrases:
    """``terms[r]`` are the terms of title r; ``shared`` counts in how many titles each of them stands."""

    terms: list[list[str]]
    shared: Counter[str]

    @classmethod
    def of(cls, titles: Sequence[str | None]) -> Phrases:
        """Read all titles."""
        read = [tokens(title) for title in titles]
        without = LITTLE | _units(read)
        terms = [list(_terms(title, without)) for title in read]
        shared: Counter[str] = Counter()
        for found in terms:
            shared.update(set(found))
        return cls(terms, shared)

    def best(self, row: int, spoken: Collection[str], count: int) -> list[str]:
        """The ``count`` terms of a title with the highest tf·idf, pairs preferred.

        No word is used twice, nor one with which a word of ``spoken`` begins.
        """
        frequency = Counter(term for term in self.terms[row] if self._usable(term, WIDEST_SHARE))
        weight = {
            term: (PAIR_BONUS if " " in term else 1.0) * n * math.log(len(self.terms) / self.shared[term])
            for term, n in frequency.items()
        }
        taken: list[str] = []
        used = [_letters(word) for word in spoken]
        for term in sorted(weight, key=lambda t: (-weight[t], t)):
            parts = [_letters(word) for word in _parts(term)]
            if len(taken) < count and not any(word.startswith(part) for part in parts for word in used):
                taken.append(term)
                used += parts
        return taken

    def broad(self, row: int) -> list[str]:
        """The two most widely shared words of a title, widest first: stand-ins for missing categories."""
        found = {t for t in self.terms[row] if " " not in t and self._usable(t, WIDEST_SHARE_OF_BROAD)}
        return sorted(found, key=lambda t: (-self.shared[t], t))[:2]

    def _usable(self, term: str, widest: float) -> bool:
        few = min(FEWEST_TITLES, max(2, len(self.terms) // 100))
        together = TOGETHER * min(self.shared[word] for word in _parts(term))
        return max(few, together) <= self.shared[term] <= max(few, widest * len(self.terms))


def title_terms(title: str | None) -> list[str]:
    """The terms of one title without its catalogue: units cannot be told from words, so they take part."""
    return list(dict.fromkeys(_terms(tokens(title), LITTLE)))


def _parts(term: str) -> list[str]:
    return term.replace(_AND, " ").split(" ")


def _letters(word: str) -> str:
    return "".join(c for c in word if c.isalnum())


def _units(titles: Sequence[Sequence[str]]) -> set[str]:
    """Words counted by a number in at least half of their places: ``3 pieces``, ``pack of 3``."""
    places: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for title in titles:
        for n, token in enumerate(title):
            if is_word(token):
                places[token] += 1
                before, little, after = title[n - 1] if n else "", *[*title[n + 1 : n + 3], "", ""][:2]
                counted[token] += _counts(before) or (0 < len(little) < 3 and _counts(after))
    return {word for word, times in counted.items() if 2 * times >= places[word]}


def _counts(token: str) -> bool:
    """Whether it begins with a number that is rather an amount than a product's number or a year."""
    return 0 < len(list(takewhile(str.isdigit, token))) < 4


def _terms(title: Sequence[str], without: Collection[str]) -> Iterator[str]:
    before, link = "", " "
    for token in title:
        if token == "&" and before:
            link = _AND
        elif is_word(token) and token not in without:
            yield token
            if before not in ("", token):
                yield before + link + token
            before, link = token, " "
        else:
            before, link = "", " "
