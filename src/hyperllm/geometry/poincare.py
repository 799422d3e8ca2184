"""The Poincaré ball as pure functions.

A point is ``(…, d)`` with ‖p‖² < 1/c. A tangent vector at the origin has the geodesic radius as its norm, as in the
Lorentz model (so the conformal factor 2 at the origin is inside these functions). Whatever needs many pairs goes
through the isometry to the hyperboloid, where it is one matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hyperllm.geometry import lorentz


def project(p: Tensor, c: float = 1.0, *, eps: float = 4e-6) -> Tensor:
    """Back into the ball of Eq. 3: ‖p‖ ≤ (1 − eps)/√c."""
    norm = torch.sqrt(p.square().sum(-1, keepdim=True).clamp_min(1e-30))
    return p * ((1 - eps) / c**0.5 / norm).clamp_max(1.0)


def expmap0(v: Tensor, c: float = 1.0) -> Tensor:
    """exp₀(v) = tanh(√c‖v‖/2)/(√c‖v‖)·v."""
    return lorentz.to_poincare(lorentz.expmap0(v, c), c)


def logmap0(p: Tensor, c: float = 1.0) -> Tensor:
    """log₀(p) = 2·artanh(√c‖p‖)/(√c‖p‖)·p."""
    return lorentz.logmap0(lorentz.from_poincare(p, c), c)


def mobius_add(p: Tensor, r: Tensor, c: float = 1.0) -> Tensor:
    """p ⊕ r."""
    pr = (p * r).sum(-1, keepdim=True)
    pp, rr = p.square().sum(-1, keepdim=True), r.square().sum(-1, keepdim=True)
    return ((1 + 2 * c * pr + c * rr) * p + (1 - c * pp) * r) / (1 + 2 * c * pr + c * c * pp * rr)


def sqdist(p: Tensor, r: Tensor, c: float = 1.0) -> Tensor:
    """Squared geodesic distance, row by row (Eq. 5): φ of q = 4‖p−r‖²/((1−c‖p‖²)(1−c‖r‖²))."""
    gap = (p - r).square().sum(-1)
    scale = (1 - c * p.square().sum(-1)) * (1 - c * r.square().sum(-1))
    return lorentz.sqdist_from_separation(4 * gap / scale, c)


def dist(p: Tensor, r: Tensor, c: float = 1.0) -> Tensor:
    """Geodesic distance, row by row (Eq. 5)."""
    return lorentz.dist(lorentz.from_poincare(p, c), lorentz.from_poincare(r, c), c)


def gyromidpoint(weights: Tensor, p: Tensor, c: float = 1.0) -> Tensor:
    """Weighted Möbius gyromidpoint of rows, through the Lorentz centroid: never a (n, m, d) tensor."""
    return lorentz.to_poincare(lorentz.centroid(weights, lorentz.from_poincare(p, c), c), c)


def riemannian_gradient(p: Tensor, gradient: Tensor, c: float = 1.0) -> Tensor:
    """((1 − c‖p‖²)/2)² times the ambient gradient."""
    return ((1 - c * p.square().sum(-1, keepdim=True)) / 2).square() * gradient


def expmap(p: Tensor, u: Tensor, c: float = 1.0, *, max_step: float = float("inf")) -> Tensor:
    """exp_p(u) = p ⊕ tanh(√c·λ_p‖u‖/2)·u/(√c‖u‖), the geodesic length λ_p‖u‖ limited to ``max_step``."""
    norm = torch.sqrt(u.square().sum(-1, keepdim=True).clamp_min(1e-30))
    length = (2 / (1 - c * p.square().sum(-1, keepdim=True)) * norm).clamp_max(max_step)
    return project(mobius_add(p, torch.tanh(c**0.5 * length / 2) * u / (c**0.5 * norm), c), c)


def transport(p: Tensor, r: Tensor, u: Tensor, c: float = 1.0) -> Tensor:
    """Parallel transport of u from p to r: (λ_p/λ_r)·gyr[r, −p]u."""
    ratio = (1 - c * r.square().sum(-1, keepdim=True)) / (1 - c * p.square().sum(-1, keepdim=True))
    return ratio * _gyration(r, -p, u, c)


def _gyration(p: Tensor, r: Tensor, u: Tensor, c: float) -> Tensor:
    """gyr[p, r]u in closed form, linear in u."""
    up, ur = (u * p).sum(-1, keepdim=True), (u * r).sum(-1, keepdim=True)
    pr = (p * r).sum(-1, keepdim=True)
    pp, rr = p.square().sum(-1, keepdim=True), r.square().sum(-1, keepdim=True)
    a = -c * c * up * rr + c * ur + 2 * c * c * pr * ur
    b = -c * c * ur * pp - c * up
    return u + 2 * (a * p + b * r) / (1 + 2 * c * pr + c * c * pp * rr)
