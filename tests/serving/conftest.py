"""Small models of both geometries over the same shop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from hyperllm.data.tags import TagGraph
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel

USERS, ITEMS, DIM = 7, 30, 4


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


def build(geometry: str, *, seed: int = 0, sparse_users: bool = False) -> ScoreModel:
    """A random model; user u6 has seen nothing."""
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(USERS, DIM)), rng.normal(size=(ITEMS, DIM))
    items[9] = items[4]  # twins
    seen = sparse.csr_matrix((rng.random((USERS, ITEMS)) < 0.2).astype(np.float32))
    seen = sparse.csr_matrix(seen.multiply(np.arange(USERS)[:, None] < 6), dtype=np.float32)
    seen.eliminate_zeros()
    shape = lift if geometry == "lorentz" else lambda v: v.astype(np.float32)
    vectors = sparse.csr_matrix(np.where(users > 0, users, 0), dtype=np.float32) if sparse_users else shape(users)
    vocabulary = Vocabulary.of(f"i{n:02}" for n in range(ITEMS))
    return ScoreModel(
        users=Vocabulary.of(f"u{n}" for n in range(USERS)),
        items=vocabulary,
        user_vectors=vectors,
        item_vectors=shape(items),
        geometry=geometry,  # pyright: ignore[reportArgumentType]
        seen=seen,
        titles=tuple(None if n == 3 else f"Thing {n} <b>" for n in range(ITEMS)),
        tags=shop_tags(vocabulary),
    )


KINDS = {"lorentz": ("lorentz", False), "inner": ("inner", False), "sparse": ("inner", True)}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> ScoreModel:
    """Each kind of model in turn."""
    geometry, sparse_users = KINDS[request.param]
    return build(geometry, sparse_users=sparse_users)


@pytest.fixture
def hyperbolic() -> ScoreModel:
    """A model on the hyperboloid."""
    return build("lorentz")


@pytest.fixture(params=[False, True], ids=["dense", "sparse"])
def flat(request: pytest.FixtureRequest) -> ScoreModel:
    """A model with inner products."""
    return build("inner", sparse_users=request.param)
