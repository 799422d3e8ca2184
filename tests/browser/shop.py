"""A small shop with a right answer and hostile words: three branches, six leaves, texts that try to be markup.

Knows where everything lies, since it places it. Does not know browsers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.data.tags import TagGraph
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel

BRANCHES = {"Hair Care": ("Shampoos", "Brushes"), "Skin Care": ("Creams", "Masks"), "Makeup": ("Nails", "Lips")}
LEAF_SIZE, USERS, DIM, FLAT = 20, 36, 6, 4
ITEMS = 2 * LEAF_SIZE * len(BRANCHES)
HACK = "<img src=x onerror=window.hacked=1>"
HOSTILE = {
    0: HACK,
    1: '"></a><script>window.hacked=1</script>',
    2: "javascript:window.hacked=1",
    3: "Endless" * 60,
    20: "\u202eevil\u202c {{7*7}} ${7*7} &lt;b&gt;",
    40: "<svg/onload=window.hacked=1>",
}
HOSTILE_USER = "<svg onload=window.hacked=1>/../?#&"
HOSTILE_TAG = "<b onmouseover=window.hacked=1>Rare</b>"
NAMED = "Shampoo number 7"


def shop() -> ScoreModel:
    """The model: users like one leaf each, items of a leaf lie together, a fused hyperbolic score."""
    rng = np.random.default_rng(0)
    leaves = [(branch, leaf) for branch, both in BRANCHES.items() for leaf in both]
    items = Vocabulary.of(f"i{n:03}" for n in range(ITEMS))
    users = Vocabulary.of([HOSTILE_USER, *(f"u{n:02}" for n in range(1, USERS))])
    centre = np.repeat(np.eye(len(BRANCHES), DIM), 2, axis=0) + 0.5 * np.eye(len(leaves), DIM)[::-1]
    leaf_of_item, leaf_of_user = np.arange(ITEMS) // LEAF_SIZE, np.arange(USERS) % len(leaves)
    points = centre[leaf_of_item] * rng.uniform(0.8, 2, (ITEMS, 1)) + rng.normal(scale=0.08, size=(ITEMS, DIM))
    tastes = centre[leaf_of_user] + rng.normal(scale=0.05, size=(USERS, DIM))
    factors = np.eye(len(leaves), FLAT)
    return ScoreModel(
        users=users,
        items=items,
        user_vectors=np.hstack([_lift(tastes), 0.5 * factors[leaf_of_user]]).astype(np.float32),
        item_vectors=np.hstack([_lift(points), factors[leaf_of_item]]).astype(np.float32),
        geometry="lorentz",
        seen=_seen(users.ids, leaf_of_user),
        catalog=_catalog(items, leaves),
        tags=_tags(items, leaves),
        flat=FLAT,
    )


def _lift(tangent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.hstack([np.sqrt(1 + (tangent**2).sum(axis=1, keepdims=True)), tangent])


def _seen(users: tuple[str, ...], leaf_of_user: npt.NDArray[np.int64]) -> sparse.csr_matrix:
    """Three items of the own leaf, one of the next; the last user has nothing."""
    seen = np.zeros((len(users), ITEMS), dtype=np.float32)
    for user, leaf in enumerate(leaf_of_user[:-1]):
        seen[user, leaf * LEAF_SIZE + (user + np.array([0, 3, 6])) % LEAF_SIZE] = 1
        seen[user, ((leaf + 1) * LEAF_SIZE + user % LEAF_SIZE) % ITEMS] = 1
    return sparse.csr_matrix(seen)


def _catalog(items: Vocabulary, leaves: list[tuple[str, str]]) -> Catalog:
    kinds = [leaves[n // LEAF_SIZE] for n in range(ITEMS)]
    titles = [HOSTILE.get(n, f"{leaf[:-1]} number {n}") for n, (_, leaf) in enumerate(kinds)]
    return Catalog.of(
        pl.DataFrame(
            {
                "item_id": items.ids,
                "title": titles,
                "description": [f"A {leaf.lower()[:-1]} for every day. {HACK}" for _, leaf in kinds],
                "brand": [HACK if n == 5 else f"Brand {n % 4}" for n in range(ITEMS)],
                "categories": [["Beauty", *kind] for kind in kinds],
            }
        )
    )


def _tags(items: Vocabulary, leaves: list[tuple[str, str]]) -> TagGraph:
    """Beauty above the branches, those above their leaves, and one rare tag with a hostile name."""
    branches = list(BRANCHES)
    names = ("Beauty", *branches, *(leaf for _, leaf in leaves), HOSTILE_TAG)
    row = {name: n for n, name in enumerate(names)}
    edges = [(0, row[branch]) for branch in branches] + [(row[branch], row[leaf]) for branch, leaf in leaves]
    edges.append((row["Shampoos"], row[HOSTILE_TAG]))
    carried = [(row[name], n) for n in range(ITEMS) for name in ("Beauty", *leaves[n // LEAF_SIZE])]
    carried += [(row[HOSTILE_TAG], n) for n in range(4)]
    return TagGraph(
        tags=Vocabulary.of(f"t{n:02}" for n in range(len(names))),
        items=items,
        names=names,
        level=np.array([1] + [2] * len(branches) + [3] * (len(leaves) + 1)),
        tag_items=np.array(sorted(carried)),
        tag_edges=np.array(edges),
        directed=True,
    )
