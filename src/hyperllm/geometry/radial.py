"""Maps that only change a vector's length: v ↦ f(‖v‖²)·v, row by row, in few passes over the rows.

exp₀, log₀ and the clamp of the radius are such maps. Left to autograd they cost a dozen passes over all nodes forward
and backward; here it is two and four, because f and f′ are needed once a row only. Knows no manifold but the rule
x₀ = √(1/c + ‖x_s‖²). Shapes: d dims.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Profile = Callable[[Tensor], Tensor]


def to_point(v: Tensor, profile: Profile, *, c: float) -> Tensor:
    """The point (…, d+1) with space part f(‖v‖²)·v of v (…, d); ``profile`` is f, differentiable, of (…, 1)."""
    return _Radial.apply(v, profile, False, c)  # type: ignore[no-any-return]


def of_space(x: Tensor, profile: Profile) -> Tensor:
    """f(‖x_s‖²)·x_s (…, d) of a point's (…, d+1) space part; the time coordinate gets no gradient."""
    return _Radial.apply(x, profile, True, None)  # type: ignore[no-any-return]


class _Radial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, profile: Profile, from_point: bool, c: float | None) -> Tensor:
        v = x[..., 1:] if from_point else x
        square = torch.linalg.vector_norm(v, dim=-1, keepdim=True).square_()
        with torch.enable_grad():
            leaf = square.detach().requires_grad_()
            scale = profile(leaf)
            (slope,) = torch.autograd.grad(scale.sum(), leaf)
        scale = scale.detach()
        ctx.from_point = from_point
        if c is None:
            ctx.save_for_backward(v, scale, slope)
            return scale * v
        out = v.new_empty(*v.shape[:-1], v.shape[-1] + 1)
        torch.mul(scale, v, out=out[..., 1:])
        time = torch.sqrt(1.0 / c + scale.square() * square)
        out[..., :1] = time
        time_slope = scale * (2.0 * slope * square + scale) / (2.0 * time)  # ∂x₀/∂‖v‖²
        ctx.save_for_backward(v, scale, slope, time_slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None, None, None]:
        v, scale, slope, *timed = ctx.saved_tensors
        grad = grads[0][..., 1:] if timed else grads[0]
        along = slope * (grad * v).sum(-1, keepdim=True)
        if timed:
            along = along + grads[0][..., :1] * timed[0]
        if not ctx.from_point:
            return torch.addcmul(scale * grad, along, v, value=2.0), None, None, None
        back = v.new_empty(*v.shape[:-1], v.shape[-1] + 1)
        back[..., 0] = 0.0
        torch.mul(scale, grad, out=back[..., 1:]).addcmul_(along, v, value=2.0)
        return back, None, None, None
