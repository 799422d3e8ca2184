"""Maps that only change a vector's length: v ↦ f(‖v‖²)·v, row by row, in few passes over the rows.

exp₀, log₀ and the clamp of the radius are such maps. Left to autograd they cost a dozen passes over all nodes forward
and backward. Here f and f′ are needed once a row, and the backward pass takes rows a few at a time, so that each is
read from memory once. Knows no manifold but the rule x₀ = √(1/c + ‖x_s‖²). Shapes: n rows, d dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyperllm.geometry import columns

Profile = Callable[[Tensor], Tensor]
BLOCK = 1 << 17  # numbers of a tensor that are worked on at a time on a CPU: a core's cache holds what they need


def to_point(v: Tensor, profile: Profile, *, c: float) -> Tensor:
    """The point (…, d+1) with space part f(‖v‖²)·v of v (…, d); ``profile`` is f, differentiable, of (n, 1)."""
    return _Radial.apply(v, profile, False, c)  # type: ignore[no-any-return]


def of_space(x: Tensor, profile: Profile) -> Tensor:
    """f(‖x_s‖²)·x_s (…, d) of a point's (…, d+1) space part; the time coordinate gets no gradient."""
    return _Radial.apply(x, profile, True, None)  # type: ignore[no-any-return]


def of_vector(v: Tensor, profile: Profile) -> Tensor:
    """f(‖v‖²)·v of v (…, d)."""
    return _Radial.apply(v, profile, False, None)  # type: ignore[no-any-return]


def row_blocks(rows: Tensor) -> Iterator[slice]:
    """Slices of the rows (n, …): as many as the caches of the cores in use hold; all on a GPU or of columns apart."""
    cached = torch.get_num_threads() * BLOCK * len(rows) // max(1, rows.numel())
    size = len(rows) if rows.is_cuda or columns.now().apart else cached
    for start in range(0, len(rows), max(1, size)):
        yield slice(start, start + max(1, size))


def _slope(profile: Profile, square: Tensor) -> Tensor:
    """f′ at these squared lengths."""
    with torch.enable_grad():
        leaf = square.detach().requires_grad_()
        (slope,) = torch.autograd.grad(profile(leaf).sum(), leaf)
    return slope


class _Radial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, profile: Profile, from_point: bool, c: float | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        v = rows[:, 1:] if from_point else rows
        square = columns.now().squares(v)
        scale = profile(square)
        slope = _slope(profile, square) if ctx.needs_input_grad[0] else scale
        if c is None:
            out, time_slope = scale * v, scale
        else:
            out = v.new_empty(len(v), v.shape[1] + 1)
            torch.mul(scale, v, out=out[:, 1:])
            time = torch.sqrt(1.0 / c + scale.square() * square)
            out[:, :1] = time
            time_slope = scale * (2.0 * slope * square + scale) / (2.0 * time)  # ∂x₀/∂‖v‖²
        ctx.save_for_backward(v, scale, slope, time_slope)
        ctx.shape, ctx.from_point, ctx.to_point = x.shape, from_point, c is not None
        return out.view(*x.shape[:-1], out.shape[1])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None, None, None]:
        v, scale, slope, time_slope = ctx.saved_tensors
        pushed = grads[0].reshape(len(v), v.shape[1] + int(ctx.to_point))
        back = v.new_empty(len(v), v.shape[1] + int(ctx.from_point))
        space = back[:, 1:] if ctx.from_point else back
        if ctx.from_point:
            back[:, 0] = 0.0
        for block in row_blocks(v):
            grad = pushed[block, 1:] if ctx.to_point else pushed[block]
            along = slope[block] * (grad * v[block]).sum(1, keepdim=True)
            if ctx.to_point:
                along += pushed[block, :1] * time_slope[block]
            along = columns.total(along)
            torch.mul(scale[block], grad, out=space[block]).addcmul_(along, v[block], value=2.0)
        return back.view(ctx.shape), None, None, None
