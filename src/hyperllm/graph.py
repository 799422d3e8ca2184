"""Graphs and triplets: what every backbone is trained on.

Knows a bipartite-or-richer graph as one normalised sparse operator with its transpose, views of it that lack some
edges, and batches of (anchor, positive, negatives) as node numbers. Does not know what its nodes mean: users and items,
or tags and items. Shapes: n = left + right nodes (left first), d dims, m undirected edges, b batch, q negatives.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from hyperllm.errors import DataError
from hyperllm.ids import Rows, distinct

MOST = 2**31 - 1
"""Stored numbers of an operator that its 32-bit row and column numbers can count."""

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
    """Â = D⁻¹(A + I) over left then right nodes, in CSR, with its transpose and the diagonal ``degree`` (n,) of D.

    ``bipartite`` is False where edges among left nodes were given, be it none.
    """

    left: int
    right: int
    operator: Tensor
    transposed: Tensor
    degree: Tensor
    bipartite: bool = True

    @property
    def nodes(self) -> int:
        """left + right."""
        return self.left + self.right

    def propagate(self, x: Tensor) -> Tensor:
        """Âx for x (n, d)."""
        return self.propagated_sum(x, 1)

    def __matmul__(self, x: Tensor, /) -> Tensor:
        """Âx, so that a graph stands wherever a matrix of weights does."""
        return self.propagate(x)

    def propagated_sum(self, x: Tensor, layers: int) -> Tensor:
        """Âx + Â²x + … + Âᴸx for x (n, d); keeps nothing of size n for the backward pass."""
        return _Propagate.apply(self.operator, self.transposed, x, layers)  # type: ignore[no-any-return]

    @cached_property
    def symmetric(self) -> Graph:
        """D^{-½}AD^{-½} of all edges, without self-loops; made once."""
        return self._view(None)

    def dropped(self, share: float, rng: torch.Generator) -> Graph:
        """D^{-½}AD^{-½}, symmetric and without self-loops, of all but a random ``share`` of the edges of Â.

        round((1−share)·m) edges stay, each in both directions and with its weight; D counts what stays. The row of a
        node left without edges is empty. To be asked of the graph that `of` made, not of a view of it.
        """
        edges = self._edge_count()
        stays = torch.zeros(edges, dtype=torch.bool)
        stays[torch.randperm(edges, generator=rng)[: round((1.0 - share) * edges)]] = True
        return self._view(stays)

    def _edge_count(self) -> int:
        return self._numbered.edges

    def _view(self, stays: Tensor | None) -> Graph:
        """D^{-½}AD^{-½} of the edges that ``stays`` (m,), on the CPU, is set for, or of all."""
        entries = self._entries
        row, column, weight = entries.row, entries.column, self._numbered.weight
        if stays is not None:
            chosen = sent(stays, row.device).index_select(0, self._numbered.number)
            places = torch.nonzero_static(chosen, size=2 * int(stays.sum())).squeeze(1)  # a GPU needn't wait for a size
            row, column, weight = (part.index_select(0, places) for part in (row, column, weight))
        degree = weight.new_zeros(self.nodes, dtype=torch.float64).index_add_(0, row, weight.double())
        operator = csr(row, column, symmetrised(row, column, weight, degree), size=(self.nodes, self.nodes))
        return Graph(self.left, self.right, operator, operator, degree.float(), self.bipartite)

    @cached_property
    def _entries(self) -> Entries:
        return Entries.of(self.operator, self.degree, 0)

    @cached_property
    def _numbered(self) -> _Numbered:
        """An edge has one weight in both directions."""
        row, column, weight = self._entries.row, self._entries.column, self._entries.weight
        first = row < column
        keys = torch.minimum(row, column).long() * self.nodes + torch.maximum(row, column)
        number = torch.searchsorted(keys[first], keys)  # CSR's order is that of the keys
        return _Numbered(number.int(), weight[first].index_select(0, number), int(first.sum()))

    def to(self, device: torch.device) -> Graph:
        """The same graph on another device."""
        moved = (part.to(device) for part in (self.operator, self.transposed, self.degree))
        return Graph(self.left, self.right, *moved, bipartite=self.bipartite)

    @classmethod
    def of(
        cls, left: int, right: int, cross: Rows, *, among_left: Rows | None = None, left_weight: float = 1.0
    ) -> Graph:
        """From edge lists (m, 2) of (left, right) rows, and of (left, left) rows weighted ``left_weight``.

        Every edge is undirected; duplicates count once; every node gets a self-loop of weight 1.
        """
        if among_left is None or not len(among_left):
            return _bipartite(left, right, cross, bipartite=among_left is None)
        edges = Edges(left, right, cross, among_left, left_weight)
        return cls(left, right, *edges.normalised(slice(0, edges.nodes)), bipartite=False)


@dataclass(frozen=True)
class Edges:
    """What `Graph.of` is given."""

    left: int
    right: int
    cross: Rows
    among_left: Rows | None = None
    left_weight: float = 1.0

    @property
    def nodes(self) -> int:
        """left + right."""
        return self.left + self.right

    def normalised(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """These r rows of Â (r, n) in CSR, their transpose (n, r), and their diagonal (r,) of D.

        Holds some 40 bytes a stored number of these rows, whatever the others are.
        """
        matrix = self._entries(self.cross, self.left, rows)
        if self.among_left is not None and len(self.among_left):
            matrix = matrix + self.left_weight * self._entries(self.among_left, 0, rows)
        count = rows.stop - rows.start
        matrix = sparse.csr_matrix(matrix + sparse.eye(count, self.nodes, k=rows.start, format="csr"))
        degree = np.asarray(matrix.sum(axis=1)).ravel()
        operator = sparse.csr_matrix(sparse.diags(1.0 / degree) @ matrix)
        transposed = sparse.csr_matrix(operator.T)
        return _csr(operator), _csr(transposed), torch.from_numpy(degree.astype(np.float32))

    def keys(self) -> Rows:
        """A number (m,) for each distinct edge, row·n + column of its entry above the diagonal, in order."""
        keys = self.cross[:, 0] * self.nodes
        keys += self.cross[:, 1]
        keys += self.left
        if self.among_left is not None and len(self.among_left):
            low, high = self.among_left.min(axis=1), self.among_left.max(axis=1)
            keys = np.concatenate([keys, (low * self.nodes + high)[low < high]])
        return distinct(keys)

    def _entries(self, edges: Rows, offset: int, rows: slice) -> sparse.csr_matrix:
        """Ones where these rows have an edge, in either direction; ``offset`` makes second ends node numbers."""
        first, second = edges[:, 0], edges[:, 1]
        ahead = (first >= rows.start) & (first < rows.stop)
        back = (second >= rows.start - offset) & (second < rows.stop - offset)
        row = np.concatenate([first[ahead], second[back] + offset]) - rows.start
        column = np.concatenate([second[ahead] + offset, first[back]])
        matrix = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(rows.stop - rows.start, self.nodes))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


@dataclass(frozen=True)
class Entries:
    """Entries of A beside its diagonal, in the order of CSR: where (node numbers), and how heavy."""

    row: Tensor
    column: Tensor
    weight: Tensor

    @classmethod
    def of(cls, operator: Tensor, degree: Tensor, first: int) -> Entries:
        """Of rows of Â from ``first`` on, with the ``degree`` (n,) of all nodes."""
        start, column, value = operator.crow_indices(), operator.col_indices(), operator.values()
        rows = torch.arange(first, first + len(operator), device=value.device, dtype=column.dtype)
        row = torch.repeat_interleave(rows, start.diff())
        ends = row != column
        return cls(row[ends], column[ends], (value * degree.index_select(0, row))[ends])


@dataclass(frozen=True)
class _Numbered:
    """Which of all ``edges`` an entry is, and that edge's weight."""

    number: Tensor
    weight: Tensor
    edges: int


def symmetrised(row: Tensor, column: Tensor, weight: Tensor, degree: Tensor) -> Tensor:
    """Entries of D^{-½}AD^{-½} for those of A and D in float64."""
    scale = degree.clamp_min(1e-30).rsqrt().float()
    return weight * scale.index_select(0, row) * scale.index_select(0, column)


def csr(row: Tensor, column: Tensor, value: Tensor, *, size: tuple[int, int]) -> Tensor:
    """A matrix of entries that are in the order of rows."""
    rows = torch.arange(size[0] + 1, dtype=row.dtype, device=row.device)
    return torch.sparse_csr_tensor(torch.searchsorted(row, rows, out_int32=True), column, value, size=size)


def _bipartite(left: int, right: int, cross: Rows, *, bipartite: bool) -> Graph:
    """The graph of cross edges (m, 2) alone, laid out in place: 12 bytes a stored number, and 30 an edge on the way.

    Column numbers are the same in the operator and its transpose, so both share them.
    """
    ones = np.ones(len(cross), dtype=np.int8)
    rows = sparse.csr_matrix((ones, (cross[:, 0], cross[:, 1])), shape=(left, right))
    rows.sum_duplicates()
    columns = rows.tocsc()
    degree = 1 + np.concatenate([np.diff(rows.indptr), np.diff(columns.indptr)]).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(degree)])
    if start[-1] > MOST:
        raise DataError(
            f"{rows.nnz:,} pairs of {left + right:,} nodes make {start[-1]:,} stored numbers; 32 bits count {MOST:,}. "
            "Prepare with a higher --core or --min-rating."
        )
    column = np.empty(start[-1], dtype=np.int32)
    ahead, behind = np.split(column, [start[left]])
    own = np.zeros(len(column), dtype=bool)
    own[start[:left]] = True  # a left node's own number is less than those of its partners,
    own[start[left + 1 :] - 1] = True  # a right node's is more
    column[own] = np.arange(left + right, dtype=np.int32)
    ahead[~own[: len(ahead)]] = rows.indices + np.int32(left)
    behind[~own[len(ahead) :]] = columns.indices
    share = (1.0 / degree).astype(np.float32)
    indices = torch.from_numpy(start.astype(np.int32)), torch.from_numpy(column)
    size = (left + right, left + right)
    operator, transposed = (
        torch.sparse_csr_tensor(*indices, torch.from_numpy(values), size=size)
        for values in (np.repeat(share, degree), share[column])
    )
    sums = torch.from_numpy(degree.astype(np.float32))
    return Graph(left, right, operator, transposed, sums, bipartite=bipartite)


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

    def rows(self, some: slice) -> Triplets:
        """Some of the triplets."""
        return Triplets(self.anchor[some], self.positive[some], self.negative[some])

    def to(self, device: torch.device) -> Triplets:
        """The same triplets on another device."""
        return Triplets(sent(self.anchor, device), sent(self.positive, device), sent(self.negative, device))


def sent(tensor: Tensor | None, device: torch.device) -> Any:
    """A tensor of the CPU on ``device``, without making a GPU's queue wait; None stays None."""
    if tensor is None or tensor.device == device:
        return tensor
    pinned = device.type == "cuda" and tensor.device.type == "cpu"
    return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)
