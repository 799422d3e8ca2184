"""Mixture of Experts: text vectors to tangent vectors (Eqs. 8–10).

Shapes: n nodes, d₁ text dims, d tangent dims, K experts. Knows nothing of graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MixtureOfExperts(nn.Module):
    """x = Σ_k g_k(s)·(W_k s + b_k), g = softmax(W_g s + b_g); dense, all experts in one matrix product."""

    def __init__(self, text_dim: int, dim: int, *, experts: int = 16, generator: torch.Generator) -> None:
        super().__init__()
        self.experts = experts
        bound = text_dim**-0.5

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

        self.gate_weight = uniform(experts, text_dim)
        self.gate_bias = uniform(experts)
        self.expert_weight = uniform(experts * dim, text_dim)
        self.expert_bias = uniform(experts * dim)

    def forward(self, s: Tensor) -> Tensor:
        """Text vectors (n, d₁) to tangent vectors (n, d)."""
        gates = torch.softmax(s @ self.gate_weight.T + self.gate_bias, dim=-1)  # Eq. 9
        outputs = torch.addmm(self.expert_bias, s, self.expert_weight.T)  # Eq. 10
        return torch.einsum("nk,nkd->nd", gates, outputs.view(len(s), self.experts, -1))  # Eq. 8
