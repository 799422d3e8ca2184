"""Why an item was recommended: tags it shares with the user's history, and the history items nearest to it.

Knows the tag graph, the history and item–item similarity. Says only what these hold; it does not open the model, and
does not claim that a tag caused a score.

A path runs broad > … > specific along tag–tag edges between tags that the item shares with the history. Broad comes
first by level where the graph is directed and has levels, else by how many items carry the tag (more is broader). Of
all such paths the most telling wins: the one whose tags are rarest together (sum of log(items / items with the tag)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel

_NEAREST = 3


@dataclass(frozen=True)
class HistoryItem:
    """An item the user chose before; ``score`` is its similarity to the recommended one (`ScoreModel.similarities`).

    Of a fused model that is nearness of points; the factors, which rank along, are no part of it.
    """

    item_id: str
    title: str | None
    score: float

    def __str__(self) -> str:
        return self.title or self.item_id


@dataclass(frozen=True)
class Reasons:
    """``tag_path`` is broad to specific, empty without shared tags.

    ``tagged`` counts the history items that carry the path's last, most specific tag. ``nearest`` is best first.
    """

    tag_path: tuple[str, ...]
    tagged: int
    nearest: tuple[HistoryItem, ...]

    def __str__(self) -> str:
        parts: list[str] = []
        if self.tag_path:
            items = "item" if self.tagged == 1 else "items"
            parts.append(f"{' > '.join(self.tag_path)} (the last tag is on {self.tagged} {items} of the history)")
        if self.nearest:
            parts.append("near " + "; ".join(map(str, self.nearest)))
        return " · ".join(parts) or "no shared tag and no history"


@dataclass(frozen=True, eq=False)
class Explainer:
    """Tables made once for a batch: tags of items (I, t), the place of each tag from broad to specific, its weight."""

    model: ScoreModel
    carried: sparse.csr_matrix | None
    weight: np.ndarray
    place: Rows
    broader: dict[int, list[int]]

    @classmethod
    def of(cls, model: ScoreModel) -> Explainer:
        """Prepare the tag graph of ``model``."""
        tags = model.tags
        if tags is None or not len(tags.tag_items):
            return cls(model, None, np.empty(0), np.empty(0, dtype=np.int64), {})
        shape = (len(tags.items), len(tags.tags))
        ones = np.ones(len(tags.tag_items), dtype=np.float32)
        carried = sparse.csr_matrix((ones, (tags.tag_items[:, 1], tags.tag_items[:, 0])), shape=shape)
        count = np.bincount(carried.indices, minlength=shape[1])
        place = _broad_first(tags, count)
        weight = np.log(max(1, shape[0]) / np.maximum(count, 1))
        return cls(model, carried, weight, place, _oriented(tags, place))

    def explain(self, user_row: int, items: Rows) -> list[Reasons]:
        """Reasons for each of ``items`` (n,) recommended to one user."""
        history = self.model.seen[user_row].indices.astype(np.int64)
        nearest = self._nearest(history, items)
        return [
            Reasons(*self._shared(history[history != item], int(item)), nearest=near)
            for item, near in zip(items, nearest, strict=True)
        ]

    def _shared(self, history: Rows, item: int) -> tuple[tuple[str, ...], int]:
        """The best path and how many of the history's items carry its last tag."""
        if self.carried is None or self.model.tags is None or not len(history):
            return (), 0
        past = self.carried[history]
        shared = np.intersect1d(self.carried[item].indices, past.indices)
        path = self._best_path(sorted(shared.tolist(), key=lambda tag: self.place[tag]))
        if not path:
            return (), 0
        return tuple(self.model.tags.names[tag] for tag in path), int((past.indices == path[-1]).sum())

    def _best_path(self, shared: list[int]) -> list[int]:
        """Heaviest path within ``shared``, which comes broad first, so each tag is reached after all broader ones."""
        best: dict[int, tuple[float, int]] = {}
        before: dict[int, int] = {}
        for tag in shared:
            steps = [(best[b], b) for b in self.broader.get(tag, ()) if b in best]
            (weight, length), previous = max(steps, default=((0.0, 0), -1))
            best[tag] = (weight + float(self.weight[tag]), length + 1)
            before[tag] = previous
        if not best:
            return []
        path = [max(best, key=lambda tag: (best[tag], -tag))]
        while before[path[-1]] >= 0:
            path.append(before[path[-1]])
        return path[::-1]

    def _nearest(self, history: Rows, items: Rows) -> list[tuple[HistoryItem, ...]]:
        if not len(history):
            return [()] * len(items)
        near = self.model.similarities(items, np.broadcast_to(history, (len(items), len(history))))
        found: list[tuple[HistoryItem, ...]] = []
        for item, scores in zip(items, near, strict=True):
            order = [h for h in np.argsort(-scores, kind="stable") if history[h] != item][:_NEAREST]
            found.append(tuple(self._item(int(history[h]), float(scores[h])) for h in order))
        return found

    def _item(self, row: int, score: float) -> HistoryItem:
        return HistoryItem(self.model.items.ids[row], self.model.titles[row], score)


def _broad_first(tags: TagGraph, count: Rows) -> Rows:
    """Place (t,) of each tag in the order broad to specific."""
    by_level = tags.directed and bool((tags.level != UNKNOWN_LEVEL).all())
    level = tags.level if by_level else np.zeros(len(count), dtype=np.int64)
    place = np.empty(len(count), dtype=np.int64)
    place[np.lexsort((np.arange(len(count)), -count, level))] = np.arange(len(count))
    return place


def _oriented(tags: TagGraph, place: Rows) -> dict[int, list[int]]:
    """Narrower tag -> broader tags. Directed edges that run against the order are left out, others are turned."""
    broader: dict[int, list[int]] = {}
    for left, right in tags.tag_edges.tolist():
        if place[left] > place[right]:
            if tags.directed:
                continue
            left, right = right, left
        if left != right:
            broader.setdefault(right, []).append(left)
    return broader
