"""The contrastive term that aligns the two views of every item (Eq. 16).

`contrastive` computes value and both gradients in one row-blocked pass: memory is O(block × items), never items².
`contrastive_plain` is its readable twin and test oracle. Knows points only. Shapes: i items, d dims.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hyperllm.geometry import lorentz

BLOCK_BYTES = 2 << 20


def contrastive_plain(a: Tensor, b: Tensor, *, temperature: float, c: float = 1.0) -> Tensor:
    """Σᵢ −log softmaxⱼ(−d²(aᵢ, bⱼ)/τ) at j = i.  # Eq. 16; holds an (i, i) matrix."""
    logits = -lorentz.pairwise_sqdist(a, b, c) / temperature
    return (torch.logsumexp(logits, dim=1) - logits.diagonal()).sum()


def contrastive(a: Tensor, b: Tensor, *, temperature: float, c: float = 1.0, anchors: Tensor | None = None) -> Tensor:
    """Same value as `contrastive_plain`, fused.  # Eq. 16

    ``a``, ``b`` (i, d+1) are the items' points in the two graphs. With ``anchors`` (s,), row numbers without repeats,
    only those rows of ``a`` are summed, against all of ``b``, and the sum is scaled by i/s: an unbiased estimate.
    """
    return _Contrastive.apply(a, b, temperature, c, anchors)  # type: ignore[no-any-return]


class _Contrastive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, temperature: float, c: float, anchors: Tensor | None) -> Tensor:
        rows = a if anchors is None else a.index_select(0, anchors)
        own = torch.arange(len(a), device=a.device) if anchors is None else anchors
        value, grad_rows, grad_b = _blocked(rows, b, own, temperature, c)
        if anchors is not None:
            scale = len(a) / max(1, len(anchors))
            value, grad_b = value * scale, grad_b.mul_(scale)
            grad_rows = torch.zeros_like(a).index_copy_(0, anchors, grad_rows.mul_(scale))
        ctx.save_for_backward(grad_rows, grad_b)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_a, grad_b = ctx.saved_tensors
        return grads[0] * grad_a, grads[0] * grad_b, None, None, None


def _blocked(rows: Tensor, b: Tensor, own: Tensor, temperature: float, c: float) -> tuple[Tensor, Tensor, Tensor]:
    """(value, gradient of rows, gradient of b), one block of rows at a time, in a fixed order.

    With z = −c⟨a,b⟩: d² = arcosh²(z)/c and ∂d²/∂z = 2·arcosh(z)/√(z²−1)/c, whose limit at z = 1 is 2/c.
    """
    n, items = len(rows), len(b)
    left, right = -c * lorentz.flip(rows), -c * lorentz.flip(b)
    columns = b.T.contiguous()
    block = max(1, min(n, BLOCK_BYTES // (4 * items)))
    z, root, far = (b.new_empty(block, items) for _ in range(3))
    value = b.new_zeros((), dtype=torch.float64)
    grad_rows, grad_b = torch.empty_like(rows), torch.zeros_like(b)
    for start in range(0, n, block):
        stop = min(n, start + block)
        u, r, t = z[: stop - start], root[: stop - start], far[: stop - start]
        torch.mm(left[start:stop], columns, out=u)
        u.sub_(1.0).clamp_min_(1e-7)
        torch.add(u, 2.0, out=r).mul_(u).sqrt_()
        torch.add(u, r, out=t).log1p_()  # arcosh(z)
        torch.div(t, r, out=r)  # ∂d²/∂z · c/2
        logits = t.square_().mul_(-1.0 / (temperature * c))
        own_column = own[start:stop].unsqueeze(1)
        positive = logits.gather(1, own_column)
        top = logits.amax(1, keepdim=True)
        weights = logits.sub_(top).exp_()
        total = weights.sum(1, keepdim=True)
        value += (total.log() + top - positive).double().sum()
        slope = r.gather(1, own_column)
        weights.mul_(-2.0 / (temperature * c) / total).mul_(r)
        weights.scatter_add_(1, own_column, slope * (2.0 / (temperature * c)))
        torch.mm(weights, right, out=grad_rows[start:stop])
        grad_b.addmm_(weights.T, left[start:stop])
    return value.to(b.dtype), grad_rows, grad_b
