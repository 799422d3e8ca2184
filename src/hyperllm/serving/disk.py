"""The catalogue on the Poincaré disk: where to draw an item, a tag or a user.

Knows points of the hyperboloid and who is near whom. Does not know canvases, colours or pages.

No flat picture keeps all distances of H^d. This one keeps each point's distance from the origin, up to one common
factor (a change of curvature, so that the catalogue fills the disk), and spends the angle on neighbourhood: items stand
around the circle in the order of a dendrogram of their directions, so that branches are arcs. A tag stands at the
centroid of its items: what is on everything ends up near the middle, what is on few stays far out. A user has their own
radius and the mean angle of their history. Coordinates are of the open unit disk, ρ = tanh(s·r/2).
Shapes: n items shown, t tags shown, d dims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ConfigError
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import tangents
from hyperllm.serving.selection import carried

Doubles = npt.NDArray[np.float64]

ITEMS, TAGS, CATEGORIES = 20_000, 5_000, 10
OTHER = -1
_FILLED = 0.9
"""Where the outer tenth of the items begins, of the disk's radius."""
_BRANCHES = 400
_NEAR = 5


@dataclass(frozen=True, eq=False)
class Disk:
    """``rows`` (n,) are the items shown, ``xy`` (n, 2) where; ``tag_rows`` (t,) and ``tag_xy`` (t, 2) those of tags.

    ``scale`` is s, by which distances from the origin were multiplied. ``categories`` are the names of the most
    frequent categories on the first level that divides the catalogue, ``category`` (n,) which an item is in, or −1.
    """

    model: ScoreModel
    scale: float
    rows: Rows
    xy: Doubles
    tag_rows: Rows
    tag_xy: Doubles
    categories: tuple[str, ...]
    category: Rows

    @classmethod
    def of(cls, model: ScoreModel, *, items: int = ITEMS, tags: int = TAGS, seed: int = 0) -> Disk:
        """Lay out at most so many items, the most clicked, and so many tags, the widest.

        Raises `ConfigError` where the model is not hyperbolic.
        """
        if not model.curved:
            raise ConfigError("this model is not hyperbolic, so there is no disk to draw.")
        rows = np.sort(np.argsort(-model.clicks, kind="stable")[:items]).astype(np.int64)
        radius = model.radii[rows]
        scale = 2 * np.arctanh(_FILLED) / max(float(np.quantile(radius, 0.9)) if len(rows) else 1.0, 1e-6)
        angle = _angles(tangents(model.item_points[rows], curved=True), model.clicks[rows] > 0, seed)
        tag_rows, tag_xy = _tags(model, rows, angle, scale, tags)
        categories, category = _categories(model, rows)
        return cls(model, scale, rows, polar(scale * radius, angle), tag_rows, tag_xy, categories, category)

    def user(self, model: ScoreModel, row: int) -> tuple[float, float]:
        """Where a user of ``model`` stands, which has the same items: a trained one, or one who was folded in."""
        point = np.asarray(model.user_points[np.array([row])], dtype=np.float64)
        radius = float(np.arcsinh(np.linalg.norm(point[:, 1:])))
        return self.between(radius, model.seen[row].indices, np.ones(model.seen[row].nnz))

    def between(
        self, radius: float, items: Sequence[int] | Rows, weights: Sequence[float] | Doubles
    ) -> tuple[float, float]:
        """A point so far from the origin, at the weighted mean angle of items; those not shown do not count."""
        place = self._place
        known = [(place[int(row)], float(w)) for row, w in zip(items, weights, strict=True) if int(row) in place]
        towards = sum((w * _unit(self.xy[n]) for n, w in known), start=np.zeros(2))
        x, y = polar(np.array([self.scale * radius]), np.array([np.arctan2(towards[1], towards[0])]))[0]
        return float(x), float(y)

    @cached_property
    def _place(self) -> dict[int, int]:
        """Item row -> place among those shown."""
        return {row: n for n, row in enumerate(self.rows.tolist())}

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; coordinates to four digits."""
        model, tags = self.model, self.model.tags
        told: dict[str, Any] = {
            "scale": round(self.scale, 6),
            "categories": list(self.categories),
            "items": {
                "id": model.items.take(self.rows),
                "title": [model.titles[row] for row in self.rows.tolist()],
                **_columns(self.xy),
                "category": self.category.tolist(),
            },
            "tags": {"id": [], "name": [], "x": [], "y": [], "level": [], "items": []},
        }
        if tags is not None and len(self.tag_rows):
            count = np.bincount(tags.tag_items[:, 0], minlength=len(tags.tags))
            told["tags"] = {
                "id": tags.tags.take(self.tag_rows),
                "name": [tags.names[tag] for tag in self.tag_rows.tolist()],
                **_columns(self.tag_xy),
                "level": [level if level > 0 else None for level in tags.level[self.tag_rows].tolist()],
                "items": count[self.tag_rows].tolist(),
            }
        return told


def polar(radius: Doubles, angle: Doubles) -> Doubles:
    """(n, 2) of the Poincaré disk for distances from the origin and angles."""
    rho = np.tanh(radius / 2)
    return np.stack([rho * np.cos(angle), rho * np.sin(angle)], axis=1)


def _unit(xy: Doubles) -> Doubles:
    return xy / max(float(np.linalg.norm(xy)), 1e-12)


def _columns(xy: Doubles) -> dict[str, list[float]]:
    return {name: np.round(xy[:, n], 4).tolist() for n, name in enumerate("xy")}


def _angles(tangent: Doubles, clicked: npt.NDArray[np.bool_], seed: int) -> Doubles:
    """(n,) angles: the clicked ones by their order in a dendrogram, others at the mean angle of the nearest clicked."""
    directions = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    angle = np.zeros(len(tangent))
    known, others = np.flatnonzero(clicked), np.flatnonzero(~clicked)
    if not len(known):
        known, others = others, known
    order = known[_dendrogram_order(directions[known], seed)]
    angle[order] = 2 * np.pi * np.arange(len(order)) / max(1, len(order))
    for row in others:
        alike = directions[known] @ directions[row]
        best = known[np.argsort(-alike, kind="stable")[:_NEAR]]
        angle[row] = np.arctan2(np.sin(angle[best]).mean(), np.cos(angle[best]).mean())
    return angle


def _dendrogram_order(directions: Doubles, seed: int) -> Rows:
    """Rows (n,) in the order of a dendrogram's leaves: first of branches' centres, then within each branch."""
    if len(directions) < 3:
        return np.arange(len(directions))
    branches = min(_BRANCHES, len(directions))
    centres, member = directions, np.arange(len(directions))
    if branches < len(directions):
        centres, member = _branches(directions, branches, seed)
    found = [_within(directions, np.flatnonzero(member == branch)) for branch in _leaves(centres)]
    return np.concatenate(found)


def _within(directions: Doubles, rows: Rows) -> Rows:
    return rows[_leaves(directions[rows])] if len(rows) > 2 else rows


def _leaves(points: Doubles) -> Rows:
    from scipy.cluster.hierarchy import leaves_list, linkage  # only who draws needs it

    if len(points) < 3:
        return np.arange(len(points))
    return leaves_list(linkage(points, method="ward", optimal_ordering=len(points) <= _BRANCHES)).astype(np.int64)


def _branches(directions: Doubles, count: int, seed: int) -> tuple[Doubles, Rows]:
    """Centres (c, d) and the centre of each row; empty ones are left out."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    start = directions[rng.choice(len(directions), count, replace=False)]
    centres, member = kmeans2(directions, start, iter=10, minit="matrix", missing="warn")
    kept, member = np.unique(member, return_inverse=True)
    return np.asarray(centres)[kept], member.astype(np.int64)


def _tags(model: ScoreModel, rows: Rows, angle: Doubles, scale: float, most: int) -> tuple[Rows, Doubles]:
    """The widest tags, and where they stand: at the centroids of their shown items."""
    nothing = np.empty(0, dtype=np.int64), np.empty((0, 2))
    if model.tags is None:
        return nothing
    having = carried(model.tags)[rows].T.tocsr()
    count = np.diff(having.indptr)
    chosen = np.argsort(-count, kind="stable")[:most]
    chosen = np.sort(chosen[count[chosen] > 0]).astype(np.int64)
    if not len(chosen):
        return nothing
    sums = np.asarray(having[chosen] @ model.item_points[rows].astype(np.float64))
    length = np.sqrt(np.maximum(sums[:, 0] ** 2 - (sums[:, 1:] ** 2).sum(axis=1), 1e-12))
    radius = np.arccosh(np.maximum(sums[:, 0] / length, 1.0))
    towards = np.arctan2(having[chosen] @ np.sin(angle), having[chosen] @ np.cos(angle))
    return chosen, polar(scale * radius, towards)


def _categories(model: ScoreModel, rows: Rows) -> tuple[tuple[str, ...], Rows]:
    """Names of the most frequent categories of one level, and which of them each item is in, or −1.

    The level is the first on which no category holds more than four fifths of the items.
    """
    paths = [model.catalog.frame["categories"][row].to_list() for row in rows.tolist()]
    deepest = max(map(len, paths), default=0)
    for level in range(deepest):
        names = [path[level] if len(path) > level else None for path in paths]
        count = Counter(name for name in names if name is not None)
        if count and (max(count.values()) <= 0.8 * len(rows) or level == deepest - 1):
            chosen = tuple(name for name, _ in count.most_common(CATEGORIES))
            number = {name: n for n, name in enumerate(chosen)}
            return chosen, np.array([number.get(name, OTHER) for name in names], dtype=np.int64)
    return (), np.full(len(rows), OTHER, dtype=np.int64)
