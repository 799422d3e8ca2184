"""InfoNCE on cosines, a block of rows at a time.

Knows unit vectors, which candidate belongs to which row, and how often each counts. Does not know users or items. The
gradient is made along with the value, so nothing larger than a block of rows times the candidates is held. Shapes: m
rows, k candidates, d dims.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

LOGITS, GPU_LOGITS = 1 << 20, 1 << 27  # numbers a block may have


def info_nce(
    rows: Tensor,
    candidates: Tensor,
    own: Tensor,
    *,
    temperature: float,
    weight: Tensor | None = None,
    count: Tensor | None = None,
) -> Tensor:
    """Σ_r weight_r·(−cos(a_r, z_own(r))/τ + log Σ_k count_k·exp(cos(a_r, z_k)/τ)), a scalar.

    ``rows`` (m, d) and ``candidates`` (k, d) need not be of unit length; ``own`` (m,) is each row's own candidate;
    ``weight`` (m,) and ``count`` (k,) say how often a row or candidate stands there, once without. float32 carries
    temperatures down to 0.02.
    """
    weight = rows.new_ones(len(rows)) if weight is None else weight.to(rows.dtype)
    count = rows.new_ones(len(candidates)) if count is None else count.to(rows.dtype)
    unit = normalize(rows, dim=-1), normalize(candidates, dim=-1)
    return _InfoNCE.apply(*unit, own, weight, count, temperature)  # type: ignore[no-any-return]


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, z: Tensor, own: Tensor, weight: Tensor, count: Tensor, temperature: float
    ) -> Tensor:
        a, z, columns = a / temperature, z.contiguous(), z.T.contiguous()
        mine = z.index_select(0, own)
        pull = weight.unsqueeze(1) * mine
        value = -(pull * a).sum()
        grad_a, grad_z = torch.empty_like(a), torch.zeros_like(z)
        size = max(1, (GPU_LOGITS if a.is_cuda else LOGITS) // len(z))
        for block in torch.split(torch.arange(len(a), device=a.device), size):
            span = slice(int(block[0]), int(block[-1]) + 1)
            share = torch.mm(a[span], columns).exp_().mul_(count)  # at most e^(1/τ) times the counts
            total = share.sum(1)
            value = value + (weight[span] * total.log()).sum()
            share *= (weight[span] / total).unsqueeze(1)
            grad_a[span] = share @ z
            grad_z.addmm_(share.T, a[span])
        grad_a -= pull
        grad_z.index_add_(0, own, weight.unsqueeze(1) * a, alpha=-1)
        ctx.save_for_backward(grad_a.div_(temperature), grad_z)
        return value

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None, None]:
        grad_a, grad_z = ctx.saved_tensors
        return grads[0] * grad_a, grads[0] * grad_z, None, None, None, None
