"""A small shop whose users stand where their histories are: what folding, reasons and placing can be tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.data.tags import TagGraph
from hyperllm.ids import Vocabulary
from hyperllm.llm.hashing import HashEncoder
from hyperllm.serving.content import Content, LinearInputs
from hyperllm.serving.folding import Folding
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import expmap0

TREE = {"Hair": ("Shampoo", "Brush"), "Makeup": ("Lipstick", "Mascara")}
LEAVES = [(parent, leaf) for parent, leaves in TREE.items() for leaf in leaves]
EACH, DIM, USERS, FLAT = 12, 6, 80, 5


@dataclass(frozen=True)
class Shop:
    """The model and which of the four shelves each item stands on."""

    model: ScoreModel
    shelf: np.ndarray[tuple[int], np.dtype[np.int64]]


def shop(geometry: str = "lorentz", *, flat: int = 0, unclicked: int = 0) -> Shop:
    """Four shelves of twelve items; a user takes five of one shelf and two of another.

    The last ``unclicked`` items of each shelf are in nobody's history.
    """
    rng = np.random.default_rng(0)
    shelf = np.repeat(np.arange(len(LEAVES)), EACH)
    centres = rng.standard_normal((len(LEAVES), DIM))
    centres[1] += centres[0]
    centres[3] += centres[2]
    items = 0.5 * centres[shelf] + 0.15 * rng.standard_normal((len(shelf), DIM))
    seen = np.zeros((USERS, len(shelf)), dtype=np.float32)
    for user in range(USERS):
        one, other = rng.choice(len(LEAVES), 2, replace=False)
        for place, count in ((one, 5), (other, 2)):
            open_to = np.flatnonzero(shelf == place)[: EACH - unclicked]
            seen[user, rng.choice(open_to, count, replace=False)] = 1
    users = seen @ items / seen.sum(axis=1, keepdims=True)
    factors = rng.standard_normal((len(LEAVES), flat))[shelf] + 0.1 * rng.standard_normal((len(shelf), flat))
    both = (seen @ factors, factors) if flat else (np.empty((USERS, 0)), np.empty((len(shelf), 0)))
    user_vectors, item_vectors = (
        np.hstack([expmap0(part) if geometry == "lorentz" else part, more]).astype(np.float32)
        for part, more in zip((users, items), both, strict=True)
    )
    vocabulary = Vocabulary(tuple(f"i{n:02}" for n in range(len(shelf))))
    catalog = _catalog(vocabulary, shelf)
    model = ScoreModel(
        users=Vocabulary(tuple(f"u{n:02}" for n in range(USERS))),
        items=vocabulary,
        user_vectors=user_vectors,
        item_vectors=item_vectors,
        geometry=geometry,  # pyright: ignore[reportArgumentType]
        seen=sparse.csr_matrix(seen),
        catalog=catalog,
        tags=_tags(vocabulary, shelf),
        flat=flat if geometry == "lorentz" else 0,
        content=_content(catalog),
        linear=LinearInputs(np.ones(len(shelf), np.float32), np.ones(flat, np.float32)) if flat else None,
    )
    return Shop(_weighed(model), shelf)


def _weighed(model: ScoreModel) -> ScoreModel:
    """The users' factors on the scale that training gives them."""
    if not model.flat:
        return model
    points = np.asarray(model.user_points, dtype=np.float64)
    factors = Folding(model)._factors(model.seen, points)
    return replace(model, user_vectors=np.hstack([points, factors]).astype(np.float32))


def _catalog(items: Vocabulary, shelf: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Catalog:
    names = [LEAVES[place] for place in shelf]
    return Catalog.of(
        pl.DataFrame(
            {
                "item_id": items.ids,
                "title": [f"{leaf} number {n}" for n, (_, leaf) in enumerate(names)],
                "brand": [f"Maker {n % 2}" for n in range(len(names))],
                "categories": [["Beauty", *path] for path in names],
            }
        )
    )


def _tags(items: Vocabulary, shelf: np.ndarray[tuple[int], np.dtype[np.int64]]) -> TagGraph:
    """Beauty, which is on everything and so carried by nothing; Hair and Makeup; the four leaves."""
    names = ("Beauty", *TREE, *(leaf for _, leaf in LEAVES))
    row = {name: n for n, name in enumerate(names)}
    pairs = [(row[name], item) for item, place in enumerate(shelf) for name in LEAVES[place]]
    edges = [(row["Beauty"], row[parent]) for parent in TREE] + [(row[parent], row[leaf]) for parent, leaf in LEAVES]
    return TagGraph(
        tags=Vocabulary(tuple(f"t{n}" for n in range(len(names)))),
        items=items,
        names=names,
        level=np.array([1, 2, 2, 3, 3, 3, 3]),
        tag_items=np.array(pairs),
        tag_edges=np.array(edges),
        directed=True,
    )


def _content(catalog: Catalog) -> Content:
    encoder = HashEncoder()
    recipe = {"encoder": encoder.name, "version": encoder.version, "profiles": None, "tags": None}
    return Content(encoder.encode(catalog.texts()), recipe)
