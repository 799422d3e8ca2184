from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import CURVATURES, SEEDS, points, tangents
from tests.reference import equations

from hyperllm.geometry import lorentz, poincare


@given(SEEDS, SEEDS, CURVATURES)
def test_the_isometry_keeps_distances_and_inverts(one: int, other: int, c: float) -> None:
    x, y = points(one, c=c), points(other, c=c)
    p, r = lorentz.to_poincare(x, c), lorentz.to_poincare(y, c)
    torch.testing.assert_close(lorentz.from_poincare(p, c), x)
    expected = torch.from_numpy(equations.poincare_distance(p.numpy(), r.numpy(), c))
    torch.testing.assert_close(lorentz.dist(x, y, c), expected, atol=1e-6, rtol=1e-7)
    torch.testing.assert_close(poincare.dist(p, r, c), expected, atol=1e-6, rtol=1e-7)
    torch.testing.assert_close(poincare.sqdist(p, r, c), expected.square(), atol=1e-7, rtol=1e-7)


@given(SEEDS, CURVATURES)
def test_exp_and_log_at_the_origin_are_those_of_the_hyperboloid(seed: int, c: float) -> None:
    v = tangents(seed)
    p = poincare.expmap0(v, c)
    torch.testing.assert_close(p, lorentz.to_poincare(lorentz.expmap0(v, c), c))
    torch.testing.assert_close(poincare.logmap0(p, c), v)
    size = v.norm(dim=1, keepdim=True)
    torch.testing.assert_close(p, torch.tanh(c**0.5 * size / 2) / (c**0.5 * size) * v)


@given(SEEDS, SEEDS, CURVATURES)
def test_mobius_addition_has_inverses_and_gives_distances(one: int, other: int, c: float) -> None:
    p, r = (lorentz.to_poincare(points(seed, c=c), c) for seed in (one, other))
    torch.testing.assert_close(poincare.mobius_add(-p, poincare.mobius_add(p, r, c), c), r)
    gap = poincare.mobius_add(-p, r, c).norm(dim=1)
    torch.testing.assert_close(2 / c**0.5 * torch.atanh(c**0.5 * gap), poincare.dist(p, r, c), atol=1e-6, rtol=1e-6)


@given(SEEDS, SEEDS, CURVATURES)
def test_a_step_is_as_long_as_its_vector_but_no_longer_than_allowed(one: int, other: int, c: float) -> None:
    p, u = lorentz.to_poincare(points(one, c=c), c), 0.05 * tangents(other)
    length = 2 / (1 - c * p.square().sum(1)) * u.norm(dim=1)
    torch.testing.assert_close(poincare.dist(p, poincare.expmap(p, u, c), c), length, rtol=1e-5, atol=1e-6)
    short = poincare.dist(p, poincare.expmap(p, u, c, max_step=0.1), c)
    torch.testing.assert_close(short, length.clamp_max(0.1), rtol=1e-6, atol=1e-6)


@given(SEEDS, SEEDS, CURVATURES)
def test_transport_keeps_riemannian_lengths_and_comes_back(one: int, other: int, c: float) -> None:
    p, r = (lorentz.to_poincare(points(seed, c=c), c) for seed in (one, other))
    u = tangents(one)
    moved = poincare.transport(p, r, u, c)

    def length(at: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return 2 / (1 - c * at.square().sum(1)) * v.norm(dim=1)

    torch.testing.assert_close(length(r, moved), length(p, u), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(poincare.transport(r, p, moved, c), u, rtol=1e-6, atol=1e-6)


@given(SEEDS, st.integers(1, 4))
def test_the_gyromidpoint_goes_through_the_centroid(seed: int, rows: int) -> None:
    x = points(seed, 6)
    weights = torch.rand(rows, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = poincare.gyromidpoint(weights, lorentz.to_poincare(x))
    for row, w in zip(found, weights.numpy(), strict=True):
        expected = equations.gyromidpoint(w, lorentz.to_poincare(x).numpy())
        torch.testing.assert_close(row, torch.from_numpy(expected))


def test_gradients_are_finite_at_the_origin_and_where_points_coincide() -> None:
    p = torch.zeros(3, 4, requires_grad=True)
    for value in (
        poincare.sqdist(p, p.detach()),
        poincare.dist(p, p.detach()),
        poincare.logmap0(p),
        poincare.expmap0(p),
    ):
        value.sum().backward()
        assert p.grad is not None
        assert torch.isfinite(p.grad).all()


def test_points_outside_come_back_into_the_ball() -> None:
    p = poincare.project(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    assert p[0].norm() < 1
    assert torch.equal(p[1], torch.tensor([0.3, 0.4]))
