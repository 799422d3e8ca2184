"""Tags for an item that comes later: the names it goes by, found in a taxonomy that stands already.

Knows a finished tag graph and how names are compared. Makes no new tag: a taxonomy that grew with every new item would
no longer be what the model was trained on. Names come from a profile, where a language model wrote one, or from the
catalogue: category path, brand, and words of the title. A tag that no item carries (a hub that lost its items) says
nothing and is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperllm.data.tags import TagGraph
from hyperllm.extraction.keywords import KEYPHRASES
from hyperllm.extraction.naming import form
from hyperllm.extraction.phrases import title_terms
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.words import fold, words
from hyperllm.ids import Rows

BROADEST = 1


@dataclass(frozen=True, eq=False)
class Attacher:
    """``by_form`` finds a tag by its name; ``count`` (t,) items carry each; ``parents`` of each tag that has any."""

    count: Rows
    level: Rows
    by_form: Mapping[str, int]
    parents: Mapping[int, list[int]]

    @classmethod
    def of(cls, tags: TagGraph) -> Attacher:
        """Read a tag graph; of tags with one form the one that most items carry is meant."""
        count = np.bincount(tags.tag_items[:, 0], minlength=len(tags.tags)).astype(np.int64)
        rising = [int(tag) for tag in np.argsort(count, kind="stable") if count[tag]]
        by_form = {form(fold(tags.names[tag])): tag for tag in rising}
        parents: dict[int, list[int]] = {}
        for parent, child in tags.tag_edges.tolist() if tags.directed else []:
            if count[parent]:
                parents.setdefault(child, []).append(parent)
        return cls(count, tags.level, by_form, parents)

    def of_profile(self, profile: ItemProfile) -> list[int]:
        """The tags of a written profile that are known, broad first."""
        return self._with_parents(self._known(name for level in profile.tags for name in level))

    def of_row(self, row: Mapping[str, Any]) -> list[int]:
        """The tags of a row of a catalogue, broad first: path, brand, and at most four terms of the title."""
        named = [*row["categories"], *([row["brand"]] if row["brand"] else [])]
        found = self._known(named)
        return self._with_parents(found + self._phrases(row["title"], named, found))

    def _phrases(self, title: str | None, named: Sequence[str], taken: Sequence[int]) -> list[int]:
        """Tags that stand in a title, the rarest first; no word is used twice, nor one of ``named``."""
        spoken = {word for name in named for word in words(name)}
        terms = {term: tag for term in title_terms(title) if (tag := self.by_form.get(form(term))) is not None}
        chosen: list[int] = []
        for term, tag in sorted(terms.items(), key=lambda entry: (-len(entry[0].split()), self.count[entry[1]], entry)):
            parts = set(words(term))
            usable = self.level[tag] != BROADEST and tag not in taken and tag not in chosen
            if usable and len(chosen) < KEYPHRASES and not parts & spoken:
                chosen.append(tag)
                spoken |= parts
        return chosen

    def _known(self, names: Iterable[str]) -> list[int]:
        found = (self.by_form.get(form(fold(name))) for name in names)
        return list(dict.fromkeys(tag for tag in found if tag is not None))

    def _with_parents(self, found: Sequence[int]) -> list[int]:
        """And what lies above: the parent of a tag that has just one, where the item has none of its parents."""
        chosen = list(dict.fromkeys(found))
        for tag in chosen:  # grows as it is read
            above = self.parents.get(tag, [])
            if len(above) == 1 and above[0] not in chosen:
                chosen.append(above[0])
        return sorted(chosen, key=lambda tag: (self.level[tag], tag))
