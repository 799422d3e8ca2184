"""Which spellings name one tag.

Every spelling given is put under the most frequent spelling of its tag (most items; ties: the shortest, then the first
by alphabet), in up to three steps:

* **spelling**: names equal after `fold` are one tag (Unicode NFKC, case, blanks, punctuation).
* **form**: names with the same `form` are one tag: blanks and hyphens between words, ``&`` for ``and``, an apostrophe
  before ``s`` and the regular English plural of any word (`singular`) do not count; a blank between two digits does. A
  name is only put under one that was given too, so that none is renamed alone.
* **meaning**: from the most frequent tag to the rarest, a tag goes to the tag of the same level whose name has the
  highest cosine with its own, among those that stand already, where that is at least a threshold; else it stands. So
  no tag follows one that follows another.

Knows names, who gave them and on which level. Does not know edges, nor any language beyond the English plural.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from hyperllm.extraction.profiles import LEVELS, ItemProfile
from hyperllm.extraction.words import fold
from hyperllm.ids import Rows, Vocabulary
from hyperllm.llm.encoder import TextEncoder, Vectors

Kind = Literal["spelling", "form", "meaning"]
EXAMPLES = 20
LONGEST_EXAMPLE = 80
BLOCK = 1024
"""Most rows and columns of a block of cosines."""
_ROUNDING = 1e-6

_OWN = """
arms arts blues boxers briefs brights cords customs essentials flats glasses goods greens leaves lights means naturals
neutrals news originals professionals pumps shorts slacks spirits states sweets tights trunks works
"""
_OWN_SENSE = frozenset(_OWN.split())
"""Plurals that name something else than their singular."""
_IN_IE = """
beanies birdies brownies calories collies cookies foodies genies goalies hoodies magpies movies newbies
oldies pixies prairies rookies selfies smoothies wheelies zombies
"""
_SINGULAR_IN_IE = frozenset(_IN_IE.split())
"""Plurals in ``ies`` whose singular does not end in ``y``."""


@dataclass(frozen=True)
class Given:
    """All names given: ``forms[s]`` is spelling s folded; row m of the arrays is one mention of a spelling by an item.

    A profile's repetitions of a spelling on one level are one mention; ``names`` counts them all, and ``empty`` those
    that are nothing but blanks and punctuation, which are no mentions.
    """

    spellings: tuple[str, ...]
    forms: tuple[str, ...]
    spelling: Rows
    item: Rows
    level: Rows
    names: int
    empty: int

    @classmethod
    def read(cls, profiles: Iterable[ItemProfile], items: Vocabulary) -> Given:
        """Read profiles once; raises `UnknownId` where one is not of ``items``."""
        number: dict[str, int] = {}
        forms: list[str] = []
        mentions = array("q")
        names = empty = 0
        for profile in profiles:
            row = int(items.rows((profile.item_id,), what="item")[0])
            given = [(name, level) for level, found in enumerate(profile.tags, start=1) for name in found]
            said = [(_number(" ".join(name.split()), number, forms), level) for name, level in given]
            named = [(spelling, level) for spelling, level in said if spelling is not None]
            names += len(said)
            empty += len(said) - len(named)
            for spelling, level in dict.fromkeys(named):
                mentions.extend((spelling, row, level))
        columns = np.array(mentions, dtype=np.int64).reshape(-1, 3).T
        return cls(tuple(number), tuple(forms), *columns, names=names, empty=empty)

    def pairs(self, tag: Rows) -> Rows:
        """(pairs, 3): each (tag, item) once, with the broadest level the item gives it; ``tag[s]`` is spelling s's."""
        of = tag[self.spelling]
        order = np.lexsort((self.level, self.item, of))
        rows = np.stack([of, self.item, self.level], axis=1)[order]
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
        return rows[first]


def _number(name: str, number: dict[str, int], forms: list[str]) -> int | None:
    """The number of a spelling, a new one where it is new; None where it folds to nothing."""
    found = number.get(name)
    if found is None and (form := fold(name)):
        found = number[name] = len(forms)
        forms.append(form)
    return found


def levels_by_majority(pairs: Rows, tags: int) -> Rows:
    """(tags,): the level that most items give a tag, the broader at a tie."""
    votes = np.bincount(pairs[:, 0] * LEVELS + pairs[:, 2] - 1, minlength=tags * LEVELS)
    return votes.reshape(tags, LEVELS).argmax(axis=1) + 1


def form(folded: str) -> str:
    """What stays of a folded name without blanks, plurals, ``&`` and the apostrophe before ``s``.

    >>> form("women s t shirts & caps") == form("womens tshirt and cap")
    True
    """
    words: list[str] = []
    for word in folded.replace("&", " and ").split():
        if word == "s" and words:
            words[-1] += "s"
        else:
            words.append(word)
    return _joined([singular(word) for word in words])


def _joined(words: Sequence[str]) -> str:
    """Words without blanks, but for those between two digits: ``2 in 1 10`` is not ``2 in 11 0``."""
    parts = list(words[:1])
    for before, word in pairwise(words):
        parts += [" ", word] if before[-1].isdigit() and word[0].isdigit() else [word]
    return "".join(parts)


def singular(word: str) -> str:
    """A folded word without its regular English plural.

    Left alone: words of fewer than four letters or with other signs than a to z; ``ss``, ``us``, ``is`` and ``ics`` at
    the end; and plurals with a sense of their own, such as ``glasses``.
    """
    if len(word) < 4 or not (word.isascii() and word.isalpha()) or word in _OWN_SENSE:
        return word
    if not word.endswith("s") or word.endswith(("ss", "us", "is", "ics")):
        return word
    if word.endswith("ies") and len(word) > 4 and word not in _SINGULAR_IN_IE:
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes")) else word[:-1]


@dataclass(frozen=True)
class Naming:
    """``tag[s]`` is the spelling that names the tag of spelling s; merges are counted, and some shown, by kind.

    A spelling is counted once, in the step after which it names nothing; the most frequent are the examples.
    """

    tag: Rows
    merged: dict[Kind, int]
    examples: dict[Kind, tuple[tuple[str, str], ...]]


def name_tags(given: Given, *, forms: bool, similarity: float | None, encoder: TextEncoder | None) -> Naming:
    """Take the steps of this module: always spelling, then form and meaning where asked for."""
    items = np.bincount(given.pairs(np.arange(len(given.spellings)))[:, 0], minlength=len(given.spellings))
    text = given.spellings
    ranked = sorted(range(len(text)), key=lambda s: (-items[s], len(text[s]), text[s]))
    steps = [np.arange(len(text)), _first_with(given.forms, ranked)]
    steps.append(_first_with([form(name) for name in given.forms], ranked) if forms else steps[-1])
    steps.append(steps[-1] if similarity is None or encoder is None else _alike(given, steps[-1], similarity, encoder))
    merged: dict[Kind, int] = {}
    examples: dict[Kind, tuple[tuple[str, str], ...]] = {}
    for kind, before, after in zip(get_args(Kind), steps[:-1], steps[1:], strict=True):
        gone = [s for s in ranked if before[s] == s != after[s]]
        merged[kind] = len(gone)
        examples[kind] = tuple((shortened(text[s]), shortened(text[steps[-1][s]])) for s in gone[:EXAMPLES])
    return Naming(steps[-1], merged, examples)


def _first_with(keys: Sequence[str], ranked: Sequence[int]) -> Rows:
    """For each key, where in the order it stands first."""
    first: dict[str, int] = {}
    for number in ranked:
        first.setdefault(keys[number], number)
    return np.fromiter((first[key] for key in keys), dtype=np.int64, count=len(keys))


def _alike(given: Given, tag: Rows, similarity: float, encoder: TextEncoder) -> Rows:
    pairs = given.pairs(tag)
    items = np.bincount(pairs[:, 0], minlength=len(tag))
    level = levels_by_majority(pairs, len(tag))
    leader = np.arange(len(tag))
    for number in range(1, LEVELS + 1):
        here = np.flatnonzero((items > 0) & (level == number))
        ordered = sorted(here, key=lambda s: (-items[s], given.forms[s]))
        if ordered:
            rows = np.array(ordered)
            leader[rows] = rows[leaders(encoder.encode([given.spellings[s] for s in ordered]), similarity)]
    return leader[tag]


def leaders(vectors: Vectors, similarity: float) -> Rows:
    """(n,): for each unit row the earlier one it follows, which follows none; itself where none is near enough.

    Takes the highest cosine, the first at a tie. Holds no more than `BLOCK` × `BLOCK` cosines at a time.
    """
    enough = similarity - _ROUNDING
    leader = np.arange(len(vectors))
    standing = np.zeros(0, dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        best, nearest = _nearest(block, vectors, standing)
        among = block @ block.T
        stands = np.zeros(len(block), dtype=np.bool_)
        for row in range(len(block)):
            own = np.where(stands[:row], among[row, :row], -np.inf)
            place = int(own.argmax()) if row else 0
            if row and own[place] > best[row]:
                best[row], nearest[row] = own[place], start + place
            stands[row] = best[row] < enough
            leader[start + row] = start + row if stands[row] else nearest[row]
        standing = np.concatenate([standing, start + np.flatnonzero(stands)])
    return leader


def _nearest(block: Vectors, vectors: Vectors, standing: Rows) -> tuple[Vectors, Rows]:
    """For each row of the block the highest cosine with a standing row, and which that is."""
    best = np.full(len(block), -np.inf, dtype=np.float32)
    nearest = np.zeros(len(block), dtype=np.int64)
    for start in range(0, len(standing), BLOCK):
        some = standing[start : start + BLOCK]
        cosines = block @ vectors[some].T
        place = cosines.argmax(axis=1)
        highest = cosines[np.arange(len(block)), place]
        better = highest > best
        best[better], nearest[better] = highest[better], some[place[better]]
    return best, nearest


def shortened(name: str) -> str:
    """As it is shown in a report."""
    return name if len(name) <= LONGEST_EXAMPLE else f"{name[: LONGEST_EXAMPLE - 1]}…"
