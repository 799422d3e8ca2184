"""Graphs and triplets: what every backbone is trained on.

Knows a bipartite-or-richer graph as one row-normalised sparse operator with its transpose, and batches of
(anchor, positive, negatives) as node numbers. Does not know what its nodes mean: users and items, or tags and items.
Shapes: n = left + right nodes (left first), d dims, b batch, q negatives.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from hyperllm.ids import Rows

warnings.filterwarnings("ignore", message=".*Sparse (CSR|invariant).*")


class _Propagate(torch.autograd.Function):
    """y = Σ_{ℓ=1..L} Âˡx as Â(x + Â(x + …)), with the transposed operator kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, operator: Tensor, transposed: Tensor, x: Tensor, layers: int) -> Tensor:
        ctx.transposed, ctx.layers = transposed, layers
        return _power_sum(operator, x, layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, None]:
        return None, None, _power_sum(ctx.transposed, grads[0], ctx.layers), None


def _power_sum(operator: Tensor, x: Tensor, layers: int) -> Tensor:
    inner = x = x.contiguous()
    for _ in range(layers - 1):
        inner = torch.addmm(x, operator, inner)
    return operator @ inner


@dataclass(frozen=True)
class Graph:
    """Â = D⁻¹(A + I) over left then right nodes, in CSR, with its transpose."""

    left: int
    right: int
    operator: Tensor
    transposed: Tensor

    @property
    def nodes(self) -> int:
        """left + right."""
        return self.left + self.right

    def propagate(self, x: Tensor) -> Tensor:
        """Âx for x (n, d)."""
        return self.propagated_sum(x, 1)

    def propagated_sum(self, x: Tensor, layers: int) -> Tensor:
        """Âx + Â²x + … + Âᴸx for x (n, d); keeps nothing of size n for the backward pass."""
        return _Propagate.apply(self.operator, self.transposed, x, layers)  # type: ignore[no-any-return]

    def to(self, device: torch.device) -> Graph:
        """The same graph on another device."""
        return Graph(self.left, self.right, self.operator.to(device), self.transposed.to(device))

    @classmethod
    def of(
        cls, left: int, right: int, cross: Rows, *, among_left: Rows | None = None, left_weight: float = 1.0
    ) -> Graph:
        """From edge lists (m, 2) of (left, right) rows, and of (left, left) rows weighted ``left_weight``.

        Every edge is undirected; duplicates count once; every node gets a self-loop of weight 1.
        """
        n = left + right
        matrix = _symmetric(cross[:, 0], cross[:, 1] + left, n)
        if among_left is not None and len(among_left):
            matrix = matrix + left_weight * _symmetric(among_left[:, 0], among_left[:, 1], n)
        matrix = sparse.csr_matrix(matrix + sparse.identity(n, format="csr"))
        scale = sparse.diags(1.0 / np.asarray(matrix.sum(axis=1)).ravel())
        operator = sparse.csr_matrix(scale @ matrix)
        return cls(left, right, _csr(operator), _csr(sparse.csr_matrix(operator.T)))


def _symmetric(a: Rows, b: Rows, n: int) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix((np.ones(len(a)), (a, b)), shape=(n, n))
    matrix = matrix + matrix.T
    matrix.data[:] = 1.0
    return sparse.csr_matrix(matrix)


def _csr(matrix: sparse.csr_matrix) -> Tensor:
    matrix.sort_indices()
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int32)),
        torch.from_numpy(matrix.indices.astype(np.int32)),
        torch.from_numpy(matrix.data.astype(np.float32)),
        size=matrix.shape,
    )


@dataclass(frozen=True)
class Triplets:
    """Node numbers: anchor (b,), positive (b,), negative (b, q)."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        return len(self.anchor)

    def to(self, device: torch.device) -> Triplets:
        """The same triplets on another device."""
        return Triplets(sent(self.anchor, device), sent(self.positive, device), sent(self.negative, device))


def sent(tensor: Tensor | None, device: torch.device) -> Any:
    """A tensor of the CPU on ``device``, without making a GPU's queue wait; None stays None."""
    if tensor is None or tensor.device == device:
        return tensor
    pinned = device.type == "cuda" and tensor.device.type == "cpu"
    return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)
