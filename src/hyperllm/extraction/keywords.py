"""The extractor that needs no language model: category paths and text statistics to three levels of tags.

Level 1 is the broadest category, level 2 the next; level 3 holds the deeper categories, the brand and up to four
keyphrases of the title. Every tag below level 1 hangs under the nearest broader one. A keyphrase is a word or a pair of
neighbouring words that at least three and at most a tenth of the items share, the highest tf·idf first, pairs before
the words inside them. Without categories the title's own words take the places: the most widely shared is level 1, the
next level 2. Deterministic; knows no language, so it works in any that puts spaces between words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hyperllm.data.catalog import Catalog
from hyperllm.extraction.profiles import ItemProfile, Origin, distinct

NAME = "keywords"
KEYPHRASES = 4
FEWEST_ITEMS = 3
WIDEST_SHARE = 0.1
WIDEST_SHARE_OF_BROAD = 0.5
_WORD = re.compile(r"[^\W\d_][\w'’-]*", re.UNICODE)


def keyword_profiles(catalog: Catalog) -> list[ItemProfile]:
    """One profile an item, in vocabulary order; an item without text gets an empty one."""
    rows = list(catalog.frame.iter_rows(named=True))
    statistics = _Statistics.of([_terms(row["title"]) for row in rows])
    return [_profile(row, terms, statistics) for row, terms in zip(rows, statistics.terms, strict=True)]


def _words(text: str | None) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text or "") if len(word) > 2]


def _terms(text: str | None) -> list[str]:
    """Words and pairs of neighbouring words."""
    words = _words(text)
    return words + [f"{a} {b}" for a, b in pairwise(words) if a != b]


@dataclass(frozen=True)
class _Statistics:
    """Terms of every title, and in how many titles each term stands."""

    terms: list[list[str]]
    shared: Counter[str]

    @classmethod
    def of(cls, terms: list[list[str]]) -> _Statistics:
        shared: Counter[str] = Counter()
        for found in terms:
            shared.update(set(found))
        return cls(terms, shared)

    def usable(self, term: str, widest: float) -> bool:
        few = min(FEWEST_ITEMS, max(2, len(self.terms) // 100))
        return few <= self.shared[term] <= max(few, widest * len(self.terms))

    def keyphrases(self, terms: Sequence[str], avoid: set[str], count: int) -> list[str]:
        """The best terms that are not, and do not lie inside, one taken already."""
        frequency = Counter(terms)
        weight = {
            term: (1.5 if " " in term else 1.0) * n * math.log(len(self.terms) / self.shared[term])
            for term, n in frequency.items()
            if self.usable(term, WIDEST_SHARE)
        }
        taken: list[str] = []
        spoken = set(avoid)
        for term in sorted(weight, key=lambda t: (-weight[t], t)):
            if not spoken.intersection([term, *term.split()]):
                taken.append(term)
                spoken.update([term, *term.split()])
            if len(taken) == count:
                break
        return taken

    def broad(self, terms: Sequence[str]) -> list[str]:
        """The two most widely shared words of a title, widest first: stand-ins for missing categories."""
        words = {t for t in terms if " " not in t and self.usable(t, WIDEST_SHARE_OF_BROAD)}
        return sorted(words, key=lambda t: (-self.shared[t], t))[:2]


def _profile(row: dict[str, Any], terms: Sequence[str], statistics: _Statistics) -> ItemProfile:
    path = distinct(row["categories"]) or tuple(statistics.broad(terms))
    brand = row["brand"]
    spoken = {word for name in (*path, brand or "") for word in _words(name)} | set(path)
    phrases = statistics.keyphrases(terms, spoken, KEYPHRASES)
    upper = path[:2]
    specific = distinct([name for name in (*path[2:], brand or "", *phrases) if name not in upper])
    edges = [(upper[0], upper[1])] if len(upper) == 2 else []
    if upper:
        edges += [(upper[0] if name == brand else upper[-1], name) for name in specific]
    return ItemProfile(
        item_id=row["item_id"],
        summary=_summary(row, path, phrases),
        tags=(upper[:1], upper[1:2], specific),
        edges=tuple(edges),
        origin=Origin(model=NAME),
    )


def _summary(row: dict[str, Any], path: Sequence[str], phrases: Sequence[str]) -> str:
    """Title, brand and path as a sentence, then what the title stresses and how the description begins."""
    title, brand = row["title"], row["brand"]
    head = f"{title} by {brand}" if title and brand and brand.casefold() not in title.casefold() else title or brand
    parts = [head, f"Found under {' > '.join(path)}" if path else None]
    parts += [f"Stands for {', '.join(phrases)}" if phrases else None, (row["description"] or "")[:300] or None]
    return " ".join(f"{part.strip().rstrip('.')}." for part in parts if part)
