"""The input seam: where node features come from.

A `NodeTable` is free vectors; `SemanticInputs` is a Mixture of Experts over frozen or trainable text vectors. Both
return tangent vectors at the origin (n, d) and know no graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.geometry import columns
from hyperllm.geometry.manifold import Lorentz, ManifoldParameter

_ROWS = 1 << 16  # drawn at a time, so that no process holds all columns of a large table


class NodeTable(nn.Module):
    """One free vector a node, stored as a tangent vector (``tangent``) or as a point (``manifold``)."""

    def __init__(self, start: Tensor, *, manifold: bool = False) -> None:
        super().__init__()
        self.lorentz = Lorentz()
        points = self.lorentz.expmap0(start) if manifold else start.clone()
        self.weight = ManifoldParameter(points, self.lorentz) if manifold else nn.Parameter(points)

    def forward(self) -> Tensor:
        """Tangent vectors (n, d)."""
        if isinstance(self.weight, ManifoldParameter):
            return self.lorentz.logmap0(self.weight)
        return self.weight


class SemanticInputs(nn.Module):
    """Experts over text vectors (n, d₁); the vectors themselves train only when asked."""

    vectors: Tensor

    def __init__(self, experts: MixtureOfExperts, vectors: Tensor, *, trainable: bool = False) -> None:
        super().__init__()
        self.experts = experts
        if trainable:
            self.vectors = nn.Parameter(vectors.clone())
        else:  # made again from the text vectors, so checkpoints need not hold it
            self.register_buffer("vectors", vectors, persistent=False)

    def forward(self) -> Tensor:
        """Tangent vectors (n, d)."""
        return self.experts(self.vectors)


def uniform_start(nodes: int, dim: int, *, scale: float, generator: torch.Generator) -> Tensor:
    """Tangent vectors with coordinates from U(−scale, scale); of ``dim`` columns those that are here."""

    def drawn(rows: int) -> Tensor:
        return columns.now().own(torch.empty(rows, dim).uniform_(-scale, scale, generator=generator))

    starts = range(0, nodes, _ROWS)
    return torch.cat([drawn(min(_ROWS, nodes - at)) for at in starts]) if len(starts) > 1 else drawn(nodes)
