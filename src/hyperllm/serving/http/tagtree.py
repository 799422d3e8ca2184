"""Tags above and below each other, and the items that carry them.

Knows one tag graph as lists a page can walk. Does not know how the tags were found. Where a graph has no direction, the
tag that more items carry is taken for the broader one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.ids import Rows, Vocabulary

_SHOWN_ITEMS = 50


@dataclass(frozen=True, eq=False)
class TagTree:
    """``count`` (t,) items a tag; ``parents`` and ``children`` by tag row, those with most items first."""

    ids: Vocabulary
    names: tuple[str, ...]
    level: Rows
    count: Rows
    parents: dict[int, list[int]]
    children: dict[int, list[int]]
    order: list[int]
    items: dict[int, list[int]]

    @classmethod
    def of(cls, graph: TagGraph | None, clicks: Rows) -> TagTree:
        """Prepare; without a graph there are no tags."""
        if graph is None:
            nothing = np.empty(0, dtype=np.int64)
            return cls(Vocabulary(()), (), nothing, nothing, {}, {}, [], {})
        carried = np.unique(graph.tag_items, axis=0)
        count = np.bincount(carried[:, 0], minlength=len(graph.tags)).astype(np.int64)
        order = np.lexsort((np.arange(len(count)), -count)).tolist()
        parents, children = _related(graph, count)
        return cls(
            graph.tags, graph.names, graph.level, count, parents, children, order, _most_clicked(carried, clicks)
        )

    def roots(self) -> list[int]:
        """Tags without a broader one, widest first."""
        return [tag for tag in self.order if tag not in self.parents]

    def find(self, query: str) -> list[int]:
        """Tags whose name holds ``query``, whatever its case, widest first."""
        wanted = query.strip().casefold()
        return [tag for tag in self.order if wanted in self.names[tag].casefold()]

    def level_of(self, tag: int) -> int | None:
        """1 broad … 3 specific, None where unknown."""
        level = int(self.level[tag])
        return None if level == UNKNOWN_LEVEL else level


def _related(graph: TagGraph, count: Rows) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Parents and children by tag, widest first."""
    parents: defaultdict[int, set[int]] = defaultdict(set)
    children: defaultdict[int, set[int]] = defaultdict(set)
    for left, right in graph.tag_edges.tolist():
        if left == right:
            continue
        if not graph.directed and (count[left], -left) < (count[right], -right):
            left, right = right, left
        parents[right].add(left)
        children[left].add(right)

    def widest(related: dict[int, set[int]]) -> dict[int, list[int]]:
        return {tag: sorted(others, key=lambda o: (-int(count[o]), o)) for tag, others in related.items()}

    return widest(parents), widest(children)


def _most_clicked(carried: Rows, clicks: Rows) -> dict[int, list[int]]:
    """At most 50 items of each tag, the most clicked first."""
    tag, item = carried.T
    order = np.lexsort((item, -clicks[item], tag))
    found: defaultdict[int, list[int]] = defaultdict(list)
    for which, row in zip(tag[order].tolist(), item[order].tolist(), strict=True):
        if len(found[which]) < _SHOWN_ITEMS:
            found[which].append(row)
    return dict(found)
