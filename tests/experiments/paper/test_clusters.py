"""Trees of items: distances by hand, planted shelves found again, and numbers that mean what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score

from hyperllm.errors import DataError
from hyperllm.experiments.paper import clusters
from hyperllm.geometry import lorentz

PATHS = [["Shop", shelf, f"{shelf} {half}"] for shelf in ("Face", "Hair", "Nails") for half in "ab" for _ in range(8)]


def shop(seed: int = 0) -> npt.NDArray[np.float64]:
    """48 items: three shelves far apart, two halves each, eight items a half; rows as in `PATHS`."""
    rng = np.random.default_rng(seed)
    shelves = np.repeat(np.eye(6)[:3] * 2.0, 16, axis=0)
    halves = np.repeat(np.tile(np.eye(6)[3:5] * 0.5, (3, 1)), 8, axis=0)
    return shelves + halves + rng.normal(scale=0.02, size=(48, 6))


def test_log0_is_the_one_of_the_geometry() -> None:
    tangent = torch.randn(20, 5, dtype=torch.float64)
    points = torch.vstack([lorentz.expmap0(tangent), lorentz.origin(5, like=tangent)[None]])
    assert np.allclose(clusters.log0(points.numpy()), torch.vstack([tangent, torch.zeros(1, 5)]), atol=1e-12)


def test_distances_along_and_across_the_origin() -> None:
    found = clusters.distances(np.array([[1.0, 0.0], [-0.5, 0.0], [3.0, 0.0], [0.0, 1.0]]))
    right_angle = np.arccosh(np.cosh(1.0) ** 2)  # the hyperbolic Pythagoras
    assert np.allclose(found[[0, 1, 3, 2]], [1.5, 2.0, 3.5, right_angle], atol=1e-7)


@given(st.integers(0, 2**32 - 1))
def test_points_are_never_nearer_than_their_tangent_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(6, 3)) * rng.uniform(0.01, 1.5)
    assert (clusters.distances(vectors) >= pdist(vectors) - 1e-6).all()


def test_a_tree_finds_the_shelves_and_keeps_each_together() -> None:
    tree = clusters.tree(shop())
    shelf = np.repeat(np.arange(3), 16)
    assert tree.coloured() == 3
    assert len(set(zip(tree.cut(3), shelf, strict=True))) == 3
    assert sorted(tree.order()) == list(range(48))
    assert (np.diff(shelf[tree.order()]) != 0).sum() == 2


def test_a_balanced_tree_has_depth_one_and_a_chain_more() -> None:
    balanced = clusters.tree(np.array([[0.0], [0.1], [1.0], [1.1]]))
    chain = clusters.tree(np.array([[0.0], [0.1], [0.4], [1.5]]))
    assert balanced.depth() == pytest.approx(1.0)
    assert chain.depth() == pytest.approx((3 + 3 + 2 + 1) / 4 / 2)


def test_the_map_holds_means_over_pairs_of_different_items() -> None:
    tree = clusters.tree(np.array([[0.0], [0.2], [2.0], [2.4]]))
    near_first = tree.order()[0] in (0, 1)
    found = tree.distance_map(2)
    assert np.allclose(found if near_first else found[::-1, ::-1], [[0.2, 2.1], [2.1, 0.4]], atol=1e-7)


def test_a_large_catalogue_is_sampled_by_its_seed() -> None:
    first, again, other = (clusters.tree(shop(), seed=seed, sample=20) for seed in (1, 1, 2))
    assert len(first.rows) == len(set(first.rows)) == 20
    assert (first.rows == again.rows).all()
    assert (first.rows != other.rows).any()
    assert np.allclose(first.vectors, shop()[first.rows])


@pytest.mark.parametrize("vectors", [np.zeros((5, 2)), np.eye(2), np.full((4, 2), np.nan)])
def test_nothing_to_cluster_is_said(vectors: npt.NDArray[np.float64]) -> None:
    with pytest.raises(DataError, match="at least 3 items with finite vectors that differ"):
        clusters.tree(vectors)


def test_category_names_start_below_what_all_share() -> None:
    paths = [["Beauty", "Hair", "Brushes"], ["Beauty", "Makeup", "Brushes"], ["Beauty"], []]
    assert clusters.category_names(paths, 1) == ["Hair", "Makeup", None, None]
    assert clusters.category_names(paths, 2) == ["Hair › Brushes", "Makeup › Brushes", None, None]
    assert clusters.category_names([["A", "x"], ["B", "x"]], 1) == ["A", "B"]
    assert clusters.category_names([[], []], 1) == [None, None]


def test_planted_categories_agree_with_the_tree_at_every_level() -> None:
    found = clusters.numbers(clusters.tree(shop()), PATHS)
    assert [(level.level, level.categories, level.items) for level in found.levels] == [(1, 3, 48), (2, 6, 48)]
    for level in found.levels:
        assert level.mutual_information == pytest.approx(1.0)
        assert level.rand == pytest.approx(1.0)
        assert level.evenness == pytest.approx(1.0)
        assert level.silhouette > 0.5
    assert found.cophenetic_euclidean > 0.9
    assert found.cophenetic_hyperbolic > 0.9


def test_shuffled_categories_agree_by_chance_only() -> None:
    shuffled = [PATHS[row] for row in np.random.default_rng(0).permutation(48)]
    for level in clusters.numbers(clusters.tree(shop()), shuffled).levels:
        assert abs(level.mutual_information) < 0.2
        assert abs(level.rand) < 0.2


def test_items_without_a_path_are_clustered_but_not_compared() -> None:
    found = clusters.numbers(clusters.tree(shop()), [path if row % 4 else [] for row, path in enumerate(PATHS)])
    assert (found.items, found.levels[0].items) == (48, 36)
    assert found.levels[0].rand == pytest.approx(1.0)


def test_numbers_need_no_categories() -> None:
    assert clusters.numbers(clusters.tree(shop())).levels == ()


def test_a_line_is_a_tree_and_a_square_is_less_of_one() -> None:
    line = clusters.tree(np.linspace(-1.0, 1.0, 20)[:, None])
    square = clusters.tree(np.array([[0.1, 0.0], [0.0, 0.1], [-0.1, 0.0], [0.0, -0.1]]))
    assert clusters.numbers(line).delta == pytest.approx(0.0, abs=1e-6)
    assert clusters.numbers(square).delta == pytest.approx(2 - 2**0.5, rel=0.02)  # flat: δ = diagonal − side


def test_the_silhouette_is_the_usual_one_in_hyperbolic_distances() -> None:
    vectors, cluster = shop(), np.arange(48) % 5
    cluster[0] = 5
    expected = silhouette_score(squareform(clusters.distances(vectors)), cluster, metric="precomputed")
    assert clusters.silhouette(vectors, cluster) == pytest.approx(expected, abs=1e-6)
