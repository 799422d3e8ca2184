"""The optimisers against steps done by hand, torch's own rules and geoopt, all in float64."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import points
from torch import Tensor, nn

from hyperllm.geometry import lorentz, radial
from hyperllm.geometry.manifold import Lorentz, ManifoldParameter, Poincare
from hyperllm.geometry.optim import RiemannianAdam, RiemannianSGD

FREE = Lorentz(max_step=float("inf"))


@pytest.fixture(autouse=True, scope="module")
def _two_rows_at_a_time() -> Generator[None]:
    """Tables are updated in blocks; here even small ones have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radial, "BLOCK", 13)
        yield


def quadratic(target: Tensor) -> Any:
    """A loss with curvature in every coordinate."""
    return lambda x: ((x - target) ** 2 * torch.arange(1, x.shape[-1] + 1)).sum()


def descend(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, loss: Any, steps: int) -> Tensor:
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss(parameter).backward()
        optimizer.step()
    return parameter.detach().clone()


def test_one_riemannian_step_by_hand_and_the_next_with_transported_momentum() -> None:
    lr, mu, decay = 0.1, 0.9, 0.01
    start = points(3, 1)
    gradient = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(1, 6)
    parameter = ManifoldParameter(start.clone(), FREE)
    optimizer = RiemannianSGD([parameter], lr=lr, momentum=mu, weight_decay=decay)
    x, b = start.numpy()[0], np.zeros(6)
    for _ in range(2):
        parameter.grad = gradient.clone()
        optimizer.step()
        g = gradient.numpy()[0] + decay * x
        h = np.concatenate([[-g[0]], g[1:]])

        def product(u: np.ndarray, v: np.ndarray) -> float:
            return float(-u[0] * v[0] + u[1:] @ v[1:])

        b = mu * b + h + product(x, h) * x
        u = -lr * b
        u = u + product(x, u) * x
        n = np.sqrt(product(u, u))
        y = np.cosh(n) * x + np.sinh(n) / n * u
        b = b + product(y, b) / (1 - product(x, y)) * (x + y)
        x = y
        np.testing.assert_allclose(parameter.detach().numpy()[0], x, rtol=1e-10)
    np.testing.assert_allclose(optimizer.state[parameter]["momentum"].numpy()[0], b, rtol=1e-10)


def test_the_published_first_step_counts_the_raw_gradient_twice() -> None:
    gradient = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    parameter = nn.Parameter(torch.tensor([[0.5, -0.5]], dtype=torch.float64))
    optimizer = RiemannianSGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.2, raw_first_step=True)
    parameter.grad = gradient.clone()
    optimizer.step()
    expected = torch.tensor([[0.5, -0.5]], dtype=torch.float64)
    expected = expected - 0.1 * (0.9 * gradient + gradient + 0.2 * expected)
    torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.95, 0.01)])
def test_plain_parameters_get_torchs_sgd(momentum: float, decay: float) -> None:
    start, loss = torch.randn(4, 3, dtype=torch.float64), quadratic(torch.ones(4, 3, dtype=torch.float64))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = descend(ours, RiemannianSGD([ours], lr=0.01, momentum=momentum, weight_decay=decay), loss, 7)
    b = descend(theirs, torch.optim.SGD([theirs], lr=0.01, momentum=momentum, weight_decay=decay), loss, 7)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_plain_parameters_get_torchs_adam(decay: float) -> None:
    start, loss = torch.randn(4, 3, dtype=torch.float64), quadratic(torch.ones(4, 3, dtype=torch.float64))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = descend(ours, RiemannianAdam([ours], lr=0.01, weight_decay=decay), loss, 7)
    b = descend(theirs, torch.optim.Adam([theirs], lr=0.01, weight_decay=decay), loss, 7)
    torch.testing.assert_close(a, b)


def geoopt() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("geoopt")


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_hyperboloid_steps_agree_with_geoopt(rule: str, decay: float) -> None:
    oracle = geoopt()
    start, loss = points(1, 6), quadratic(points(2, 6))
    ours = ManifoldParameter(start.clone(), FREE)
    theirs = oracle.ManifoldParameter(start.clone(), manifold=oracle.Lorentz())
    if rule == "sgd":
        mine = RiemannianSGD([ours], lr=0.01, momentum=0.9, weight_decay=decay)
        other = oracle.optim.RiemannianSGD([theirs], lr=0.01, momentum=0.9, weight_decay=decay)
        other.state[theirs]["momentum_buffer"] = torch.zeros_like(start)  # it would start at the raw gradient
    else:
        mine = RiemannianAdam([ours], lr=0.01, weight_decay=decay)
        other = oracle.optim.RiemannianAdam([theirs], lr=0.01, weight_decay=decay)
    for steps in (1, 4):
        a, b = descend(ours, mine, loss, steps), descend(theirs, other, loss, steps)
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_ball_steps_agree_with_geoopt(rule: str) -> None:
    oracle = geoopt()
    start, target = lorentz.to_poincare(points(1, 6)), lorentz.to_poincare(points(2, 6))
    loss = quadratic(target)
    ours = ManifoldParameter(start.clone(), Poincare(max_step=float("inf")))
    theirs = oracle.ManifoldParameter(start.clone(), manifold=oracle.PoincareBallExact())
    if rule == "sgd":
        mine = RiemannianSGD([ours], lr=0.1, momentum=0.9)
        other = oracle.optim.RiemannianSGD([theirs], lr=0.1, momentum=0.9)
        other.state[theirs]["momentum_buffer"] = torch.zeros_like(start)
    else:
        mine, other = RiemannianAdam([ours], lr=0.01), oracle.optim.RiemannianAdam([theirs], lr=0.01)
    a, b = descend(ours, mine, loss, 5), descend(theirs, other, loss, 5)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 1.0, 10.0]), st.sampled_from(["sgd", "adam"]))
def test_float32_steps_stay_on_the_hyperboloid_and_momentum_stays_tangent(seed: int, lr: float, rule: str) -> None:
    parameter = ManifoldParameter(points(seed, 8, radius=1.5).float(), Lorentz())
    optimizer: torch.optim.Optimizer = RiemannianAdam([parameter], lr=lr)
    if rule == "sgd":
        optimizer = RiemannianSGD([parameter], lr=lr, momentum=0.9, weight_decay=1e-3)
    target = points(seed + 1, 8, radius=1.5).float()
    before = parameter.detach().clone()
    for _ in range(3):
        descend(parameter, optimizer, lambda x: lorentz.sqdist(x, target).sum(), 1)
        x = parameter.detach()
        square = lorentz.inner(x.double(), x.double())
        assert ((square + 1).abs() <= 1e-5 * x[:, 0].double().square()).all()
        assert (lorentz.dist(before, x) <= 1.5 + 1e-3).all()
        before = x.clone()
        momentum = optimizer.state[parameter]["momentum" if rule == "sgd" else "mean"]
        slack = 1e-4 * (1 + momentum.abs().max() * x.abs().max())
        assert (lorentz.inner(x, momentum).abs() <= slack).all()


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_descending_the_distance_reaches_the_target(rule: str) -> None:
    parameter, target = ManifoldParameter(points(1, 5), Lorentz()), points(2, 5)
    optimizer: torch.optim.Optimizer = RiemannianAdam([parameter], lr=0.02)
    if rule == "sgd":
        optimizer = RiemannianSGD([parameter], lr=0.1, momentum=0.5)
    found = descend(parameter, optimizer, lambda x: lorentz.sqdist(x, target).sum(), 300)
    assert lorentz.dist(found, target).max() < 1e-2


def test_what_has_no_gradient_does_not_move_and_a_closure_is_evaluated() -> None:
    moved, still = nn.Parameter(torch.ones(2)), ManifoldParameter(points(0, 2), Lorentz())
    before = still.detach().clone()
    optimizer = RiemannianSGD([moved, still], lr=0.1, momentum=0.9)

    def closure() -> float:
        optimizer.zero_grad()
        loss = moved.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2.0
    torch.testing.assert_close(moved.detach(), torch.full((2,), 0.8))
    assert torch.equal(still.detach(), before)
