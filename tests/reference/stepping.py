"""One step of gradient descent on the ranking loss, in float64 by torch's autograd, for an encoder written in torch.

Textbook forms: a dense operator, d² as arcosh². Knows neither graphs nor backbones of the library.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def minkowski(x: Tensor, y: Tensor) -> Tensor:
    return (x[..., 1:] * y[..., 1:]).sum(-1) - x[..., 0] * y[..., 0]


def exponential(v: Tensor) -> Tensor:
    rho = v.norm(dim=-1, keepdim=True)
    return torch.cat([torch.cosh(rho), torch.sinh(rho) / rho * v], dim=-1)


def logarithm(x: Tensor) -> Tensor:
    length = x[..., 1:].norm(dim=-1, keepdim=True)
    return torch.asinh(length) / length * x[..., 1:]


def centroid(operator: Tensor, x: Tensor) -> Tensor:
    summed = operator @ x
    return summed / torch.sqrt(-minkowski(summed, summed)).unsqueeze(-1)


def loss_of(points: Tensor, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Σ max(d²(a,p) − d²(a,n) + margin, 0) for negatives (b, q)."""
    near = torch.acosh(-minkowski(points[anchor], points[positive])).square()
    far = torch.acosh(-minkowski(points[anchor].unsqueeze(1), points[negative])).square()
    return (near.unsqueeze(1) - far + margin).clamp_min(0.0).sum()


def stepped(x: Tensor, loss: Callable[[Tensor], Tensor], rate: float) -> Tensor:
    """x − rate·∂loss/∂x."""
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return leaf.detach() - rate * gradient
