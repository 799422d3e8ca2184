"""Why an item was recommended: a path of tags it shares with the user's history, the history items nearest to it, and
what the score is made of.

Knows the tag graph, the history, item–item similarity, and what the model makes of a history (`folding`). Names only
evidence that counts: the model reads the history once whole and once without an item, and the fall of the score is that
item's ``effect``. What has none is not named, and all that is named together lowers the score when it goes. The scores
compared are those of folded-in histories: of a trained user the model has only the outcome.

A path runs broad > … > specific along tag–tag edges between tags that the item shares with the history. Broad comes
first by level where the graph is directed and has levels, else by how many items carry the tag (more is broader). Of
all such paths the most telling wins: the one whose tags are rarest together (sum of log(items / items with the tag)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.ids import Rows
from hyperllm.serving.folding import Folding, history_matrix
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import minus_distance
from hyperllm.serving.selection import carried

Doubles = npt.NDArray[np.float64]
_NEAREST = 3


@dataclass(frozen=True)
class HistoryItem:
    """An item the user chose before; ``score`` is its similarity to the recommended one (`ScoreModel.similarities`).

    Of a fused model that is nearness of points; the factors, which rank along, are no part of it. ``effect`` is how
    much the recommended item's score falls when this one leaves the history; it is above 0.
    """

    item_id: str
    title: str | None
    score: float
    effect: float

    def __str__(self) -> str:
        return self.title or self.item_id


@dataclass(frozen=True)
class Parts:
    """What a score is the sum of: ``hyperbolic`` ⟨u, i⟩_L and ``linear``, the product of factors, 0 without any.

    Of a model that is not hyperbolic all of it is ``linear``. ``distance`` is that of the points, None there.
    """

    hyperbolic: float
    linear: float
    distance: float | None

    @property
    def total(self) -> float:
        """The score that ranks."""
        return self.hyperbolic + self.linear

    def __str__(self) -> str:
        if self.distance is None:
            return f"score {self.total:.4f}"
        parts = f"hyperbolic {self.hyperbolic:.4f} + linear {self.linear:.4f}"
        return f"score {self.total:.4f} = {parts}; distance {self.distance:.4f}"


@dataclass(frozen=True)
class Reasons:
    """``tag_path`` is broad to specific, empty without shared tags that count.

    ``tagged`` counts the history items that carry the path's last, most specific tag. ``nearest`` is best first.
    """

    tag_path: tuple[str, ...]
    tagged: int
    nearest: tuple[HistoryItem, ...]
    parts: Parts

    def __str__(self) -> str:
        parts: list[str] = []
        if self.tag_path:
            items = "item" if self.tagged == 1 else "items"
            parts.append(f"{' > '.join(self.tag_path)} (the last tag is on {self.tagged} {items} of the history)")
        if self.nearest:
            parts.append("near " + "; ".join(map(str, self.nearest)))
        return " · ".join(parts) or "nothing in the history speaks for it"


@dataclass(frozen=True, eq=False)
class Explainer:
    """Tables made once for a model: tags of items (I, t), the place of each tag from broad to specific, its weight."""

    folding: Folding
    carried: sparse.csr_matrix | None
    weight: np.ndarray
    place: Rows
    broader: dict[int, list[int]]

    @classmethod
    def of(cls, folding: Folding) -> Explainer:
        """Prepare the tag graph of a model."""
        tags = folding.model.tags
        if tags is None or not len(tags.tag_items):
            return cls(folding, None, np.empty(0), np.empty(0, dtype=np.int64), {})
        having = carried(tags)
        count = np.bincount(having.indices, minlength=len(tags.tags))
        place = _broad_first(tags, count)
        weight = np.log(max(1, len(tags.items)) / np.maximum(count, 1))
        return cls(folding, having, weight, place, _oriented(tags, place))

    def explain(self, model: ScoreModel, user_row: int, items: Rows) -> list[Reasons]:
        """Reasons for each of ``items`` (n,) recommended to one user of ``model``, which has the same items."""
        history = model.seen[user_row].indices.astype(np.int64)
        effects = self._effects(history, items)
        nearest = self._nearest(history, items, effects)
        paths = [self._path(history, int(item), effect) for item, effect in zip(items, effects, strict=True)]
        nearest, paths = self._joint(history, items, nearest, paths)
        parts = score_parts(model, user_row, items)
        return [
            Reasons(
                tuple(self._names(path)),
                len(having),
                tuple(self._item(int(history[h]), score, effect[h]) for h, score in near),
                part,
            )
            for (path, having), near, effect, part in zip(paths, nearest, effects, parts, strict=True)
        ]

    def _effects(self, history: Rows, items: Rows) -> Doubles:
        """(n, h) how much each score falls without each item of the history; −inf for the item itself."""
        if not len(history):
            return np.empty((len(items), 0))
        scores = self._scores([history, *(np.delete(history, h) for h in range(len(history)))], items)
        found = (scores[0] - scores[1:]).T
        found[items[:, None] == history[None, :]] = -np.inf
        return found

    def _scores(self, histories: list[Rows], items: Rows) -> Doubles:
        """(b, n) scores of items for users who are folded in from ``histories``."""
        model = self.folding.model
        vectors = self.folding.vectors(history_matrix(histories, len(model.items)))
        return model.products(vectors, items)

    def _nearest(self, history: Rows, items: Rows, effects: Doubles) -> list[list[tuple[int, float]]]:
        """For each item up to three places in the history with an effect, the nearest first, with their similarity."""
        if not len(history):
            return [[] for _ in items]
        model = self.folding.model
        near = model.similarities(items, np.broadcast_to(history, (len(items), len(history))))
        found: list[list[tuple[int, float]]] = []
        for scores, effect in zip(near, effects, strict=True):
            order = [int(h) for h in np.argsort(-scores, kind="stable") if effect[h] > 0][:_NEAREST]
            found.append([(h, float(scores[h])) for h in order])
        return found

    def _path(self, history: Rows, item: int, effect: Doubles) -> tuple[list[int], Rows]:
        """The best path, and the history items that carry its last tag."""
        nothing = np.empty(0, dtype=np.int64)
        if self.carried is None:
            return [], nothing
        others = history != item
        past = self.carried[history[others]]
        shared = np.intersect1d(self.carried[item].indices, past.indices)
        gains = past.T @ effect[others]
        path = self._best_path(sorted((t for t in shared.tolist() if gains[t] > 0), key=lambda tag: self.place[tag]))
        if not path:
            return [], nothing
        return path, history[others][past[:, [path[-1]]].toarray()[:, 0] > 0]

    def _joint(
        self,
        history: Rows,
        items: Rows,
        nearest: list[list[tuple[int, float]]],
        paths: list[tuple[list[int], Rows]],
    ) -> tuple[list[list[tuple[int, float]]], list[tuple[list[int], Rows]]]:
        """Keep several named items, or a path, only where the score falls when all of them leave together."""
        without = [np.setdiff1d(history, history[[h for h, _ in near]]) for near in nearest]
        without += [np.setdiff1d(history, having) for _, having in paths]
        scores = self._scores([history, *without], items)
        each, n = np.arange(len(items)), len(items)
        falls = scores[0] - scores[1 : n + 1][each, each], scores[0] - scores[n + 1 :][each, each]
        kept = [near if fall > 0 else near[:1] for near, fall in zip(nearest, falls[0], strict=True)]
        nothing: tuple[list[int], Rows] = [], np.empty(0, dtype=np.int64)
        return kept, [path if fall > 0 else nothing for path, fall in zip(paths, falls[1], strict=True)]

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

    def _names(self, path: list[int]) -> list[str]:
        tags = self.folding.model.tags
        return [] if tags is None else [tags.names[tag] for tag in path]

    def _item(self, row: int, score: float, effect: float) -> HistoryItem:
        model = self.folding.model
        return HistoryItem(model.items.ids[row], model.titles[row], score, float(effect))


def score_parts(model: ScoreModel, user_row: int, items: Rows) -> list[Parts]:
    """What the scores of ``items`` (n,) for one user are made of."""
    rows = np.array([user_row])
    whole = model.products(model.user_vectors[rows], items)[0]
    if not model.curved:
        return [Parts(0.0, float(score), None) for score in whole]
    point, near = (np.asarray(part, dtype=np.float64) for part in (model.user_points[rows], model.item_points[items]))
    distance = -minus_distance(point, near)
    return [Parts(-float(np.cosh(d)), float(s + np.cosh(d)), float(d)) for s, d in zip(whole, distance, strict=True)]


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
