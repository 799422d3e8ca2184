"""The fused maps against autograd on the same formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import CURVATURES, SEEDS, tangents
from torch import Tensor

from hyperllm.geometry import lorentz, radial


def plain_point(v: Tensor, c: float, radius: float | None, *, soft: bool) -> Tensor:
    if radius is not None:
        v = lorentz.clamp_radius(v, radius, soft=soft)
    length = c**0.5 * v.norm(dim=-1, keepdim=True)
    return lorentz.from_space(torch.sinh(length) / length * v, c)


BLOCKS = st.sampled_from([1, 13, 1 << 17])


@given(SEEDS, CURVATURES, st.sampled_from([None, 0.5, 1.5]), st.booleans(), BLOCKS)
def test_exp0_with_a_clamp_has_the_value_and_gradient_of_its_parts(
    seed: int, c: float, radius: float | None, soft: bool, block: int
) -> None:
    v = tangents(seed).requires_grad_()
    pushed = tangents(seed + 1, dim=6)
    plain = plain_point(v, c, radius, soft=soft)
    (expected,) = torch.autograd.grad(plain, v, pushed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radial, "BLOCK", block)
        ours = lorentz.expmap0(v, c, radius=radius, soft=soft)
        (found,) = torch.autograd.grad(ours, v, pushed)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(found, expected)


@given(SEEDS, CURVATURES, BLOCKS)
def test_log0_has_the_gradient_of_its_formula_and_none_for_time(seed: int, c: float, block: int) -> None:
    x = lorentz.expmap0(tangents(seed), c).detach().requires_grad_()
    length = c**0.5 * x[..., 1:].norm(dim=-1, keepdim=True)
    plain = torch.asinh(length) / length * x[..., 1:]
    pushed = tangents(seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radial, "BLOCK", block)
        (found,) = torch.autograd.grad(lorentz.logmap0(x, c), x, pushed)
    (expected,) = torch.autograd.grad(plain, x, pushed)
    torch.testing.assert_close(found, expected)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 4)])
def test_any_leading_shape(shape: tuple[int, ...]) -> None:
    v = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    point = lorentz.expmap0(v, radius=1.0)
    assert point.shape == (*shape[:-1], 5)
    lorentz.logmap0(point).sum().backward()
    assert v.grad is not None
    assert v.grad.shape == shape


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    v = torch.ones(2, 3, requires_grad=True)
    pushed = torch.ones(2, 4, requires_grad=True)
    (first,) = torch.autograd.grad(radial.to_point(v, torch.exp, c=1.0), v, pushed, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_it_works_where_nothing_may_learn() -> None:
    v = torch.ones(2, 3)
    with torch.inference_mode():
        point = lorentz.expmap0(v, radius=1.0)
        assert lorentz.logmap0(point).norm(dim=1).tolist() == pytest.approx([1.0, 1.0])
