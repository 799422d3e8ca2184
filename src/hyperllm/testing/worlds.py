"""Small worlds with one right answer, made in milliseconds.

`checkerboard_world` any recommender must solve; `tree_world` plants a tree that tags and text vectors tell and clicks
only hint at. Knows how to draw them from a seed. Does not know any model.
"""

from __future__ import annotations

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
