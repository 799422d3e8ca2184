"""Laws of the hyperboloid: oracles are the textbook forms in float64 and, for lost digits, extended precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import equations
from torch import Tensor

from hyperllm.geometry import lorentz

SEEDS = st.integers(0, 2**31)
CURVATURES = st.sampled_from([0.25, 1.0, 3.0])


def tangents(
    seed: int, n: int = 12, dim: int = 5, *, radius: float = 2.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Random directions, radii uniform up to ``radius``."""
    rng = torch.Generator().manual_seed(seed)
    v = torch.randn(n, dim, generator=rng, dtype=torch.float64)
    return (v / v.norm(dim=1, keepdim=True) * radius * torch.rand(n, 1, generator=rng, dtype=torch.float64)).to(dtype)


def points(seed: int, n: int = 12, *, c: float = 1.0, radius: float = 2.0) -> Tensor:
    return lorentz.expmap0(tangents(seed, n, radius=radius), c)


def tangent_at(x: Tensor, seed: int, *, c: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return lorentz.tangent_project(x, torch.randn(x.shape, generator=rng, dtype=x.dtype), c)


@given(SEEDS, CURVATURES)
def test_exp_then_log_is_the_identity_in_float32(seed: int, c: float) -> None:
    v = tangents(seed, radius=1.5, dtype=torch.float32)
    x = lorentz.expmap0(v, c)
    torch.testing.assert_close(lorentz.logmap0(x, c), v, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(lorentz.inner(x, x), torch.full((len(x),), -1 / c), atol=2e-5, rtol=2e-5)


@given(SEEDS, CURVATURES)
def test_a_tangent_vectors_norm_is_the_distance_from_the_origin(seed: int, c: float) -> None:
    v = tangents(seed, radius=6.0)
    away = lorentz.dist(lorentz.origin(5, c, like=v).expand(len(v), 6), lorentz.expmap0(v, c), c)
    torch.testing.assert_close(away, v.norm(dim=1))


@pytest.mark.parametrize("size", [0.0, *np.geomspace(1e-12, 1.0, 13)])
def test_exp_and_log_have_finite_gradients_down_to_zero(size: float) -> None:
    v = torch.full((1, 4), size, requires_grad=True)
    through = torch.autograd.functional.jacobian(lambda u: lorentz.logmap0(lorentz.expmap0(u)), v)
    torch.testing.assert_close(through.reshape(4, 4), torch.eye(4), atol=1e-5, rtol=0)
    jacobian = torch.autograd.functional.jacobian(lorentz.expmap0, v.detach())
    assert torch.isfinite(jacobian).all()


@given(SEEDS, SEEDS, CURVATURES)
def test_distance_equals_equation_4(one: int, other: int, c: float) -> None:
    x, y = points(one, c=c), points(other, c=c)
    expected = torch.from_numpy(equations.lorentz_distance(x.numpy(), y.numpy(), c))
    torch.testing.assert_close(lorentz.dist(x, y, c), expected, atol=1e-6, rtol=1e-7)
    torch.testing.assert_close(lorentz.sqdist(x, y, c), expected.square(), atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(lorentz.pairwise_sqdist(x, y, c).diagonal(), expected.square(), atol=1e-7, rtol=1e-7)


@given(st.floats(0.0, 1e6))
def test_phi_equals_arcosh_squared(q: float) -> None:
    exact = np.arccosh(np.longdouble(1) + np.longdouble(q) / 2) ** 2 if q > 1e-3 else q - q**2 / 12 + q**3 / 90
    found = lorentz.sqdist_from_separation(torch.tensor([q], dtype=torch.float64))
    assert found.item() == pytest.approx(float(exact), rel=1e-9, abs=1e-15)


@given(SEEDS, SEEDS, CURVATURES)
def test_separation_equals_the_inner_product_of_the_difference(one: int, other: int, c: float) -> None:
    for radius in (0.1, 1.5, 4.0):
        x, y = points(one, c=c, radius=radius), points(other, c=c, radius=radius)
        torch.testing.assert_close(lorentz.separation(x, y, c), lorentz.inner(x - y, x - y), atol=1e-9, rtol=1e-8)


@given(SEEDS, CURVATURES)
def test_the_gradient_of_separation_is_that_of_the_textbook_form(seed: int, c: float) -> None:
    v = tangents(seed, radius=5.0).requires_grad_()
    w = tangents(seed + 1, radius=5.0).requires_grad_()

    def gradients(value: Tensor) -> Tensor:
        return torch.cat(torch.autograd.grad(value.sum(), [v, w]))

    x, y = lorentz.expmap0(v, c), lorentz.expmap0(w, c)
    textbook = gradients(-2 / c - 2 * lorentz.inner(x, y))
    x, y = lorentz.expmap0(v, c), lorentz.expmap0(w, c)
    torch.testing.assert_close(gradients(lorentz.separation(x, y, c)), textbook, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.5, 1.5, 5.0, 14.0])
def test_distances_have_finite_gradients_where_points_coincide(radius: float) -> None:
    v = torch.full((3, 4), radius / 2, requires_grad=True)
    for function in (lorentz.sqdist, lorentz.dist, lorentz.separation):
        function(lorentz.expmap0(v), lorentz.expmap0(v.detach())).sum().backward()
        assert v.grad is not None
        assert torch.isfinite(v.grad).all()


def exact_distance(x: Tensor, y: Tensor) -> np.ndarray:
    """From float32 space parts, in extended precision."""
    xs, ys = x[:, 1:].numpy().astype(np.longdouble), y[:, 1:].numpy().astype(np.longdouble)
    x0, y0 = (np.sqrt(1 + (s**2).sum(1)) for s in (xs, ys))
    time = ((xs - ys) * (xs + ys)).sum(1) / (x0 + y0)
    return 2 * np.arcsinh(np.sqrt(((xs - ys) ** 2).sum(1) - time**2) / 2)


@pytest.mark.parametrize("direction", ["outward", "sideways", "both"])
@pytest.mark.parametrize(
    ("radius", "tolerance"),
    [(0.01, 1e-6), (0.5, 1e-6), (1.5, 1e-5), (3.0, 1e-5), (5.0, 1e-4), (8.0, 1e-3), (14.0, 0.05)],
)
def test_float32_keeps_its_digits_near_distance_zero(radius: float, tolerance: float, direction: str) -> None:
    start = tangents(5, 100, radius=1.0)
    start = start / start.norm(dim=1, keepdim=True)
    side = torch.linalg.cross(start[:, :3], start.roll(1, 0)[:, :3])
    side = torch.nn.functional.pad(side / side.norm(dim=1, keepdim=True), (1, 2))
    for gap in (1e-3, 1e-2, 1e-1):
        outward = gap * {"outward": 1.0, "sideways": 0.0, "both": 0.6}[direction]
        sideways = gap * {"outward": 0.0, "sideways": 1.0, "both": 0.8}[direction]
        x = lorentz.expmap0(start * radius)
        y = lorentz.expmap0(start * (radius + outward))
        y = lorentz.expmap(y, lorentz.tangent_project(y, side) * sideways)
        x, y = lorentz.project(x.float()), lorentz.project(y.float())
        exact = exact_distance(x, y)
        moved = exact > 0
        error = np.abs(lorentz.dist(x, y).numpy()[moved] / exact[moved] - 1)
        assert error.max() < tolerance


def test_the_textbook_form_loses_all_digits_where_ours_keeps_them() -> None:
    v = tangents(5, 100, radius=1.0)
    v = v / v.norm(dim=1, keepdim=True)
    x, y = (lorentz.expmap0((v * r).float()) for r in (5.0, 5.001))
    textbook = torch.acosh((-lorentz.inner(x, y)).clamp_min(1.0)).numpy()
    exact = exact_distance(x, y)
    assert np.median(np.abs(textbook / exact - 1)) == pytest.approx(1.0)
    assert np.abs(lorentz.dist(x, y).numpy() / exact - 1).max() < 1e-4


@pytest.mark.parametrize("radius", [1.0, 4.0, 8.0, 12.0])
def test_float32_is_right_at_large_distances(radius: float) -> None:
    x, y = (lorentz.expmap0(tangents(seed, 200, radius=radius, dtype=torch.float32)) for seed in (1, 2))
    near = lorentz.expmap0(tangents(3, 200, radius=0.01, dtype=torch.float32))
    for a, b in ((x, y), (x, near), (near, x)):
        np.testing.assert_allclose(lorentz.dist(a, b).numpy(), exact_distance(a, b), rtol=1e-4)


@given(SEEDS, SEEDS, SEEDS)
def test_distance_is_a_metric(a: int, b: int, e: int) -> None:
    x, y, z = (points(seed, radius=4.0) for seed in (a, b, e))
    xy, yz, xz = lorentz.dist(x, y), lorentz.dist(y, z), lorentz.dist(x, z)
    assert torch.equal(xy, lorentz.dist(y, x))
    assert (lorentz.dist(x, x) == 0).all()
    assert (xz <= xy + yz + 1e-9).all()


@given(SEEDS, SEEDS, CURVATURES)
def test_exp_and_log_at_a_point_are_inverse(one: int, other: int, c: float) -> None:
    x, y = points(one, c=c), points(other, c=c)
    u = lorentz.logmap(x, y, c)
    torch.testing.assert_close(lorentz.inner(x, u), torch.zeros(len(x), dtype=x.dtype), atol=1e-8, rtol=0)
    torch.testing.assert_close(lorentz.inner(u, u), lorentz.sqdist(x, y, c), atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(lorentz.expmap(x, u, c), y, atol=1e-7, rtol=1e-7)


@given(SEEDS, CURVATURES)
def test_a_step_is_as_long_as_its_vector_but_no_longer_than_allowed(seed: int, c: float) -> None:
    x = points(seed, c=c)
    u = tangent_at(x, seed, c=c)
    length = lorentz.inner(u, u).sqrt()
    torch.testing.assert_close(lorentz.dist(x, lorentz.expmap(x, u, c), c), length, rtol=1e-7, atol=1e-7)
    short = lorentz.dist(x, lorentz.expmap(x, u, c, max_step=0.3), c)
    torch.testing.assert_close(short, length.clamp_max(0.3), rtol=1e-7, atol=1e-7)
    assert torch.equal(lorentz.expmap(x, torch.zeros_like(x), c), lorentz.project(x, c))


@given(SEEDS, SEEDS, CURVATURES)
def test_transport_keeps_angles_and_tangency(one: int, other: int, c: float) -> None:
    x, y = points(one, c=c), points(other, c=c)
    u, v = tangent_at(x, one, c=c), tangent_at(x, other, c=c)
    moved_u, moved_v = lorentz.transport(x, y, u, c), lorentz.transport(x, y, v, c)
    torch.testing.assert_close(lorentz.inner(moved_u, moved_v), lorentz.inner(u, v), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(lorentz.inner(y, moved_u), torch.zeros(len(x), dtype=x.dtype), atol=1e-7, rtol=0)
    torch.testing.assert_close(lorentz.transport(y, x, moved_u, c), u, rtol=1e-6, atol=1e-6)


@given(SEEDS, SEEDS)
def test_transport_along_the_geodesic_carries_its_own_direction(one: int, other: int) -> None:
    x, y = points(one), points(other)
    torch.testing.assert_close(
        lorentz.transport(x, y, lorentz.logmap(x, y)), -lorentz.logmap(y, x), rtol=1e-6, atol=1e-6
    )


@given(SEEDS, CURVATURES)
def test_the_riemannian_gradient_is_tangent_and_is_the_directional_derivative(seed: int, c: float) -> None:
    x = points(seed, c=c)
    target = points(seed + 1, c=c)
    ambient = x.clone().requires_grad_()
    (-2 / c - 2 * lorentz.inner(ambient, target)).sum().backward()
    assert ambient.grad is not None
    gradient = lorentz.riemannian_gradient(x, ambient.grad, c)
    torch.testing.assert_close(lorentz.inner(x, gradient), torch.zeros(len(x), dtype=x.dtype), atol=1e-7, rtol=0)
    u = tangent_at(x, seed, c=c)
    step = 1e-6
    ahead, behind = (lorentz.separation(lorentz.expmap(x, s * step * u, c), target, c) for s in (1, -1))
    torch.testing.assert_close((ahead - behind) / (2 * step), lorentz.inner(gradient, u), rtol=1e-4, atol=1e-4)


@given(SEEDS, st.floats(1e-4, 1.0))
def test_weight_decay_pulls_to_the_origin(seed: int, decay: float) -> None:
    """The Riemannian gradient of ambient L2 is decay·(2x₀‖x_s‖², 2x₀²x_s)."""
    x = points(seed)
    time, space = x[:, :1], x[:, 1:]
    expected = decay * torch.cat([2 * time * space.square().sum(1, keepdim=True), 2 * time.square() * space], dim=1)
    torch.testing.assert_close(lorentz.riemannian_gradient(x, decay * x), expected)


def test_clamping_shortens_only_what_is_longer() -> None:
    v = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], requires_grad=True)
    hard = lorentz.clamp_radius(v, 1.5)
    torch.testing.assert_close(hard, torch.tensor([[0.9, 1.2], [0.3, 0.4], [0.0, 0.0]]))
    soft = lorentz.clamp_radius(v, 1.5, soft=True)
    assert (soft.norm(dim=1) <= torch.minimum(v.norm(dim=1), torch.tensor(1.5))).all()
    torch.testing.assert_close(soft[1], v[1] * 1.5 * np.tanh(0.5 / 1.5) / 0.5)
    (hard.sum() + soft.sum()).backward()
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()
    torch.testing.assert_close(v.grad[2], torch.full((2,), 2.0))


@given(SEEDS)
def test_centroid_gyromidpoint_and_einstein_midpoint_are_one(seed: int) -> None:
    x = points(seed, 6)
    weights = torch.rand(3, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = lorentz.centroid(weights, x)
    klein, ball = lorentz.to_klein(x).numpy(), lorentz.to_poincare(x).numpy()
    for row, w in zip(found, weights.numpy(), strict=True):
        np.testing.assert_allclose(lorentz.to_klein(row), equations.einstein_midpoint(w, klein), atol=1e-10)
        np.testing.assert_allclose(lorentz.to_poincare(row), equations.gyromidpoint(w, ball), atol=1e-10)


@given(SEEDS, st.floats(1e-9, 1e9))
def test_centroid_does_not_see_the_scale_of_its_weights(seed: int, scale: float) -> None:
    x = points(seed, 6).float()
    weights = torch.rand(3, 6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(lorentz.centroid(scale * weights, x), lorentz.centroid(weights, x), atol=1e-5, rtol=1e-5)


@given(SEEDS, CURVATURES)
def test_centroid_lies_on_the_manifold_and_of_one_point_is_that_point(seed: int, c: float) -> None:
    x = points(seed, 6, c=c)
    mean = lorentz.centroid(torch.full((1, 6), 1 / 6, dtype=torch.float64), x, c)
    torch.testing.assert_close(lorentz.inner(mean, mean), torch.full((1,), -1 / c, dtype=torch.float64))
    torch.testing.assert_close(lorentz.centroid(0.3 * torch.eye(6, dtype=torch.float64), x, c), x)


def test_a_row_without_weight_becomes_the_origin_and_gives_no_gradient() -> None:
    x = points(0, 3).requires_grad_()
    weights = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    found = lorentz.centroid(weights, x)
    assert torch.equal(found[0], lorentz.origin(5, like=x))
    found.sum().backward()
    assert x.grad is not None
    assert weights.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(weights.grad).all()
    assert (x.grad[2] == 0).all()


@given(SEEDS, CURVATURES)
def test_normalising_has_the_gradient_of_its_formula(seed: int, c: float) -> None:
    """The closed form against autograd of m/√(−c⟨m,m⟩), with an empty row and a last axis beside others."""
    x = points(seed, 6, c=c)
    m = (torch.rand(6, 1, generator=torch.Generator().manual_seed(seed), dtype=x.dtype) + 0.1) * (x + x.flip(0))
    pushed = torch.randn(m.shape, generator=torch.Generator().manual_seed(seed), dtype=m.dtype)
    plain, ours = m.clone().requires_grad_(), m.clone().requires_grad_()
    expected = plain / torch.sqrt(-c * lorentz.inner(plain, plain)).unsqueeze(-1)
    found = lorentz.normalise(ours.view(2, 3, -1), c).view_as(m)
    torch.testing.assert_close(found, expected)
    for result in (expected, found):
        (result * pushed).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad, atol=1e-9, rtol=1e-9)
    empty = torch.zeros(1, m.shape[1], dtype=m.dtype, requires_grad=True)
    lorentz.normalise(empty, c).sum().backward()
    assert empty.grad is not None
    assert (empty.grad == 0).all()


@pytest.mark.parametrize("radius", [1e-6, 1.0, 6.0, 8.0, 20.0, 40.0])
def test_a_centroid_in_float32_is_a_point_with_a_finite_gradient_however_far(radius: float) -> None:
    v = tangents(3, radius=radius).float()
    x = lorentz.expmap0(v).requires_grad_()
    mean = lorentz.centroid(torch.full((4, len(v)), 1 / len(v)), x)
    assert ((lorentz.inner(mean, mean) + 1).abs() <= 1e-5 * mean[:, 0].square()).all()
    mean.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@given(SEEDS, CURVATURES)
def test_moving_to_the_origin_is_the_isometry_of_log_and_transport(seed: int, c: float) -> None:
    x = points(seed, 6, c=c)
    base = x[0]
    moved = lorentz.to_origin(x, base, c)
    torch.testing.assert_close(moved[0], lorentz.origin(x.shape[1] - 1, c, like=x), atol=1e-9, rtol=0)
    torch.testing.assert_close(lorentz.pairwise_sqdist(moved, moved, c), lorentz.pairwise_sqdist(x, x, c))
    here, there = base.expand_as(x), lorentz.origin(x.shape[1] - 1, c, like=x).expand_as(x)
    expected = lorentz.transport(here, there, lorentz.logmap(here, x, c), c)[:, 1:]
    torch.testing.assert_close(lorentz.logmap_about(x, base, c), expected, atol=1e-7, rtol=1e-7)


@given(SEEDS)
def test_without_a_time_coordinate_the_published_map_is_the_clamped_exponential(seed: int) -> None:
    v = tangents(seed, radius=4.0)
    padded = torch.nn.functional.pad(v, (1, 0))
    expected = lorentz.expmap0(lorentz.clamp_radius(v, 1.5))
    torch.testing.assert_close(lorentz.expmap0_with_time(padded, radius=1.5), expected, atol=1e-6, rtol=1e-6)


def test_a_time_coordinate_lengthens_the_point_past_the_clamp() -> None:
    u = torch.tensor([[0.6, 1.0, 0.0]], dtype=torch.float64)
    found = lorentz.expmap0_with_time(u, radius=1.5)
    assert found[0, 1].item() == pytest.approx(np.sinh(0.8) / 0.8)  # n = √(1 − 0.36)
    long = lorentz.expmap0_with_time(4 * u, radius=1.5)
    assert lorentz.logmap0(long).norm().item() == pytest.approx(np.arcsinh(np.sinh(1.5) * 4 / 3.2))
