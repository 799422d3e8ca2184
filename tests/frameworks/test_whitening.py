from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import DataError
from hyperllm.frameworks.whitening import Whitening


def texts(seed: int, n: int = 60, d: int = 7) -> np.ndarray:
    """Vectors with a large common part and a few loud directions."""
    rng = np.random.default_rng(seed)
    loud = rng.standard_normal((n, d)) * np.geomspace(5, 0.1, d)
    return (3.0 + loud @ np.linalg.qr(rng.standard_normal((d, d)))[0]).astype(np.float32)


@given(st.integers(0, 10**6), st.integers(1, 7))
def test_the_items_it_was_fitted_to_get_mean_zero_and_unit_covariance(seed: int, dim: int) -> None:
    items = texts(seed)
    white = Whitening.fit(items, dim=dim).apply(items).astype(np.float64)
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(white.T @ white / len(items), np.eye(dim), atol=2e-3)


@given(st.integers(0, 10**6))
def test_kept_directions_are_the_loudest(seed: int) -> None:
    items = texts(seed)
    centred = items - items.mean(axis=0, dtype=np.float64)
    values = np.linalg.eigvalsh(centred.T @ centred / len(items))[::-1]
    lengths = 1 / np.linalg.norm(Whitening.fit(items, dim=3).projection, axis=0) ** 2
    np.testing.assert_allclose(lengths, values[:3], rtol=1e-3)


@given(st.integers(0, 10**6))
def test_signs_are_fixed_and_the_order_of_items_does_not_matter(seed: int) -> None:
    items = texts(seed)
    step = Whitening.fit(items, dim=4)
    largest = step.projection[np.abs(step.projection).argmax(axis=0), np.arange(4)]
    assert (largest > 0).all()
    other = Whitening.fit(items[::-1].copy(), dim=4)
    np.testing.assert_allclose(other.projection, step.projection, rtol=1e-3, atol=1e-4)


def test_directions_without_variance_are_left_out() -> None:
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.standard_normal((50, 2)), np.ones((50, 3))], axis=1).astype(np.float32)
    assert Whitening.fit(items, dim=5).projection.shape == (5, 2)


def test_others_are_mapped_by_what_the_items_taught() -> None:
    items = texts(0)
    step = Whitening.fit(items, dim=2)
    np.testing.assert_allclose(step.apply(items[:1] * 0 + step.mean), 0.0, atol=1e-6)
    assert step.apply(items).dtype == np.float32


def test_items_without_text_do_not_count_and_have_no_direction() -> None:
    items = np.concatenate([texts(0), np.zeros((5, 7), np.float32)])
    step = Whitening.fit(items, dim=3)
    np.testing.assert_array_equal(step.projection, Whitening.fit(texts(0), dim=3).projection)
    found = step.directions(items)
    assert (found[-5:] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found[:-5], axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("items", "said"), [(np.zeros((4, 3)), "no item has"), (np.ones((4, 3)), "the same text")])
def test_texts_that_tell_nothing_are_refused(items: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Whitening.fit(items.astype(np.float32), dim=2)
