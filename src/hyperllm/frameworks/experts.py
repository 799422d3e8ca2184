"""Mixture of Experts: text vectors to tangent vectors (Eqs. 8–10).

Shapes: n nodes, d₁ text dims, d tangent dims, K experts. Knows nothing of graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hyperllm.geometry import columns

OUTPUTS, GPU_OUTPUTS = 1 << 18, 1 << 28  # numbers the experts put out at a time


class MixtureOfExperts(nn.Module):
    """x = Σ_k g_k(s)·(W_k s + b_k), g = softmax(W_g s + b_g); dense, all experts in one matrix product.

    Where the columns of x are apart, so are the rows of W_k and b_k that make them; gates are in every process.
    """

    def __init__(self, text_dim: int, dim: int, *, experts: int = 16, generator: torch.Generator) -> None:
        super().__init__()
        self.experts = experts
        bound = text_dim**-0.5

        def uniform(*shape: int) -> Tensor:
            return torch.empty(*shape).uniform_(-bound, bound, generator=generator)

        here = columns.now()
        self.gate_weight = nn.Parameter(uniform(experts, text_dim))
        self.gate_bias = nn.Parameter(uniform(experts))
        weight = here.own(uniform(experts * dim, text_dim).view(experts, dim, text_dim), axis=1)
        self.expert_weight = nn.Parameter(weight.flatten(0, 1))
        self.expert_bias = nn.Parameter(here.own(uniform(experts * dim).view(experts, dim)).flatten())

    def forward(self, s: Tensor) -> Tensor:
        """Text vectors (n, d₁) to tangent vectors (n, d)."""
        gates = torch.softmax(torch.addmm(self.gate_bias, s, self.gate_weight.T), dim=-1)  # Eq. 9
        return _Gated.apply(s, gates, self.expert_weight, self.expert_bias)  # type: ignore[no-any-return]


class _Gated(torch.autograd.Function):
    """Σ_k g_k·(W_k s + b_k), a few rows at a time  # Eqs. 8 and 10

    The experts' outputs (n, K·d) are never held: each block folds its gates in at once, and the backward pass makes
    the block again, which costs less than keeping it.
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(s, gates, weight, bias)
        mixed = s.new_empty(len(s), len(bias) // gates.shape[1])
        for rows, outputs in _blocks(s, gates, weight, bias):
            torch.bmm(gates[rows].unsqueeze(1), outputs, out=mixed[rows].unsqueeze(1))
        return mixed

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        s, gates, weight, bias = ctx.saved_tensors
        grad_s = torch.empty_like(s) if ctx.needs_input_grad[0] else None
        grad_gates, grad_weight, grad_bias = torch.empty_like(gates), torch.zeros_like(weight), torch.zeros_like(bias)
        for rows, outputs in _blocks(s, gates, weight, bias):
            grad = grads[0][rows]
            torch.bmm(outputs, grad.unsqueeze(2), out=grad_gates[rows].unsqueeze(2))
            spread = torch.mul(gates[rows].unsqueeze(2), grad.unsqueeze(1), out=outputs).flatten(1)
            grad_weight.addmm_(spread.T, s[rows])
            grad_bias += spread.sum(0)
            if grad_s is not None:
                torch.mm(spread, weight, out=grad_s[rows])
        return grad_s, grad_gates, grad_weight, grad_bias


def _blocks(s: Tensor, gates: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows and their experts' outputs (rows, K, d), all in one buffer."""
    size = max(1, min(len(s), (GPU_OUTPUTS if s.is_cuda else OUTPUTS * torch.get_num_threads()) // len(bias)))
    buffer, columns = s.new_empty(size, len(bias)), weight.T
    for start in range(0, len(s), size):
        rows = slice(start, min(len(s), start + size))
        outputs = torch.addmm(bias, s[rows], columns, out=buffer[: rows.stop - start])  # Eq. 10
        yield rows, outputs.view(rows.stop - start, gates.shape[1], -1)
