"""Small models of both geometries, one of them fused, over the same shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.data.tags import TagGraph
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel

USERS, ITEMS, DIM, FLAT = 7, 30, 4, 3


def lift(tangent: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Space coordinates (n, d) -> points of the unit hyperboloid (n, 1 + d)."""
    time = np.sqrt(1 + (tangent**2).sum(axis=1, keepdims=True))
    return np.concatenate([time, tangent], axis=1).astype(np.float32)


def shop_tags(items: Vocabulary) -> TagGraph:
    """Beauty > Hair > Shampoo with levels, and Makeup beside Hair."""
    carried = [(0, i) for i in range(20)] + [(1, i) for i in range(10)] + [(2, i) for i in range(4)] + [(3, 25)]
    return TagGraph(
        tags=Vocabulary.of(f"t{n}" for n in range(4)),
        items=items,
        names=("Beauty", "Hair", "Shampoo", "Makeup"),
        level=np.array([1, 2, 3, 2]),
        tag_items=np.array(carried),
        tag_edges=np.array([(0, 1), (1, 2), (0, 3)]),
        directed=True,
    )


def shop_catalog(items: Vocabulary) -> Catalog:
    """Titles with markup in them, one missing; a brand and a path of categories."""
    return Catalog.of(
        pl.DataFrame(
            {
                "item_id": items.ids,
                "title": [None if n == 3 else f"Thing {n} <b>" for n in range(len(items))],
                "brand": [f"Brand {n % 3}" for n in range(len(items))],
                "categories": [["Beauty", "Hair" if n < 10 else "Makeup"] for n in range(len(items))],
            }
        )
    )


def build(geometry: str, *, seed: int = 0, sparse_users: bool = False, flat: int = 0) -> ScoreModel:
    """A random model; user u6 has seen nothing."""
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(USERS, DIM)), rng.normal(size=(ITEMS, DIM))
    items[9] = items[4]  # twins
    seen = sparse.csr_matrix((rng.random((USERS, ITEMS)) < 0.2).astype(np.float32))
    seen = sparse.csr_matrix(seen.multiply(np.arange(USERS)[:, None] < 6), dtype=np.float32)
    seen.eliminate_zeros()
    user_factors, item_factors = rng.normal(size=(USERS, flat)), rng.normal(size=(ITEMS, flat))
    item_factors[9] = item_factors[4]

    def shape(vectors: npt.NDArray[np.float64], factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        return np.hstack([lift(vectors) if geometry == "lorentz" else vectors, factors]).astype(np.float32)

    few = sparse.csr_matrix(np.where(users > 0, users, 0), dtype=np.float32)
    vocabulary = Vocabulary.of(f"i{n:02}" for n in range(ITEMS))
    return ScoreModel(
        users=Vocabulary.of(f"u{n}" for n in range(USERS)),
        items=vocabulary,
        user_vectors=few if sparse_users else shape(users, user_factors),
        item_vectors=shape(items, item_factors),
        geometry=geometry,  # pyright: ignore[reportArgumentType]
        seen=seen,
        catalog=shop_catalog(vocabulary),
        tags=shop_tags(vocabulary),
        flat=flat,
    )


KINDS: dict[str, dict[str, Any]] = {
    "lorentz": {"geometry": "lorentz"},
    "fused": {"geometry": "lorentz", "flat": FLAT},
    "inner": {"geometry": "inner"},
    "sparse": {"geometry": "inner", "sparse_users": True},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> ScoreModel:
    """Each kind of model in turn."""
    return build(**KINDS[request.param])


@pytest.fixture
def hyperbolic() -> ScoreModel:
    """A model on the hyperboloid."""
    return build("lorentz")


@pytest.fixture
def mixed() -> ScoreModel:
    """A fused model: points and factors."""
    return build("lorentz", flat=FLAT)


@pytest.fixture(params=[False, True], ids=["dense", "sparse"])
def euclidean(request: pytest.FixtureRequest) -> ScoreModel:
    """A model with inner products."""
    return build("inner", sparse_users=request.param)
