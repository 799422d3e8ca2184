"""What a trained model's items look like as a tree: Ward's clustering of log₀ vectors, and numbers about it (§5.7).

Knows vectors and category paths. The paper shows this as a picture of coloured clusters; the numbers here say how far
the tree keeps the distances it was made from and whether its clusters are what a shop calls categories. Does not know
models, files or drawings. Shapes: ``n`` items, ``m`` of them in the tree, ``d`` dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist
from sklearn import metrics

from hyperllm.errors import DataError
from hyperllm.ids import Rows
from hyperllm.serving.product import Doubles, flipped, minus_distance, raised

LEVELS = 3
"""Levels of categories that `numbers` compares with, from the broadest."""

COLOURED = 0.7
"""Clusters get a colour of their own where they merge above this share of the root's height, as in SciPy's drawing."""

_SAMPLE = 8_000  # condensed distances of so many: 256 MB, and three such lists at a time
_QUADRUPLES = 50_000
_BLOCK = 256


def log0(points: npt.NDArray[np.floating]) -> Doubles:
    """log₀(x) = arsinh(‖x_s‖)/‖x_s‖·x_s of points (n, d+1) on the unit hyperboloid: tangent vectors (n, d)."""
    space = points[:, 1:].astype(np.float64)
    norm = np.linalg.norm(space, axis=1, keepdims=True)
    return space * np.divide(np.arcsinh(norm), norm, out=np.ones_like(norm), where=norm > 0)


def _exp0(vectors: Doubles) -> Doubles:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    space = vectors * np.divide(np.sinh(norm), norm, out=np.ones_like(norm), where=norm > 0)
    return raised(np.hstack([np.zeros_like(norm), space]))


def distances(vectors: Doubles) -> Doubles:
    """Hyperbolic distances of all pairs of exp₀(v), v (n, d): (n(n−1)/2,) in SciPy's condensed order."""
    points = _exp0(vectors)
    left, start = flipped(points.copy()), 0
    found = np.empty(len(points) * (len(points) - 1) // 2)
    for row in range(len(points) - 1):
        part = points[row + 1 :] @ left[row]
        found[start : start + len(part)] = part
        start += len(part)
    return _arc(found)


@dataclass(frozen=True, eq=False)
class Tree:
    """``rows`` (m,) of the items, their tangent ``vectors`` (m, d), and ``merges`` (m−1, 4) as SciPy writes them."""

    rows: Rows
    vectors: Doubles
    merges: Doubles

    def order(self) -> Rows:
        """The leaves (m,) from left to right."""
        return hierarchy.leaves_list(self.merges).astype(np.int64)

    def cut(self, clusters: int) -> Rows:
        """Cluster number (m,), from 0, of every leaf after cutting into at most ``clusters``."""
        return hierarchy.fcluster(self.merges, clusters, "maxclust").astype(np.int64) - 1

    def coloured(self) -> int:
        """How many clusters there are below `COLOURED` of the root's height."""
        return 1 + int((self.merges[:, 2] > COLOURED * self.merges[-1, 2]).sum())

    def depth(self) -> float:
        """Mean depth of a leaf, 1 for a balanced tree: the number of merges above it over log₂ m."""
        leaves = len(self.rows)
        above = np.zeros(2 * leaves - 1)
        for merge in range(leaves - 2, -1, -1):
            above[self.merges[merge, :2].astype(np.int64)] = above[leaves + merge] + 1
        return float(above[:leaves].mean() / np.log2(leaves))

    def distance_map(self, bins: int) -> Doubles:
        """Mean hyperbolic distance (bins, bins) between runs of neighbouring leaves, an item with itself left out."""
        run = np.arange(len(self.rows)) * bins // len(self.rows)
        sizes, starts = np.bincount(run), np.searchsorted(run, np.arange(bins))
        sums = np.add.reduceat(_distance_sums(_exp0(self.vectors[self.order()]), run), starts)
        return sums / np.maximum(np.outer(sizes, sizes) - np.diag(sizes), 1)


def tree(vectors: Doubles, *, seed: int = 0, sample: int = _SAMPLE) -> Tree:
    """Ward's tree of tangent vectors (n, d), or of ``sample`` of them drawn with ``seed`` where there are more.

    Time and memory grow with m²: 6,000 items take 3 s and 0.5 GB. Raises `DataError` where there is nothing to cluster.
    """
    if len(vectors) < 3 or not np.isfinite(vectors).all() or not np.ptp(vectors, axis=0).any():
        raise DataError(
            f"a tree needs at least 3 items with finite vectors that differ; found {vectors.shape[0]:,} rows of "
            f"{vectors.shape[1]} numbers. Did the training diverge?"
        )
    rows = _drawn(len(vectors), sample, seed)
    kept = vectors[rows].astype(np.float64)
    return Tree(rows, kept, hierarchy.linkage(pdist(kept), "ward"))


def _drawn(count: int, sample: int, seed: int) -> Rows:
    if count <= sample:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, sample, replace=False))


def category_names(paths: Sequence[Sequence[str]], level: int) -> list[str | None]:
    """What level ``level`` (1 the broadest) calls each item, below the part of the path that all items share.

    A category is the whole path to it, so two shelves named "Brushes" stay two. None where a path ends above the level.
    """
    known = {tuple(path) for path in paths if path}
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*known, strict=False)))
    end = shared + level
    return [" › ".join(path[shared:end]) if len(path) >= end else None for path in paths]


@dataclass(frozen=True)
class Agreement:
    """The tree cut into as many clusters as a level has categories, against these categories."""

    level: int
    categories: int
    items: int
    """Items of the tree whose path reaches the level; the others are cut along but not compared."""
    mutual_information: float
    """Adjusted mutual information: 0 by chance, 1 for the same partition."""
    rand: float
    """Adjusted Rand index, likewise."""
    silhouette: float
    """Mean silhouette of the clusters in hyperbolic distances: 1 far apart, 0 touching."""
    evenness: float
    """Effective number of clusters, exp of the entropy of their sizes, over their number: 1 if all are as large."""


@dataclass(frozen=True)
class Numbers:
    """What can be said about a tree beside its picture."""

    items: int
    cophenetic_hyperbolic: float
    """Correlation of the heights at which pairs merge with their hyperbolic distances."""
    cophenetic_euclidean: float
    """The same with the Euclidean distances of the log₀ vectors, which the tree was made from."""
    delta: float
    """Gromov's δ relative to the diameter, 2δ/diam, the largest of many quadruples: 0 for a tree, 1 for no tree."""
    depth: float
    """`Tree.depth`."""
    coloured: int
    """`Tree.coloured`."""
    levels: tuple[Agreement, ...]


def numbers(tree: Tree, paths: Sequence[Sequence[str]] | None = None, *, seed: int = 0) -> Numbers:
    """Numbers of a tree; ``paths`` are the category paths of all n items, broad to specific, empty where unknown.

    A level with one category, or with one for each item, is left out. ``seed`` draws the quadruples for δ.
    """
    merged_at = hierarchy.cophenet(tree.merges)
    euclidean = float(np.corrcoef(merged_at, pdist(tree.vectors))[0, 1])
    apart = distances(tree.vectors)
    return Numbers(
        items=len(tree.rows),
        cophenetic_hyperbolic=float(np.corrcoef(merged_at, apart)[0, 1]),
        cophenetic_euclidean=euclidean,
        delta=2.0 * _delta(_exp0(tree.vectors), seed) / float(apart.max()),
        depth=tree.depth(),
        coloured=tree.coloured(),
        levels=() if paths is None else _agreements(tree, paths),
    )


def _delta(points: Doubles, seed: int) -> float:
    """Half the gap between the two largest of d(a,b)+d(c,e), d(a,c)+d(b,e), d(a,e)+d(b,c), at its largest."""
    a, b, c, e = (points[rows] for rows in np.random.default_rng(seed).integers(len(points), size=(4, _QUADRUPLES)))
    sums = np.sort([-minus_distance(a, b) - minus_distance(c, e), -minus_distance(a, c) - minus_distance(b, e),
                    -minus_distance(a, e) - minus_distance(b, c)], axis=0)  # fmt: skip
    return float((sums[2] - sums[1]).max() / 2.0)


def _agreements(tree: Tree, paths: Sequence[Sequence[str]]) -> tuple[Agreement, ...]:
    found: list[Agreement] = []
    for level in range(1, LEVELS + 1):
        names = category_names(paths, level)
        named = np.array([names[row] is not None for row in tree.rows])
        of_item = np.array([names[row] for row in tree.rows[named]])
        categories = len(set(of_item))
        if not 1 < categories < len(tree.rows):
            continue
        cluster = tree.cut(categories)
        share = np.bincount(cluster) / len(cluster)
        found.append(
            Agreement(
                level=level,
                categories=categories,
                items=int(named.sum()),
                mutual_information=float(metrics.adjusted_mutual_info_score(of_item, cluster[named])),
                rand=float(metrics.adjusted_rand_score(of_item, cluster[named])),
                silhouette=silhouette(tree.vectors, cluster),
                evenness=float(np.exp(-(share * np.log(share)).sum()) / categories),
            )
        )
    return tuple(found)


def silhouette(vectors: Doubles, cluster: Rows) -> float:
    """Mean silhouette in hyperbolic distances of clusters (m,), numbered from 0, of tangent vectors (m, d).

    (b − a) / max(a, b) with a an item's mean distance to its own cluster, b to the nearest other; 0 for one alone.
    """
    sums, sizes, each = _distance_sums(_exp0(vectors), cluster), np.bincount(cluster), np.arange(len(cluster))
    own = sums[each, cluster] / np.maximum(sizes[cluster] - 1, 1)
    others = sums / sizes
    others[each, cluster] = np.inf
    nearest = others.min(axis=1)
    return float(np.where(sizes[cluster] > 1, (nearest - own) / np.maximum(nearest, own), 0.0).mean())


def _distance_sums(points: Doubles, group: Rows) -> Doubles:
    """Sum of the distances of every point to the points of every group, (m, groups)."""
    left, member = flipped(points.copy()), np.eye(group.max() + 1)[group]
    blocks = (_arc(left[start : start + _BLOCK] @ points.T) @ member for start in range(0, len(points), _BLOCK))
    return np.vstack(list(blocks))


def _arc(inner: Doubles) -> Doubles:
    """Distances from ⟨x, y⟩_L: 2 arsinh(√q / 2) with q = −2 − 2⟨x, y⟩_L (Eq. 4); good to 1e-7 up to radius 3."""
    return 2.0 * np.arcsinh(np.sqrt(np.maximum(-2.0 - 2.0 * inner, 0.0)) / 2.0)
