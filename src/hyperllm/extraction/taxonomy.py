"""Profiles to one tag graph.

Names are compared after Unicode, case, blank and punctuation folding; equal ones are one tag, shown as most items write
it. A tag's level is the one most items give it, the broader at a tie. Of the (parent, child) edges those stay that lead
from a broader to a narrower level, so there are no loops. Everything merged or dropped is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hyperllm.data.tags import TagGraph
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.words import fold
from hyperllm.ids import Rows, Vocabulary


@dataclass(frozen=True)
class TaxonomyReport:
    """Counts of what stayed, what was merged and what was dropped."""

    tags: int
    tag_item_pairs: int
    tag_tag_edges: int
    spellings_merged: int
    levels_reconciled: int
    edges_without_tag: int
    edges_to_self: int
    edges_not_downward: int
    items_without_tags: int

    def text(self) -> str:
        """As plain lines."""
        return (
            f"{self.tags:,} tags, {self.tag_item_pairs:,} tag-item pairs, {self.tag_tag_edges:,} tag-tag edges\n"
            f"merged {self.spellings_merged:,} spellings, reconciled {self.levels_reconciled:,} levels; dropped edges: "
            f"{self.edges_without_tag:,} to a tag not given, {self.edges_to_self:,} to itself, "
            f"{self.edges_not_downward:,} not from broader to narrower; {self.items_without_tags:,} items without tags"
        )


def build(profiles: Sequence[ItemProfile], items: Vocabulary) -> tuple[TagGraph, TaxonomyReport]:
    """The tag graph of all profiles, tag ids being the folded names, and what was done to get it."""
    spelling, levels = _tally(profiles)
    tags = Vocabulary.of(spelling)
    level = {tag: min(found, key=lambda n: (-found[n], n)) for tag, found in levels.items()}
    pairs = {(fold(name), p.item_id) for p in profiles for names in p.tags for name in names if fold(name)}
    edges, lost = _edges(profiles, level)
    graph = TagGraph(
        tags=tags,
        items=items,
        names=tuple(min(spelling[tag], key=lambda s: (-spelling[tag][s], s)) for tag in tags.ids),
        level=np.array([level[tag] for tag in tags.ids], dtype=np.int64),
        tag_items=_rows(pairs, tags, items),
        tag_edges=_rows(edges, tags, tags),
        directed=True,
    )
    report = TaxonomyReport(
        tags=len(tags),
        tag_item_pairs=len(graph.tag_items),
        tag_tag_edges=len(graph.tag_edges),
        spellings_merged=sum(len(s) - 1 for s in spelling.values()),
        levels_reconciled=sum(len(found) > 1 for found in levels.values()),
        edges_without_tag=lost["without tag"],
        edges_to_self=lost["to self"],
        edges_not_downward=lost["not downward"],
        items_without_tags=len(items) - len(np.unique(graph.tag_items[:, 1])),
    )
    return graph, report


def _tally(profiles: Iterable[ItemProfile]) -> tuple[dict[str, Counter[str]], dict[str, Counter[int]]]:
    """Folded name -> how often each spelling, and each level, was given to it."""
    spelling: dict[str, Counter[str]] = defaultdict(Counter)
    levels: dict[str, Counter[int]] = defaultdict(Counter)
    for profile in profiles:
        for level, names in enumerate(profile.tags, start=1):
            for name in names:
                if tag := fold(name):
                    spelling[tag][" ".join(name.split())] += 1
                    levels[tag][level] += 1
    return spelling, levels


def _edges(profiles: Iterable[ItemProfile], level: dict[str, int]) -> tuple[set[tuple[str, str]], Counter[str]]:
    kept: set[tuple[str, str]] = set()
    lost: Counter[str] = Counter()
    for profile in profiles:
        for parent, child in ((fold(a), fold(b)) for a, b in profile.edges):
            if parent not in level or child not in level:
                lost["without tag"] += 1
            elif parent == child:
                lost["to self"] += 1
            elif level[parent] >= level[child]:
                lost["not downward"] += 1
            else:
                kept.add((parent, child))
    return kept, lost


def _rows(pairs: set[tuple[str, str]], left: Vocabulary, right: Vocabulary) -> Rows:
    ordered = sorted(pairs)
    if not ordered:
        return np.zeros((0, 2), dtype=np.int64)
    first, second = zip(*ordered, strict=True)
    edges = np.stack([left.rows(first), right.rows(second)], axis=1)
    return edges[np.lexsort((edges[:, 1], edges[:, 0]))]
