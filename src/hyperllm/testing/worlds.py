"""Small worlds with one right answer, made in milliseconds.

`checkerboard_world` any recommender must solve; `tree_world` plants a tree that tags and text vectors tell and clicks
only hint at. `deep_tree_world` and `grid_world` differ in nothing but their metric: in one the clicks tell a tree, in
the other a flat grid. Knows how to draw them from a seed. Does not know any model. Shapes: p places, where users and
items are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperllm.data.interactions import Pairs
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError
from hyperllm.ids import Rows, Vocabulary

Matrix = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
TEXT_DIM = 16
TEXT_NOISE = 0.3


@dataclass(frozen=True)
class PlantedWorld:
    """A split with the tags and text vectors of the tree behind it."""

    split: Split
    tags: TagGraph
    semantics: Semantics


@dataclass(frozen=True)
class Tree:
    """A complete tree without its root: level l (1-based) has branchingˡ nodes, numbered level by level."""

    depth: int
    branching: int

    def __post_init__(self) -> None:
        if self.depth < 1 or self.branching < 2:
            raise ConfigError(f"a tree needs depth ≥ 1 and branching ≥ 2; got {self.depth} and {self.branching}")

    @property
    def leaves(self) -> int:
        """Nodes of the last level."""
        return self.branching**self.depth

    @property
    def nodes(self) -> int:
        """Nodes of all levels."""
        return sum(self.branching**level for level in range(1, self.depth + 1))

    def paths(self) -> Rows:
        """(leaves, depth): the node of each level above each leaf, the leaf last."""
        first = np.cumsum([0, *(self.branching**level for level in range(1, self.depth))])
        leaf = np.arange(self.leaves)
        return np.stack(
            [first[k] + leaf // self.branching ** (self.depth - 1 - k) for k in range(self.depth)], axis=1
        ).astype(np.int64)

    def distances(self) -> Reals:
        """(leaves, leaves): edges between two leaves, by way of the root if need be."""
        paths = self.paths()
        shared = (paths[:, None] == paths).sum(axis=2)
        return 2.0 * (self.depth - shared)


def tree_world(
    *,
    depth: int = 3,
    branching: int = 3,
    items_per_leaf: int = 4,
    users_per_leaf: int = 6,
    clicks: int = 4,
    seed: int = 0,
) -> PlantedWorld:
    """Each user's taste is a leaf.

    One validation and one test item come from that leaf; of the ``clicks`` training items half do (as far as it has
    them) and the rest come from the sibling leaves. Every node is a tag, every item carries the tags above it, edges
    run from broad to narrow. An item's text vector is the noisy sum of the codes above it, a user's the mean over the
    training items.
    """
    if items_per_leaf < 3:
        raise ConfigError(f"items_per_leaf is {items_per_leaf}; two are held out, so expected at least 3")
    rng = np.random.default_rng(seed)
    tree = Tree(depth, branching)
    items = Vocabulary.of(range(tree.leaves * items_per_leaf))
    users = Vocabulary.of(range(tree.leaves * users_per_leaf))
    train, valid, test = _clicks(tree, items_per_leaf, users_per_leaf, clicks, rng)
    planted = Split(users, items, train, valid, test)
    above = np.repeat(tree.paths(), items_per_leaf, axis=0)
    return PlantedWorld(planted, _tags(tree, items, above), _semantics(tree, planted, above, rng))


def deep_tree_world(
    *,
    depth: int = 8,
    branching: int = 2,
    users_per_place: int = 2,
    clicks: int | Sequence[int] = 8,
    spread: float = 16,
    seed: int = 0,
) -> PlantedWorld:
    """One item a leaf; users click the less, the more edges lie between: see `click_chances` for ``spread``.

    A user's first draw is tested, the second validates, ``clicks`` more train, all different; of several numbers of
    clicks the users of a place take turns. Tags and text vectors are those of `tree_world`.
    """
    rng = np.random.default_rng(seed)
    tree = Tree(depth, branching)
    planted = _drawn(click_chances(tree.distances(), spread=spread), users_per_place, clicks, rng)
    above = tree.paths()
    return PlantedWorld(planted, _tags(tree, planted.items, above), _semantics(tree, planted, above, rng))


def grid_world(
    *, side: int = 16, users_per_place: int = 2, clicks: int | Sequence[int] = 8, spread: float = 16, seed: int = 0
) -> Split:
    """`deep_tree_world` on a square grid of side × side places, which has no tags to tell."""
    rng = np.random.default_rng(seed)
    return _drawn(click_chances(grid_distances(side), spread=spread), users_per_place, clicks, rng)


def grid_distances(side: int) -> Reals:
    """(side², side²) Euclidean distances in an open grid: two flat dimensions hold it, as they do not hold a torus."""
    place = np.stack(np.divmod(np.arange(side**2), side), axis=1)
    return np.sqrt(((place[:, None] - place) ** 2).sum(axis=2).astype(np.float64))


def click_chances(distances: Reals, *, spread: float) -> Reals:
    """(p, p): chance ∝ exp(−s·distance) that a user of a row clicks the item of a column.

    s is found such that exp(mean entropy of a row) is ``spread``: worlds of equal spread are equally hard to guess.
    """
    if not 1 < spread < len(distances):
        raise ConfigError(f"spread is {spread}; expected between 1 and the number of places, {len(distances)}")
    low, high = 1e-4, 1e2
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        chance = _decayed(distances, middle)
        entropy = -(chance * np.log(np.maximum(chance, 1e-300))).sum(axis=1).mean()
        low, high = (middle, high) if entropy > np.log(spread) else (low, middle)
    return _decayed(distances, high)


def checkerboard_world(*, users: int = 60, items: int = 40, seed: int = 0) -> Split:
    """Users click items of their own parity: of those, a quarter tests and a quarter validates, at least one each."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "valid": [], "test": []}
    for user in range(users):
        own = rng.permutation(np.arange(user % 2, items, 2)).tolist()
        held = max(1, len(own) // 4)
        for name, chosen in (("test", own[:held]), ("valid", own[held : 2 * held]), ("train", own[2 * held :])):
            parts[name] += [(user, item) for item in chosen]
    return Split(Vocabulary.of(range(users)), Vocabulary.of(range(items)), **{n: _pairs(p) for n, p in parts.items()})


def _pairs(found: list[tuple[int, int]]) -> Pairs:
    array = np.array(found, dtype=np.int64).reshape(-1, 2)
    return Pairs(array[:, 0].copy(), array[:, 1].copy())


def _decayed(distances: Reals, decay: float) -> Reals:
    """Rows ∝ exp(−decay·distance)."""
    chance = np.exp(-decay * distances)
    return chance / chance.sum(axis=1, keepdims=True)


def _drawn(chance: Reals, users_per_place: int, clicks: int | Sequence[int], rng: np.random.Generator) -> Split:
    """Draws without replacement, by Gumbel's trick, from the rows of ``chance`` (p, p)."""
    turns = np.atleast_1d(np.asarray(clicks))
    if turns.min() < 1 or turns.max() + 2 > len(chance):
        raise ConfigError(f"clicks is {clicks}; two more are held out, so expected 1 to {len(chance) - 2}")
    users = len(chance) * users_per_place
    of_user = np.arange(users)
    keys = np.log(np.maximum(chance, 1e-300)).repeat(users_per_place, axis=0) + rng.gumbel(size=(users, len(chance)))
    order = np.argsort(-keys, axis=1)[:, : turns.max() + 2]
    own = np.arange(turns.max()) < turns[of_user % len(turns)][:, None]
    train = Pairs(np.nonzero(own)[0], order[:, 2:][own])
    test, valid = (Pairs(of_user, order[:, k].copy()) for k in (0, 1))
    return Split(Vocabulary.of(range(users)), Vocabulary.of(range(len(chance))), train, valid, test)


def _clicks(tree: Tree, items_per_leaf: int, users_per_leaf: int, clicks: int, rng: np.random.Generator) -> list[Pairs]:
    """Train, valid, test."""
    train: list[tuple[int, int]] = []
    valid: list[tuple[int, int]] = []
    test: list[tuple[int, int]] = []
    for user in range(tree.leaves * users_per_leaf):
        leaf = user // users_per_leaf
        own = rng.permutation(np.arange(leaf * items_per_leaf, (leaf + 1) * items_per_leaf))
        test.append((user, int(own[0])))
        valid.append((user, int(own[1])))
        near = own[2 : 2 + (clicks + 1) // 2]
        others = rng.permutation(_sibling_items(leaf, tree.branching, items_per_leaf))[: clicks - len(near)]
        train += [(user, int(item)) for item in (*near, *others)]
    return [_pairs(part) for part in (train, valid, test)]


def _sibling_items(leaf: int, branching: int, items_per_leaf: int) -> Rows:
    first = leaf // branching * branching
    leaves = [other for other in range(first, first + branching) if other != leaf]
    return np.concatenate([np.arange(o * items_per_leaf, (o + 1) * items_per_leaf) for o in leaves])


def _tags(tree: Tree, items: Vocabulary, above: Rows) -> TagGraph:
    paths = tree.paths()
    level = np.repeat(np.arange(1, tree.depth + 1), [tree.branching**k for k in range(1, tree.depth + 1)])
    edges = [paths[:, k : k + 2] for k in range(tree.depth - 1)]
    return TagGraph(
        tags=Vocabulary.of(range(tree.nodes)),
        items=items,
        names=tuple(f"node {number}" for number in range(tree.nodes)),
        level=level.astype(np.int64),
        tag_items=np.stack([above.ravel(), np.repeat(np.arange(len(items)), tree.depth)], axis=1),
        tag_edges=np.unique(np.concatenate(edges), axis=0) if edges else np.empty((0, 2), dtype=np.int64),
        directed=True,
    )


def _semantics(tree: Tree, planted: Split, above: Rows, rng: np.random.Generator) -> Semantics:
    codes = rng.standard_normal((tree.nodes, TEXT_DIM)) / np.sqrt(TEXT_DIM)
    noise = TEXT_NOISE * rng.standard_normal((len(above), TEXT_DIM)) / np.sqrt(TEXT_DIM)
    vectors = (codes[above].sum(axis=1) + noise).astype(np.float32)
    seen = planted.train.matrix(len(planted.users), len(planted.items))
    means = np.asarray(seen @ vectors) / np.maximum(1, np.diff(seen.indptr))[:, None]
    return Semantics(planted.users, planted.items, means.astype(np.float32), vectors)
