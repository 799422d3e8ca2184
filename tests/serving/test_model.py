"""Scores by the definition, exact order, and a folder that survives the trip or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from tests.serving.coherent import FLAT, shop

from hyperllm import artifacts
from hyperllm.data.catalog import Catalog
from hyperllm.errors import ConfigError, Corrupt, DataError, HyperLLMError, Incomplete, MisalignedArrays, WrongKind
from hyperllm.ids import Vocabulary
from hyperllm.serving import model as module
from hyperllm.serving.content import Experts
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import minus_distance
from hyperllm.testing.worlds import tree_world


def scores(model: ScoreModel) -> np.ndarray:
    """(U, I) by the definition, float64; points lifted anew from their space coordinates, factors added."""
    users: Any = model.user_vectors
    users = users.toarray() if sparse.issparse(users) else users
    u, i = users.astype(float), model.item_vectors.astype(float)
    if model.geometry == "inner":
        return u @ i.T
    end = u.shape[1] - model.flat
    u0, i0 = (np.sqrt(1 + (v[:, 1:end] ** 2).sum(axis=1)) for v in (u, i))
    return u[:, 1:end] @ i[:, 1:end].T - np.outer(u0, i0) + u[:, end:] @ i[:, end:].T


def test_topk_equals_the_definition(model: ScoreModel) -> None:
    rows = np.arange(len(model.users))
    expected = np.where(model.seen.toarray() > 0, -np.inf, scores(model))
    found = model.topk(rows, 5, mask=model.seen)
    np.testing.assert_array_equal(found.items, np.argsort(-expected.round(6), axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(found.scores, np.take_along_axis(expected, found.items, axis=1), rtol=1e-5, atol=1e-5)


def test_lorentz_ranks_by_distance(hyperbolic: ScoreModel) -> None:
    rows = np.arange(7)
    found = hyperbolic.topk(rows, 30)
    shown = hyperbolic.shown_scores(rows, found)
    assert (np.diff(shown, axis=1) <= 1e-12).all()
    np.testing.assert_allclose(
        shown, -np.arccosh(-np.take_along_axis(scores(hyperbolic), found.items, axis=1)), rtol=1e-9
    )


def test_fused_models_show_the_score_that_ranks(mixed: ScoreModel) -> None:
    rows = np.arange(7)
    found = mixed.topk(rows, 30, mask=mixed.seen)
    shown = mixed.shown_scores(rows, found)
    there = found.items >= 0
    expected = np.take_along_axis(scores(mixed), np.maximum(found.items, 0), axis=1)
    np.testing.assert_allclose(shown[there], expected[there], rtol=1e-6)
    assert (shown[~there] == -np.inf).all()
    assert (np.diff(expected, axis=1)[there[:, 1:]] <= 1e-9).all()


def test_factors_change_the_ranking_and_only_that(mixed: ScoreModel, hyperbolic: ScoreModel) -> None:
    rows = np.arange(30)
    assert (mixed.topk(np.arange(7), 30).items != hyperbolic.topk(np.arange(7), 30).items).any()
    found, alone = mixed.similar(rows, 29), hyperbolic.similar(rows, 29)
    np.testing.assert_array_equal(found.items, alone.items)
    np.testing.assert_array_equal(found.scores, alone.scores)
    np.testing.assert_array_equal(mixed.similarities(rows, found.items), hyperbolic.similarities(rows, alone.items))


def test_points_are_the_columns_without_factors(mixed: ScoreModel, hyperbolic: ScoreModel) -> None:
    np.testing.assert_array_equal(mixed.user_points, hyperbolic.user_vectors)
    np.testing.assert_array_equal(mixed.item_points, hyperbolic.item_vectors)


def test_without_factors_all_columns_are_points(hyperbolic: ScoreModel, euclidean: ScoreModel) -> None:
    for model in (hyperbolic, euclidean):
        assert model.user_points is model.user_vectors
        assert model.item_points is model.item_vectors


def test_zero_factors_rank_like_the_points(hyperbolic: ScoreModel) -> None:
    vectors: tuple[Any, Any] = hyperbolic.user_vectors, hyperbolic.item_vectors
    users, items = (np.pad(v, [(0, 0), (0, 2)]) for v in vectors)
    ours = replace(hyperbolic, user_vectors=users, item_vectors=items, flat=2).topk(np.arange(7), 30)
    theirs = hyperbolic.topk(np.arange(7), 30)
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-6)


def test_a_time_coordinate_off_by_rounding_does_not_reach_the_scores(mixed: ScoreModel) -> None:
    off = mixed.item_vectors.copy()
    off[:, 0] *= 1.0005
    np.testing.assert_array_equal(
        replace(mixed, item_vectors=off).topk(np.arange(7), 30).scores, mixed.topk(np.arange(7), 30).scores
    )


def test_of_points_takes_factors() -> None:
    split = tree_world(clicks=2).split
    users, items = len(split.users), len(split.items)
    row = np.array([[1, 0, 0, 1]], dtype=np.float32)  # the origin, and one factor
    model = ScoreModel.of_points(split, users=row.repeat(users, axis=0), items=row.repeat(items, axis=0), flat=1)
    assert model.flat == 1
    assert (model.topk(np.array([0]), 2).scores == 0.0).all()  # −1 of the points, 1 of the factors


def test_twins_tie_by_row_number_in_any_batch(model: ScoreModel) -> None:
    everyone = model.topk(np.arange(7), 30).items
    first, second = np.argmax(everyone == 4, axis=1), np.argmax(everyone == 9, axis=1)
    assert (first < second).all()
    np.testing.assert_array_equal(scores_at(model, first), scores_at(model, second))
    alone = np.concatenate([model.topk(np.array([u]), 30).items for u in range(7)])
    np.testing.assert_array_equal(alone, everyone)


def scores_at(model: ScoreModel, place: np.ndarray) -> np.ndarray:
    return model.topk(np.arange(7), 30).scores[np.arange(7), place]


def test_blocks_do_not_change_the_answer(model: ScoreModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([3, 0, 3, 6])
    whole, near = model.topk(rows, 8, mask=model.seen), model.similar(rows, 8)
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", 30)
    monkeypatch.setattr("hyperllm.serving.product.FLOATS_AT_ONCE", 15)
    monkeypatch.setattr(module, "FLOATS_AT_ONCE", 15)
    np.testing.assert_array_equal(model.topk(rows, 8, mask=model.seen).items, whole.items)
    np.testing.assert_array_equal(model.similar(rows, 8).items, near.items)


def test_candidates_restrict_and_keep_row_numbers(model: ScoreModel) -> None:
    chosen = np.array([9, 4, 21, 2])
    found = model.topk(np.arange(7), 6, mask=model.seen, candidates=chosen)
    expected = np.where(model.seen.toarray() > 0, -np.inf, scores(model))
    for user in range(7):
        order = [i for i in np.argsort(-expected[user].round(6), kind="stable") if i in chosen]
        order = [i for i in order if expected[user, i] > -np.inf]
        assert found.items[user].tolist() == order + [-1] * (6 - len(order))


def test_no_candidates_and_no_users(model: ScoreModel) -> None:
    assert (model.topk(np.arange(2), 3, candidates=np.empty(0, dtype=np.int64)).items == -1).all()
    assert model.topk(np.empty(0, dtype=np.int64), 3).items.shape == (0, 3)


def test_similar_by_distance_or_cosine(model: ScoreModel) -> None:
    rows = np.arange(30)
    found = model.similar(rows, 29)
    shown = model.similarities(rows, found.items)
    assert (found.items != rows[:, None]).all()
    assert (np.diff(shown, axis=1) <= 1e-9).all()
    assert found.items[4, 0] == 9
    assert shown[4, 0] == pytest.approx(0.0 if model.geometry == "lorentz" else 1.0, abs=1e-9)


def test_zero_vector_has_cosine_0(euclidean: ScoreModel) -> None:
    vectors = euclidean.item_vectors.copy()
    vectors[0] = 0
    found = replace(euclidean, item_vectors=vectors).similar(np.array([0]), 3)
    np.testing.assert_array_equal(found.scores, 0.0)
    np.testing.assert_array_equal(found.items, [[1, 2, 3]])


@given(st.floats(1e-7, 12), st.floats(0, 5))
def test_distance_keeps_its_digits(distance: float, start: float) -> None:
    x, y = np.array([[np.cosh(start), np.sinh(start)]]), np.array([[0.0, np.sinh(start + distance)]])
    assert -minus_distance(x, y)[0] == pytest.approx(distance, rel=1e-6)


def test_saved_and_loaded(model: ScoreModel, tmp_path: Path) -> None:
    model.save(tmp_path / "run" / "model", config={"seed": 1}, inputs={"split": "x"}, facts={"note": "y"})
    for path in (tmp_path / "run", tmp_path / "run" / "model"):
        again = ScoreModel.load(path)
        assert (again.users, again.items, again.titles) == (model.users, model.items, model.titles)
        assert again.flat == model.flat
        assert isinstance(again.item_vectors, np.memmap)
        assert np.shares_memory(again.item_points, again.item_vectors)
        np.testing.assert_array_equal(again.seen.toarray(), model.seen.toarray())
        ours, theirs = model.topk(np.arange(7), 9, mask=model.seen), again.topk(np.arange(7), 9, mask=again.seen)
        np.testing.assert_array_equal(ours.items, theirs.items)
        assert again.tags is not None
        assert model.tags is not None
        assert again.tags.names == model.tags.names
        np.testing.assert_array_equal(again.tags.tag_edges, model.tags.tag_edges)
    manifest = artifacts.read(tmp_path / "run" / "model", "model")
    assert manifest.facts == {"users": 7, "items": 30, "dim": model.item_vectors.shape[1], "note": "y"}
    assert {Path(name).suffix for name in manifest.files} == {".npy", ".json", ".parquet"}


def test_a_folder_from_before_factors(hyperbolic: ScoreModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    hyperbolic.save(folder)
    artifacts.write_json(folder / "model.json", {"geometry": "lorentz", "sparse_users": False})
    reseal(folder)
    again = ScoreModel.load(folder)
    assert again.flat == 0
    np.testing.assert_array_equal(again.topk(np.arange(7), 9).items, hyperbolic.topk(np.arange(7), 9).items)


def test_nothing_seen_and_no_tags(hyperbolic: ScoreModel, tmp_path: Path) -> None:
    bare = replace(hyperbolic, seen=sparse.csr_matrix((7, 30), dtype=np.float32), tags=None)
    bare.save(tmp_path / "model")
    again = ScoreModel.load(tmp_path / "model")
    assert again.tags is None
    assert again.seen.nnz == 0


def test_a_wrong_run_name_lists_the_others(hyperbolic: ScoreModel, tmp_path: Path) -> None:
    hyperbolic.save(tmp_path / "runs" / "hyperllm" / "model")
    with pytest.raises(Incomplete, match=r"there are: hyperllm\. Did you mean 'hyperllm'"):
        ScoreModel.load(tmp_path / "runs" / "hyperlm")
    with pytest.raises(Incomplete, match="train one first"):
        ScoreModel.load(tmp_path / "elsewhere" / "x")


def test_a_folder_of_another_kind(tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "split", "split"):
        pass
    with pytest.raises(WrongKind, match="holds a split"):
        ScoreModel.load(tmp_path / "split")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Incomplete):
        ScoreModel.load(tmp_path / "empty")


def test_every_truncated_file_is_noticed(model: ScoreModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model.save(folder)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Corrupt):
            ScoreModel.load(folder)
        path.write_bytes(whole)
    ScoreModel.load(folder)


def test_pickles_are_refused_even_with_a_valid_manifest(hyperbolic: ScoreModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    hyperbolic.save(folder)
    np.save(folder / "item_vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    reseal(folder)
    with pytest.raises(Corrupt, match="usable model"):
        ScoreModel.load(folder)


@pytest.mark.parametrize("name", ["seen.indices", "tag_items"])
def test_row_numbers_out_of_range_are_refused(hyperbolic: ScoreModel, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    hyperbolic.save(folder)
    path = folder / f"{name}.npy"
    np.save(path, np.load(path) + 1000)
    reseal(folder)
    with pytest.raises(Corrupt, match="usable model"):
        ScoreModel.load(folder)


def reseal(folder: Path) -> None:
    """Give a tampered folder a manifest that fits."""
    manifest = artifacts.peek(folder)
    assert manifest is not None
    files = {name: artifacts.file_digest(folder / name) for name in manifest.files if (folder / name).exists()}
    artifacts.write_json(folder / artifacts.MANIFEST, {**vars(manifest), "files": files})


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"geometry": "euclid"}, ConfigError, "lorentz, inner"),
        ({"item_vectors": np.ones((3, 5), dtype=np.float32)}, MisalignedArrays, "item_vectors has shape"),
        ({"seen": sparse.csr_matrix((7, 29))}, MisalignedArrays, "seen has shape"),
        ({"catalog": Catalog.empty(Vocabulary(("a",)))}, MisalignedArrays, "catalogue is one of other items"),
        ({"items": Vocabulary.of(range(30))}, MisalignedArrays, "other items"),
        ({"item_vectors": np.ones((30, 5), dtype=np.float32)}, DataError, "not on the unit hyperboloid"),
        ({"item_vectors": np.full((30, 5), np.nan, dtype=np.float32)}, DataError, "not finite"),
        ({"item_vectors": np.ones((30, 5))}, DataError, "expected float32"),
        ({"user_vectors": sparse.csr_matrix((7, 5), dtype=np.float32)}, DataError, "sparse"),
        ({"geometry": "inner", "flat": 1}, ConfigError, "flat is 1 for vectors of 5 columns and geometry 'inner'"),
        ({"flat": 5}, ConfigError, "fewer than all columns"),
        ({"flat": -1}, ConfigError, "flat is -1"),
        ({"flat": 2}, DataError, "not on the unit hyperboloid"),
    ],
)
def test_parts_that_do_not_fit(
    hyperbolic: ScoreModel, change: dict[str, Any], error: type[HyperLLMError], said: str
) -> None:
    with pytest.raises(error, match=said):
        replace(hyperbolic, **change)


def test_factors_not_declared_are_no_points(mixed: ScoreModel) -> None:
    with pytest.raises(DataError, match="not on the unit hyperboloid"):
        replace(mixed, flat=0)


def test_rows_out_of_range(model: ScoreModel) -> None:
    with pytest.raises(DataError, match="from 0 to 6"):
        model.topk(np.array([7]), 1)
    with pytest.raises(DataError, match="from 0 to 29"):
        model.similar(np.array([-1]), 1)


def test_what_newcomers_need_is_saved_and_loaded(tmp_path: Path) -> None:
    model = shop(flat=FLAT).model
    assert model.content is not None
    parts = [np.ones(shape, dtype=np.float32) for shape in ((512,), (512, 3), (2, 3), (2,), (4, 3), (4,))]
    kept = replace(model, content=replace(model.content, experts=Experts(*parts)))
    kept.save(tmp_path / "model")
    again = ScoreModel.load(tmp_path / "model")
    assert again.content is not None
    assert again.content.experts is not None
    assert again.linear is not None
    assert model.linear is not None
    np.testing.assert_array_equal(again.content.vectors, model.content.vectors)
    assert again.content.recipe == model.content.recipe
    np.testing.assert_array_equal(again.content.experts.expert_weight, parts[4])
    np.testing.assert_array_equal(again.linear.weights, model.linear.weights)
    assert again.linear.share == model.linear.share
    assert again.catalog.frame.equals(model.catalog.frame)


def test_a_folder_that_knows_titles_alone_is_read(hyperbolic: ScoreModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    hyperbolic.save(folder)
    (folder / "catalog.parquet").unlink()
    artifacts.write_json(folder / "titles.json", hyperbolic.titles)
    reseal(folder)
    again = ScoreModel.load(folder)
    assert again.titles == hyperbolic.titles
    assert again.content is None
    assert again.linear is None


def test_other_users_of_the_same_items(model: ScoreModel) -> None:
    rows = np.array([4, 2])
    guests = model.with_users(Vocabulary(("x", "y")), model.user_vectors[rows], model.seen[rows])
    np.testing.assert_array_equal(guests.topk(np.arange(2), 5).items, model.topk(rows, 5).items)
    np.testing.assert_array_equal(guests.clicks, model.clicks)
    with pytest.raises(MisalignedArrays):
        model.with_users(Vocabulary(("x",)), model.user_vectors[rows], model.seen[rows])


def test_products_are_the_scores(model: ScoreModel) -> None:
    found = model.topk(np.arange(7), 6)
    for user in range(7):
        exact = model.products(model.user_vectors[np.array([user])], found.items[user])[0]
        np.testing.assert_allclose(exact, found.scores[user], rtol=1e-5)
