"""What an approximate index returns is exact in score and order, hides what is hidden, and finds nearly everything."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from hyperllm import artifacts
from hyperllm.errors import ConfigError, Corrupt, DataError, Incomplete, MisalignedArrays, WrongKind
from hyperllm.evaluation.rank import NOTHING, TopK
from hyperllm.ids import Vocabulary
from hyperllm.serving.model import ScoreModel

pytest.importorskip("usearch", reason="usearch is not installed: pip install 'hyperllm[ann]'")
pytest.importorskip("numba", reason="numba is not installed: pip install 'hyperllm[ann]'")

from hyperllm.data.catalog import Catalog
from hyperllm.serving import index as module
from hyperllm.serving.index import ApproximateIndex
from hyperllm.serving.metric import Layout, building, searching, spare

ITEMS, USERS, DIM, FACTORS = 600, 40, 5, 4


def world(kind: str, *, radius: float = 2.0, items: int = ITEMS, seed: int = 0) -> ScoreModel:
    """Users near items, a tenth of which are twins."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> Any:
        way = rng.normal(size=(count, DIM))
        way *= np.sinh(radius * rng.random((count, 1)) ** 0.3) / np.linalg.norm(way, axis=1, keepdims=True)
        time = np.sqrt(1 + (way**2).sum(axis=1, keepdims=True))
        factors = rng.normal(size=(count, FACTORS)) * rng.random((count, 1))
        parts = {"lorentz": [time, way], "fused": [time, way, factors], "inner": [factors]}
        return np.hstack(parts[kind]).astype(np.float32)

    vectors = rows(items)
    vectors[1::10] = vectors[: items - 1 : 10]
    names = Vocabulary.of(f"i{n:05}" for n in range(items))
    return ScoreModel(
        users=Vocabulary.of(f"u{n:02}" for n in range(USERS)),
        items=names,
        user_vectors=rows(USERS),
        item_vectors=vectors,
        geometry="inner" if kind == "inner" else "lorentz",
        seen=sparse.csr_matrix((rng.random((USERS, items)) < 0.02).astype(np.float32)),
        catalog=Catalog.empty(names),
        flat=FACTORS if kind == "fused" else 0,
    )


def recall(found: TopK, truth: TopK) -> float:
    kept = [(f, t[t >= 0]) for f, t in zip(found.items, truth.items, strict=True) if (t >= 0).any()]
    return float(np.mean([np.isin(t, f).mean() for f, t in kept])) if kept else 1.0


@pytest.fixture(scope="module", params=["lorentz", "fused", "inner"])
def built(request: pytest.FixtureRequest) -> ApproximateIndex:
    return ApproximateIndex.build(world(request.param), threads=1)


ALL = np.arange(USERS)


@pytest.mark.parametrize("kind", ["lorentz", "fused", "inner"])
def test_the_compiled_distances_are_the_formulas(kind: str) -> None:
    model = world(kind, radius=6.0)
    layout = Layout(model.curved, FACTORS if kind != "lorentz" else 0)
    vectors, users = np.asarray(model.item_vectors), np.asarray(model.user_vectors)
    factors = vectors[:, model.curved :].astype(float)
    most = float((factors**2).sum(axis=1).max(initial=0))
    alone = np.sqrt(most - np.minimum((factors**2).sum(axis=1), most))
    np.testing.assert_allclose(spare(vectors[:, model.curved :], most), alone, atol=1e-6)
    rows, queries = layout.rows(vectors, spare=alone), layout.rows(users)
    exact = model.item_side.exact
    score = [exact(model.left_factors(ALL), np.full(ITEMS, u), np.arange(ITEMS)) for u in range(5)]
    np.testing.assert_allclose(distances(searching(layout), queries[:5], rows), -np.array(score), rtol=1e-4, atol=1e-4)
    expected = np.zeros((5, ITEMS))
    if model.curved:
        points = replace(model, item_vectors=model.item_points.copy(), user_vectors=model.item_points[:USERS], flat=0)
        left = points.left_factors(np.arange(5))
        expected -= [points.item_side.exact(left, np.full(ITEMS, i), np.arange(ITEMS)) for i in range(5)]
    both = np.hstack([factors, alone[:, None]])
    expected += ((both[:5, None] - both[None]) ** 2).sum(axis=2) / 2
    np.testing.assert_allclose(distances(building(layout), rows[:5], rows), expected, rtol=1e-4, atol=1e-4)


def distances(metric: Any, left: Any, right: Any) -> Any:
    floats = ctypes.POINTER(ctypes.c_float)
    call = ctypes.CFUNCTYPE(ctypes.c_float, floats, floats)(metric.pointer)
    return np.array([[call(x.ctypes.data_as(floats), y.ctypes.data_as(floats)) for y in right] for x in left])


def test_neighbours_far_out_keep_their_distance() -> None:
    """At radius 12 a step of 1e-2 is lost where numbers of size e²⁴ are subtracted in float32; not here."""
    way = np.zeros((2, 3))
    way[:, 0] = np.sinh([12.0, 12.01])
    points = np.hstack([np.sqrt(1 + (way**2).sum(axis=1, keepdims=True)), way])
    row = Layout(4, 0).rows(points)
    assert distances(searching(Layout(4, 0)), row[:1], row[1:])[0, 0] == pytest.approx(np.cosh(0.01), rel=1e-6)


def test_it_finds_the_exact_answer(built: ApproximateIndex) -> None:
    model = built.model
    for mask in (None, model.seen):
        found, truth = built.topk(ALL, 10, mask=mask), model.topk(ALL, 10, mask=mask)
        assert recall(found, truth) >= 0.99
        same = (found.items == truth.items).all(axis=1)
        assert same.mean() > 0.9
        np.testing.assert_array_equal(found.scores[same], truth.scores[same])


@pytest.mark.parametrize("radius", [0.05, 4.0, 12.0])
def test_any_radius(radius: float) -> None:
    model = world("lorentz", radius=radius)
    index = ApproximateIndex.build(model, threads=1)
    assert recall(index.topk(ALL, 10), model.topk(ALL, 10)) >= 0.99
    assert recall(index.similar(ALL, 10), model.similar(ALL, 10)) >= 0.99


def test_hidden_pairs_never_come(built: ApproximateIndex) -> None:
    model, rng = built.model, np.random.default_rng(1)
    for share in (0.05, 0.5, 0.97, 1.0):
        mask = sparse.csr_matrix((rng.random((USERS, ITEMS)) < share * (np.arange(USERS) % 3 > 0)[:, None]), dtype="f4")
        found, truth = built.topk(ALL, 10, mask=mask), model.topk(ALL, 10, mask=mask)
        row, place = np.nonzero(found.items != NOTHING)
        assert not np.asarray(mask[row, found.items[row, place]]).any()
        np.testing.assert_array_equal(found.items == NOTHING, truth.items == NOTHING)
        assert recall(found, truth) >= 0.98


@pytest.mark.parametrize("count", [0, 1, 30, 299, 600])
def test_candidates_restrict(built: ApproximateIndex, count: int) -> None:
    wanted = np.random.default_rng(2).permutation(ITEMS)[:count]
    model = built.model
    found = built.topk(ALL, 5, mask=model.seen, candidates=wanted)
    truth = model.topk(ALL, 5, mask=model.seen, candidates=wanted)
    assert np.isin(found.items[found.items >= 0], wanted).all()
    np.testing.assert_array_equal(found.items == NOTHING, truth.items == NOTHING)
    assert recall(found, truth) >= 0.98


def test_order_of_users_does_not_matter(built: ApproximateIndex) -> None:
    rows = np.array([3, 0, 3, 17])
    together = built.topk(rows, 6, mask=built.model.seen)
    for n, row in enumerate(rows):
        alone = built.topk(np.array([row]), 6, mask=built.model.seen)
        np.testing.assert_array_equal(alone.items[0], together.items[n])
        np.testing.assert_array_equal(alone.scores[0], together.scores[n])
    assert built.topk(rows[:0], 6).items.shape == (0, 6)


def test_similar_items(built: ApproximateIndex) -> None:
    rows = np.arange(50)
    found, truth = built.similar(rows, 8), built.model.similar(rows, 8)
    assert (found.items != rows[:, None]).all()
    assert recall(found, truth) >= 0.99
    assert built.similar(rows, ITEMS).items.shape == (50, ITEMS)
    for count in (0, 3, 400):
        wanted = np.arange(count)
        found, truth = built.similar(rows, 4, candidates=wanted), built.model.similar(rows, 4, candidates=wanted)
        assert recall(found, truth) >= 0.99
        np.testing.assert_array_equal(found.items == NOTHING, truth.items == NOTHING)


def test_what_walks_do_not_find_is_ranked_beside_them() -> None:
    model, layout = world("lorentz"), Layout(DIM + 1, 0)
    best = np.unique(model.topk(ALL, 2).items)
    kept = np.setdiff1d(np.arange(ITEMS), best)
    graph = module._graph(layout, connectivity=32)
    graph.add(kept.astype(np.uint64), layout.rows(model.item_vectors[kept]), threads=1)
    graph.metric = searching(layout)
    index, mask = ApproximateIndex(model, graph, best, threads=1), model.seen
    for found, truth in (
        (index.topk(ALL, 5, mask=mask), model.topk(ALL, 5, mask=mask)),
        (index.similar(best, 5), model.similar(best, 5)),
    ):
        assert recall(found, truth) == 1.0
        np.testing.assert_array_equal(found.scores, truth.scores)


def test_items_that_are_all_alike() -> None:
    model = world("lorentz")
    model = replace(model, item_vectors=np.repeat(model.item_vectors[:1], ITEMS, axis=0))
    index = ApproximateIndex.build(model, threads=1)
    np.testing.assert_array_equal(index.topk(ALL, 5).scores, model.topk(ALL, 5).scores)


def test_other_users_of_the_same_items(built: ApproximateIndex) -> None:
    model = built.model
    other = replace(model, user_vectors=np.asarray(model.user_vectors)[::-1].copy())
    found = replace(built, model=other).topk(ALL, 10)
    np.testing.assert_array_equal(found.items, built.topk(ALL[::-1], 10).items)


@pytest.mark.parametrize("mmap", [True, False])
def test_saved_and_loaded(built: ApproximateIndex, tmp_path: Path, mmap: bool) -> None:
    built.save(tmp_path / "index")
    again = ApproximateIndex.load(tmp_path / "index", built.model, mmap=mmap, threads=1)
    ours, theirs = built.topk(ALL, 10, mask=built.model.seen), again.topk(ALL, 10, mask=built.model.seen)
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert again.expansion == built.expansion
    manifest = artifacts.read(tmp_path / "index", "index")
    assert manifest.config == {"connectivity": 32, "expansion": 256}
    assert manifest.facts["items"] == ITEMS


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = world("lorentz")
    ApproximateIndex.build(model, threads=1).save(tmp_path / "index")
    moved = model.item_vectors.copy()
    moved[5] = moved[6]
    renamed = Vocabulary.of(f"j{n:05}" for n in range(ITEMS))
    for other in (
        replace(model, item_vectors=moved),
        replace(model, items=renamed, catalog=Catalog.empty(renamed)),
        world("lorentz", items=ITEMS + 1),
        world("fused"),
    ):
        with pytest.raises(MisalignedArrays, match="other item vectors"):
            ApproximateIndex.load(tmp_path / "index", other)


def test_folders_that_hold_no_index(tmp_path: Path) -> None:
    model = world("lorentz")
    with pytest.raises(Incomplete, match="does not exist"):
        ApproximateIndex.load(tmp_path / "none", model)
    model.save(tmp_path / "model")
    with pytest.raises(WrongKind, match="holds a model; expected a index"):
        ApproximateIndex.load(tmp_path / "model", model)
    ApproximateIndex.build(model, threads=1).save(tmp_path / "index")
    graph = tmp_path / "index" / "graph.usearch"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-900])
    with pytest.raises(Corrupt, match="cut short or changed"):
        ApproximateIndex.load(tmp_path / "index", model)
    told = artifacts.peek(tmp_path / "index")
    assert told is not None
    files = {**told.files, graph.name: artifacts.file_digest(graph)}
    artifacts.write_json(tmp_path / "index" / "manifest.json", {**told.__dict__, "files": files})
    with pytest.raises(Corrupt, match="usable index"):
        ApproximateIndex.load(tmp_path / "index", model)


def test_sparse_users_are_ranked_exactly() -> None:
    model = world("inner")
    few = replace(model, user_vectors=sparse.csr_matrix(model.user_vectors))
    with pytest.raises(ConfigError, match="rank it exactly"):
        ApproximateIndex.build(few)


def test_rows_and_masks_of_others_are_refused(built: ApproximateIndex) -> None:
    for rows in (np.array([-1]), np.array([USERS]), np.array([[0]])):
        with pytest.raises(DataError, match="from 0 to 39"):
            built.topk(rows, 3)
    with pytest.raises(DataError, match="from 0 to 599"):
        built.similar(np.array([ITEMS]), 3)
    with pytest.raises(DataError, match="from 0 to 599"):
        built.topk(ALL, 3, candidates=np.array([ITEMS, *range(400)]))
    with pytest.raises(MisalignedArrays, match="mask has shape"):
        built.topk(ALL, 3, mask=built.model.seen[:, :-1])


def test_several_threads_at_once(built: ApproximateIndex) -> None:
    truth = built.topk(ALL, 10)
    with ThreadPoolExecutor(4) as pool:
        for n, found in enumerate(pool.map(lambda n: built.topk(ALL[n:], 10), range(30))):
            np.testing.assert_array_equal(found.items, truth.items[n:])


@pytest.mark.parametrize("name", ["connectivity", "expansion_build"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 1; expected at least 2"):
        ApproximateIndex.build(world("lorentz"), **{name: 1})


def test_progress_counts_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ITEMS_AT_ONCE", 250)
    told: list[tuple[int, int]] = []
    ApproximateIndex.build(world("lorentz"), threads=1, progress=lambda done, count: told.append((done, count)))
    assert told == [(done, 2 * ITEMS) for done in (250, 500, 600, 850, 1100, 1200)]


@pytest.mark.parametrize("name", ["usearch.index", "numba"])
def test_without_the_extra_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    module.building.__globals__["_compiled"].cache_clear()
    with pytest.raises(
        ConfigError, match=r"needs (usearch|numba), which is not installed; pip install 'hyperllm\[ann\]'"
    ):
        ApproximateIndex.build(world("lorentz"), threads=1)


def test_a_shop_of_no_and_of_one_item() -> None:
    for count in (0, 1):
        model = world("lorentz", items=count)
        index = ApproximateIndex.build(model, threads=1)
        np.testing.assert_array_equal(index.topk(ALL, 3).items, model.topk(ALL, 3).items)
