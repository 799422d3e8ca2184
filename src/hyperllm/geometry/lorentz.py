"""The Lorentz (hyperboloid) model as pure functions.

Shapes: n points, d intrinsic dimensions. A point is ``(…, d+1)``, time coordinate first, with ⟨x,x⟩ = −1/c; ``c > 0``
means sectional curvature −c. A tangent vector at the origin is ``(…, d)``, Euclidean, its norm the geodesic radius.
Knows formulas that hold their digits in float32 and have finite gradients at coinciding points. Does not know
parameters, optimisers or models.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyperllm.geometry import columns, radial

_SMALL = 1e-4
_FAR_OUT = 27.0


def inner(x: Tensor, y: Tensor) -> Tensor:
    """⟨x,y⟩ = −x₀y₀ + Σ xᵢyᵢ (Eq. 2) over the last axis."""
    product = x * y
    return columns.total(product[..., 1:].sum(-1)) - product[..., 0]


def from_space(space: Tensor, c: float = 1.0) -> Tensor:
    """The point whose space part is given: x₀ = √(1/c + ‖x_s‖²) (Eq. 1)."""
    time = torch.sqrt(1.0 / c + columns.total(space.square().sum(-1, keepdim=True)))
    return torch.cat([time, space], dim=-1)


def project(x: Tensor, c: float = 1.0) -> Tensor:
    """Back onto the hyperboloid by recomputing the time coordinate."""
    return from_space(x[..., 1:], c)


def origin(dim: int, c: float = 1.0, *, like: Tensor) -> Tensor:
    """The point (1/√c, 0, …), shape (dim+1,)."""
    return from_space(like.new_zeros(dim), c)


def _sinhc(square: Tensor) -> Tensor:
    """sinh(√s)/√s, smooth at s = 0."""
    small = square < _SMALL
    root = torch.sqrt(torch.where(small, torch.ones_like(square), square))
    return torch.where(small, 1 + square / 6 + square.square() / 120, torch.sinh(root) / root)


def _arsinhc(square: Tensor) -> Tensor:
    """arsinh(√s)/√s, smooth at s = 0."""
    small = square < _SMALL
    root = torch.sqrt(torch.where(small, torch.ones_like(square), square))
    return torch.where(small, 1 - square / 6 + 3 * square.square() / 40, torch.asinh(root) / root)


def expmap0(v: Tensor, c: float = 1.0, *, radius: float | None = None, soft: bool = False) -> Tensor:
    """exp₀(v): x_s = sinh(√c‖v‖)/(√c‖v‖)·v, v shortened by `clamp_radius` first where ``radius`` is given.

    Tangent (…, d) to point (…, d+1).
    """

    def profile(square: Tensor) -> Tensor:
        if radius is None:
            return _sinhc(c * square)
        kept = _kept(square, radius, soft=soft)
        return kept * _sinhc(c * kept.square() * square)

    return radial.to_point(v, profile, c=c)


def logmap0(x: Tensor, c: float = 1.0) -> Tensor:
    """log₀(x) = arsinh(√c‖x_s‖)/(√c‖x_s‖)·x_s. Point (…, d+1) to tangent (…, d)."""
    return radial.of_space(x, lambda square: _arsinhc(c * square))


def clamp_radius(v: Tensor, radius: float, *, soft: bool = False) -> Tensor:
    """Shorten tangent vectors to ``radius``: v·min(1, r/‖v‖), or smoothly v·r·tanh(‖v‖/r)/‖v‖."""
    return v * _kept(columns.total(v.square().sum(-1, keepdim=True)), radius, soft=soft)


def _kept(square: Tensor, radius: float, *, soft: bool) -> Tensor:
    """The factor of a vector of this squared length."""
    norm = torch.sqrt(square.clamp_min(1e-18))
    return radius * torch.tanh(norm / radius) / norm if soft else (radius / norm).clamp_max(1.0)


def separation(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """q = ⟨x−y, x−y⟩ ≥ 0, elementwise over rows, with its digits in float32 at every radius and distance.

    With δ = x_s−y_s and w = (x_s+y_s)/(x₀+y₀), q = ‖δ‖² − (δ·w)². Only far from the origin (radius 1.6 and beyond) is
    w so long that this difference cancels; rows there take `_separation_far_out`.
    """
    xs, ys, total = x[..., 1:], y[..., 1:], x[..., 0] + y[..., 0]
    delta = xs - ys
    square, along = columns.now().totals(delta.square().sum(-1), (delta * (xs + ys)).sum(-1))
    q = square - (along / total).square()
    far_out = c * total.square() > _FAR_OUT
    if x.is_cuda or columns.now().agreed(far_out):  # asking a GPU would make it wait
        q = torch.where(far_out, _separation_far_out(x, y, c), q)
    return q.clamp_min(0.0)


def _separation_far_out(x: Tensor, y: Tensor, c: float) -> Tensor:
    """q for points whose x₀ + y₀ is large.

    Close points: δ = ρŵ + δ⊥ and 1−‖w‖² = (4/c+q)/(x₀+y₀)² give q = (‖δ⊥‖² + 4r/c)/(1−r) with r = ρ²/(x₀+y₀)², a sum
    of positive terms. Distant points, ‖δ‖² > x₀y₀: −2/c − 2⟨x,y⟩, which does not cancel for them.
    """
    total, both = (x[..., :1] + y[..., :1]).clamp_min(1e-3), x[..., 0] * y[..., 0]
    delta, w = x[..., 1:] - y[..., 1:], (x[..., 1:] + y[..., 1:]) / total
    parts = (w.square().sum(-1), (delta * w).sum(-1), delta.square().sum(-1), (x[..., 1:] * y[..., 1:]).sum(-1))
    length, along, square, product = columns.now().totals(*parts)
    length, along = length.unsqueeze(-1).clamp_min(0.1), along.unsqueeze(-1)
    across = columns.total((delta - along / length * w).square().sum(-1))
    r = (along.square() / (length * total.square())).squeeze(-1)
    near = (across + 4.0 / c * r) / (1.0 - r).clamp_min(0.1)
    return torch.where(square > both, -2.0 / c - 2.0 * (product - both), near)


def sqdist_from_separation(q: Tensor, c: float = 1.0) -> Tensor:
    """d² = φ(cq)/c with φ(q) = 4·arsinh²(√q/2) = q − q²/12 + q³/90 − …; φ′(0) = 1."""
    q = c * q
    small = q < _SMALL
    root = torch.sqrt(torch.where(small, torch.ones_like(q), q))
    series = q - q.square() / 12 + q.pow(3) / 90
    return torch.where(small, series, 4 * torch.asinh(root / 2).square()) / c


def sqdist(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """Squared geodesic distance, row by row; equals arcosh²(−c⟨x,y⟩)/c (Eq. 4)."""
    return sqdist_from_separation(separation(x, y, c), c)


def dist(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """Geodesic distance, row by row: 2·arsinh(√(cq)/2)/√c (Eq. 4). Its gradient at x = y is set to 0."""
    q = c * separation(x, y, c)
    zero = q == 0
    root = torch.sqrt(torch.where(zero, torch.ones_like(q), q))
    return torch.where(zero, torch.zeros_like(q), 2 * torch.asinh(root / 2)) / c**0.5


def flip(x: Tensor) -> Tensor:
    """(−x₀, x_s): turns ⟨x,y⟩ into an ordinary inner product."""
    return torch.cat([-x[..., :1], x[..., 1:]], dim=-1)


def pairwise_sqdist(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """(n, m) squared distances through one matrix product; good to radius 3 in float32."""
    x, y = columns.now().once(x), columns.now().once(y)
    q = (-2.0 / c - 2.0 * columns.total(flip(x) @ y.T)).clamp_min(0.0)
    return sqdist_from_separation(q, c)


class Weights(Protocol):
    """A matrix, dense or sparse, or whatever else multiplies the rows of a tensor."""

    def __matmul__(self, x: Tensor, /) -> Tensor:
        """(m, d+1) to (n, d+1)."""
        ...


def centroid(weights: Weights, x: Tensor, c: float = 1.0) -> Tensor:
    """Lorentz centroid of rows: m = Wx, m/√(−c⟨m,m⟩). A row without weight becomes the origin.

    ``weights`` (n, m) are non-negative, a tensor or a graph, ``x`` (m, d+1); equals the Möbius gyromidpoint and the
    Einstein midpoint of the same points.
    """
    return normalise(weights @ x, c)


def normalise(m: Tensor, c: float = 1.0) -> Tensor:
    """A time-like vector scaled onto the hyperboloid; the zero vector becomes the origin.

    In float32 the result's radius is good to 1e-3 of itself at 6/√c, and never longer than 8.7/√c.
    """
    return _Normalise.apply(m, c)  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """x = m/√(−c⟨m,m⟩), with ∂x/∂m in closed form: left to autograd it is thirty passes over all rows."""

    @staticmethod
    def forward(ctx: Any, m: Tensor, c: float) -> Tensor:
        rows = m.reshape(-1, m.shape[-1])
        time, norm = rows[:, :1], columns.now().squares(rows[:, 1:]).sqrt_()
        speed = norm / time  # scale-free, so that small weights are no emptier than large ones
        square = ((1 - speed) * (1 + speed)).clamp_min(torch.finfo(m.dtype).eps)
        scale = torch.where(time > 0, (c * square).rsqrt() / time, 0.0)
        x = torch.empty_like(rows)
        length = (scale * norm).square()
        x[:, :1] = torch.sqrt(1.0 / c + length)
        torch.mul(rows[:, 1:], scale, out=x[:, 1:])
        ctx.save_for_backward(x, scale, length)
        ctx.c = c
        return x.view(m.shape)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None]:
        x, scale, length = ctx.saved_tensors
        grad = grads[0].reshape(x.shape)
        back = torch.empty_like(x)
        for block in radial.row_blocks(x):
            time, space, pushed = x[block, :1], x[block, 1:], grad[block, 1:]
            lift = grad[block, :1] / time  # x₀ = √(1/c + ‖x_s‖²) follows the space part
            along = ctx.c * torch.addcmul((pushed * space).sum(1, keepdim=True), lift, length[block])
            pull = columns.total(lift + along)
            torch.addcmul(pushed, pull, space, out=back[block, 1:]).mul_(scale[block])
            torch.mul(along, time, out=back[block, :1]).mul_(-scale[block])
        return back.view(grads[0].shape), None


def to_origin(x: Tensor, base: Tensor, c: float = 1.0) -> Tensor:
    """The isometry that carries ``base`` (d+1,) to the origin, of points x (n, d+1); log₀ of it is `logmap_about`."""
    return from_space(_boosted(x, base, c), c)


def logmap_about(x: Tensor, base: Tensor, c: float = 1.0) -> Tensor:
    """log_base(x) transported from ``base`` (d+1,) to the origin, (n, d); unlike `logmap` smooth where x = base."""
    return radial.of_vector(_boosted(x, base, c), lambda square: _arsinhc(c * square))


def _boosted(x: Tensor, base: Tensor, c: float) -> Tensor:
    """x_s − √c·(x₀ − (x_s·b_s)/(1/√c + b₀))·b_s, the space part of the boost that carries b to the origin."""
    time, space = x.split([1, x.shape[-1] - 1], dim=-1)
    along = columns.total((space * base[1:]).sum(-1, keepdim=True)) / (c**-0.5 + base[0])
    return space - (time - along) * (c**0.5 * base[1:])


def tangent_project(x: Tensor, u: Tensor, c: float = 1.0) -> Tensor:
    """The part of the ambient vector u that is tangent at x: u + c⟨x,u⟩x."""
    return u + c * inner(x, u).unsqueeze(-1) * x


def riemannian_gradient(x: Tensor, gradient: Tensor, c: float = 1.0) -> Tensor:
    """Riemannian from ambient gradient: flip the time coordinate, project onto the tangent space."""
    return tangent_project(x, flip(gradient), c)


def expmap(x: Tensor, u: Tensor, c: float = 1.0, *, max_step: float = float("inf")) -> Tensor:
    """exp_x(u), the step's length limited to ``max_step``; the result is put back onto the hyperboloid."""
    norm = torch.sqrt(inner(u, u).clamp_min(0.0)).unsqueeze(-1)
    step = norm.clamp_max(max_step) * c**0.5
    moved = torch.cosh(step) * x + _sinhc(step.square()) * (step / (norm * c**0.5).clamp_min(1e-15)) * u
    return project(torch.where(norm > 0, moved, x), c)


def logmap(x: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
    """log_x(y): the tangent vector at x that points to y, as long as their distance."""
    direction = tangent_project(x, y - x, c)
    norm = torch.sqrt(inner(direction, direction).clamp_min(1e-30)).unsqueeze(-1)
    return dist(x, y, c).unsqueeze(-1) * direction / norm


def transport(x: Tensor, y: Tensor, u: Tensor, c: float = 1.0) -> Tensor:
    """Parallel transport of u from x to y: u + c⟨y,u⟩/(1−c⟨x,y⟩)·(x+y)."""
    scale = c * inner(y, u) / (1 - c * inner(x, y))
    return u + scale.unsqueeze(-1) * (x + y)


def to_poincare(x: Tensor, c: float = 1.0) -> Tensor:
    """Point (…, d+1) to the ball of radius 1/√c: p = x_s/(1 + √c·x₀)."""
    return x[..., 1:] / (1 + c**0.5 * x[..., :1])


def from_poincare(p: Tensor, c: float = 1.0) -> Tensor:
    """Ball (…, d) to hyperboloid: x_s = 2p/(1 − c‖p‖²)."""
    return from_space(2 * p / (1 - c * columns.total(p.square().sum(-1, keepdim=True))), c)


def to_klein(x: Tensor, c: float = 1.0) -> Tensor:
    """Point (…, d+1) to Klein coordinates x_s/(√c·x₀)."""
    return x[..., 1:] / (c**0.5 * x[..., :1])


def expmap0_with_time(u: Tensor, *, radius: float | None = None) -> Tensor:
    """The published code's exp₀ of ambient vectors (…, d+1) whose time coordinate u₀ need not be 0, c = 1.

    With n = √max(‖u_s‖² − u₀², 1e-9): x_s = sinh(min(n, radius))·u_s/n. A time coordinate therefore lengthens the
    result, past the clamp even. Deviation from geometry kept for ``compat`` only.
    """
    space = u[..., 1:]
    square = (space.square().sum(-1, keepdim=True) - u[..., :1].square()).clamp_min(1e-9)
    norm = torch.sqrt(square)
    limited = norm if radius is None else norm.clamp_max(radius)
    return from_space(torch.sinh(limited) / norm * space)
