from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import points
from tests.reference import equations

from hyperllm.graph import Triplets
from hyperllm.losses.ranking import margin_ranking


def draw(seed: int, n: int, b: int, q: int) -> Triplets:
    rng = np.random.default_rng(seed)
    anchor, positive, negative = (torch.from_numpy(rng.integers(n, size=shape)) for shape in (b, b, (b, q)))
    return Triplets(anchor, positive, negative)


@given(st.integers(0, 10**6), st.integers(0, 9), st.integers(1, 3), st.floats(0.0, 4.0))
def test_it_equals_equation_6(seed: int, b: int, q: int, margin: float) -> None:
    x, t = points(seed, 10), draw(seed, 10, b, q)
    expected = equations.margin_ranking(x.numpy(), t.anchor.numpy(), t.positive.numpy(), t.negative.numpy(), margin)
    assert margin_ranking(x, t, margin=margin).item() == pytest.approx(expected, abs=1e-6)


def test_a_margin_of_each_triplet_is_that_of_each_triplet_alone() -> None:
    x, t = points(0, 10), draw(0, 10, 4, 2)
    margins = torch.tensor([0.1, 1.0, 2.0, 5.0], dtype=torch.float64)
    alone = [
        margin_ranking(x, Triplets(t.anchor[[k]], t.positive[[k]], t.negative[[k]]), margin=float(margins[k]))
        for k in range(4)
    ]
    torch.testing.assert_close(margin_ranking(x, t, margin=margins), torch.stack(alone).sum())


def test_no_triplets_cost_nothing_and_have_a_gradient() -> None:
    x = points(0, 10).requires_grad_()
    loss = margin_ranking(x, draw(0, 10, 0, 1), margin=1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert x.grad is not None
    assert (x.grad == 0).all()


def test_coinciding_points_cost_the_margin_and_have_finite_gradients() -> None:
    x = points(0, 1).expand(3, 6).clone().requires_grad_()
    triplets = Triplets(torch.tensor([0]), torch.tensor([1]), torch.tensor([[2]]))
    loss = margin_ranking(x, triplets, margin=0.7)
    loss.backward()
    assert loss.item() == pytest.approx(0.7)
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
