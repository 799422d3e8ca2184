"""The quick exact ranking is the plain one, bit for bit: random, tied and adversarial vectors, both geometries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hyperllm.errors import MisalignedArrays
from hyperllm.evaluation.rank import TopK, topk
from hyperllm.serving import product, scan
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import ItemSide, SparseSide, flipped, norms, raised

Doubles = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)


def plain(left: Doubles, right: ItemSide, k: int, hidden: sparse.csr_matrix | None = None) -> TopK:
    """Every pair in float64, then a sort."""
    items = right.vectors.astype(np.float64)
    if right.curved:
        raised(items[:, : right.curved])
    if right.scale is not None:
        items *= right.scale[:, None]
    chosen = np.arange(len(items)) if right.chosen is None else right.chosen
    scores = np.stack([(np.einsum("nd,nd->n", np.tile(q, (len(chosen), 1)), items[chosen])) for q in left])
    top = np.repeat(np.sqrt((left**2).sum(axis=1)) * right.reach, len(chosen))
    return topk(product.settled(scores.ravel(), top).reshape(scores.shape), k, mask=hidden)


def check(left: Doubles, right: ItemSide, k: int, hidden: sparse.csr_matrix | None = None) -> None:
    ours, theirs = scan.best(left, right, k, hidden=hidden), plain(left, right, k, hidden)
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def points(count: int, dim: int, radius: float, *, flat: int = 0, rng: np.random.Generator = RNG) -> Any:
    """Rows (count, 1 + dim + flat) at radii up to ``radius``, every fifth a copy of another."""
    way = rng.normal(size=(count, dim))
    way *= np.sinh(radius * rng.random((count, 1))) / np.linalg.norm(way, axis=1, keepdims=True)
    time = np.sqrt(1 + (way**2).sum(axis=1, keepdims=True))
    rows = np.hstack([time, way, rng.normal(size=(count, flat))]).astype(np.float32)
    rows[::5] = rows[rng.integers(count, size=len(rows[::5]))]
    return rows


def veil(users: int, items: int, share: float, *, rng: np.random.Generator = RNG) -> sparse.csr_matrix:
    return sparse.csr_matrix((rng.random((users, items)) < share).astype(np.float32))


@pytest.fixture(autouse=True, params=[2**19, 600], ids=["one block", "blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SCORES_AT_ONCE", request.param)
    monkeypatch.setattr(scan, "_NARROWEST", 60)


@pytest.mark.parametrize("radius", [0.01, 1.5, 5.0, 12.0])
@pytest.mark.parametrize("flat", [0, 40])
@pytest.mark.parametrize("k", [1, 7, 150, 700])
def test_points_and_factors(radius: float, flat: int, k: int) -> None:
    left = points(9, 8, radius, flat=flat).astype(np.float64)
    flipped(left[:, :9])
    check(left, ItemSide.of(points(700, 8, radius, flat=flat), curved=9), k, veil(9, 700, 0.1))


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e9, 1e18, 1e25])
def test_factors_alone_of_any_size(size: float) -> None:
    items = (size * RNG.normal(size=(500, 6))).astype(np.float32)
    check(RNG.normal(size=(5, 6)), ItemSide.of(items, curved=0), 10)
    check(min(size, 1e12) * RNG.normal(size=(5, 6)), ItemSide.of(items, curved=0), 10)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_cosines(size: float) -> None:
    items = (size * RNG.normal(size=(500, 6))).astype(np.float32)
    items[::9] = 0
    scale = 1.0 / norms(items)
    left = items[:20].astype(np.float64) * scale[:20, None]
    check(left, ItemSide.of(items, curved=0, scale=scale), 10)


@pytest.mark.parametrize("kind", ["all equal", "rising", "falling", "two values", "one far out", "zero users", "hairs"])
def test_adversaries(kind: str) -> None:
    items = RNG.normal(size=(900, 4)).astype(np.float32)
    left = RNG.normal(size=(6, 4))
    if kind == "all equal":
        items[:] = items[0]
    elif kind in ("rising", "falling"):
        order = np.argsort(items @ left[0].astype(np.float32))
        items = items[order if kind == "rising" else order[::-1]]
    elif kind == "two values":
        items = np.repeat(items[:2], 450, axis=0)
    elif kind == "one far out":
        items[3] *= 1e6
    elif kind == "zero users":
        left[::2] = 0
    else:  # closer together than float32 scores can tell
        items = (1 + 1e-7 * RNG.integers(3, size=(900, 4))).astype(np.float32)
    right = ItemSide.of(items, curved=0)
    check(left, right, 20)
    check(left, right, 20, veil(6, 900, 0.97))
    check(left, right, 20, veil(6, 900, 1.1))
    check(left, right.of_rows(np.array([1, 3, 4, 700])), 20)


def test_a_time_coordinate_that_is_off() -> None:
    items = points(400, 6, 4.0)
    items[:, 0] *= 1 + 1e-3 * RNG.uniform(-1, 1, size=400).astype(np.float32)
    left = flipped(points(8, 6, 4.0).astype(np.float64))
    check(left, ItemSide.of(items, curved=7), 15)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 12), st.integers(0, 3))
def test_any_world(seed: int, k: int, radius: float, flat: int) -> None:
    rng = np.random.default_rng(seed)
    items = int(rng.integers(1, 400))
    left = points(4, 3, radius, flat=flat, rng=rng).astype(np.float64)
    flipped(left[:, :4])
    right = ItemSide.of(points(items, 3, radius, flat=flat, rng=rng), curved=4)
    check(left, right, k, veil(4, items, rng.random(), rng=rng))


def test_the_first_pass_stays_within_its_slack() -> None:
    for radius in (0.1, 3.0, 12.0):
        left = flipped(points(20, 30, radius).astype(np.float64))
        right = ItemSide.of(points(300, 30, radius), curved=31)
        rough = np.empty((20, 300), dtype=np.float32)
        right.approximate(left.astype(np.float32), slice(0, 300), out=rough)
        row, column = np.divmod(np.arange(6000), 300)
        doubt = np.linalg.norm(left, axis=1)[row] * right.slack[column] + right.least
        assert (np.abs(right.exact(left, row, column) - rough.ravel()) <= doubt).all()


def test_a_pair_scores_the_same_in_any_company() -> None:
    left, right = RNG.normal(size=(5, 77)), ItemSide.of(RNG.normal(size=(90, 77)).astype(np.float32), curved=0)
    row, column = np.divmod(np.arange(450), 90)
    together = right.exact(left, row, column)
    alone = [right.exact(left, row[n : n + 1], column[n : n + 1])[0] for n in range(450)]
    np.testing.assert_array_equal(together, alone)


def test_sparse_rows_read_only_the_columns_they_have() -> None:
    items = RNG.normal(size=(40, 300)).astype(np.float32)
    side = SparseSide(items)
    for share in (0.0, 0.003, 0.5):
        left = sparse.csr_matrix(np.where(RNG.random((6, 300)) < share, RNG.normal(size=(6, 300)), 0), dtype=np.float32)
        np.testing.assert_array_equal(side.product(left), left @ np.ascontiguousarray(items.T))


def test_a_mask_of_other_items_is_refused(model: ScoreModel) -> None:
    for wanted in (None, np.array([1, 2])):
        with pytest.raises(MisalignedArrays, match=r"29 columns.*30 items"):
            model.topk(np.arange(2), 3, mask=model.seen[:, :29], candidates=wanted)


def test_other_vectors_are_looked_at_anew(hyperbolic: ScoreModel) -> None:
    before = hyperbolic.topk(np.arange(7), 5)
    turned = replace(hyperbolic, item_vectors=hyperbolic.item_vectors[::-1].copy())
    after = turned.topk(np.arange(7), 30).items[:, :1]
    assert (29 - after == before.items[:, :1]).mean() > 0.5
