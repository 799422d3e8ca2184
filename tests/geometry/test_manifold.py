from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hyperllm.errors import ConfigError
from hyperllm.geometry import lorentz, poincare
from hyperllm.geometry.manifold import Lorentz, ManifoldParameter, Poincare


@pytest.mark.parametrize("manifold", [Lorentz, Poincare])
@pytest.mark.parametrize("c", [0.0, -1.0, float("nan")])
def test_a_curvature_that_is_not_positive_is_refused(manifold: type[Lorentz], c: float) -> None:
    with pytest.raises(ConfigError, match="curvature"):
        manifold(c)


@pytest.mark.parametrize(("manifold", "functions"), [(Lorentz(2.0), lorentz), (Poincare(2.0), poincare)])
def test_the_object_hands_its_curvature_to_the_functions(manifold: Lorentz, functions: object) -> None:
    v = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    x = manifold.expmap0(v)
    assert torch.equal(x, functions.expmap0(v, 2.0))  # type: ignore[attr-defined]
    assert torch.equal(manifold.logmap0(x), functions.logmap0(x, 2.0))  # type: ignore[attr-defined]
    assert torch.equal(manifold.dist(x, x.flip(0)), functions.dist(x, x.flip(0), 2.0))  # type: ignore[attr-defined]
    assert torch.equal(manifold.sqdist(x, x.flip(0)), functions.sqdist(x, x.flip(0), 2.0))  # type: ignore[attr-defined]


def test_the_riemannian_inner_product_of_the_ball_is_that_of_the_hyperboloid() -> None:
    v = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ball = Poincare()
    p = ball.expmap0(v)
    u = torch.ones_like(p)
    expected = poincare.dist(p, poincare.expmap(p, 1e-5 * u)).square() / 1e-10
    torch.testing.assert_close(ball.inner(p, u, u), expected, rtol=1e-4, atol=0)


def test_a_manifold_parameter_is_a_parameter_that_keeps_its_manifold() -> None:
    module = nn.Module()
    module.points = ManifoldParameter(Lorentz().expmap0(torch.ones(2, 3)), Lorentz(max_step=0.5))
    (found,) = module.parameters()
    assert isinstance(found, ManifoldParameter)
    assert found.requires_grad
    twin = copy.deepcopy(module).points
    assert isinstance(twin, ManifoldParameter)
    assert twin.manifold == Lorentz(max_step=0.5)
    assert torch.equal(twin, found)
    assert twin.data_ptr() != found.data_ptr()
