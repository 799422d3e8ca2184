"""A graph whose rows several processes share out, where it is too big for one of them.

Every process has all nodes' vectors, and r of the n rows of Â. Rows of a product are made where their entries are, and
brought to the others while further columns are multiplied; the backward pass adds up the gradients of rows where they
live, and multiplies them by these rows' transpose. A process is charged with its own use of a number, as everywhere
(`hyperllm.geometry.columns`), so what comes back from the transpose is its part of the whole as it stands. Knows how
rows are cut, sent and multiplied. Does not know losses or tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hyperllm.errors import DataError
from hyperllm.graph import MOST, Edges, Entries, Graph, csr, sent, symmetrised
from hyperllm.ids import Rows
from hyperllm.scale.columns import Group, Pending

AT_ONCE, COLUMNS = 4, 8
"""The columns of vectors go through a product in so many parts, of so many columns at least, one behind the other."""
Product: TypeAlias = Generator[Sequence[Pending], None, Tensor]


@dataclass(frozen=True, kw_only=True)
class SharedGraph(Graph):
    """A `Graph` with this process's rows: ``operator`` (r, n), ``transposed`` (n, r), and ``degree`` (n,) of all.

    ``rows`` are those of each process of ``group``, one behind the other, with about as many stored numbers each; all
    processes call the same methods in the same order.
    """

    group: Group
    rows: tuple[slice, ...]
    edges: Edges

    @classmethod
    def shared(
        cls,
        group: Group,
        left: int,
        right: int,
        cross: Rows,
        *,
        among_left: Rows | None = None,
        left_weight: float = 1.0,
    ) -> Graph:
        """The graph of `Graph.of`, of which nobody holds more than its rows; all of it where the group is one process.

        Raises `DataError` where a process's rows have more stored numbers than 32 bits count.
        """
        if group.size == 1:
            return Graph.of(left, right, cross, among_left=among_left, left_weight=left_weight)
        edges = Edges(left, right, cross, among_left, left_weight)
        rows = cut(edges, group.size)
        operator, transposed, degree = edges.normalised(rows[group.rank])
        return cls(
            left,
            right,
            operator,
            transposed,
            _of_all(degree, group, rows),
            bipartite=among_left is None,
            group=group,
            rows=rows,
            edges=edges,
        )

    @property
    def own(self) -> slice:
        """The rows of this process."""
        return self.rows[self.group.rank]

    def propagated_sum(self, x: Tensor, layers: int) -> Tensor:
        """Âx + … + Âᴸx for x (n, d), all rows of it."""
        return _Propagate.apply(self, x, layers)  # type: ignore[no-any-return]

    def to(self, device: torch.device) -> Graph:
        """The same rows on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("operator", "transposed", "degree")}
        return replace(self, **moved)

    def power_sum(self, x: Tensor, layers: int) -> Product:
        """Âx + … + Âᴸx of some columns, up to each message."""
        inner = x
        for more in reversed(range(layers)):
            whole = torch.empty_like(x)
            whole[self.own] = torch.addmm(x[self.own], self.operator, inner) if more else self.operator @ inner
            yield self.group.spread_(whole, self.rows)
            inner = whole
        return inner

    def power_sum_back(self, charge: Tensor, layers: int) -> Product:
        """This process's part of Âᵀg + … + (Âᵀ)ᴸg, where the parts of all, such as ``charge``, add up to g."""
        inner = charge.clone()
        for more in reversed(range(layers)):
            yield self.group.collect_(inner, self.rows)
            own = inner[self.own]
            inner = torch.addmm(charge, self.transposed, own) if more else self.transposed @ own
        return inner

    def _view(self, stays: Tensor | None) -> Graph:
        entries, here = self._entries, self.own
        chosen = torch.ones_like(entries.row, dtype=torch.bool)
        if stays is not None:
            chosen = sent(stays, chosen.device).index_select(0, self._number)
        row, column, weight = (part[chosen] for part in (entries.row, entries.column, entries.weight))
        sums = weight.new_zeros(here.stop - here.start, dtype=torch.float64)
        degree = _of_all(sums.index_add_(0, row - here.start, weight.double()), self.group, self.rows)
        value = symmetrised(row, column, weight, degree)
        turned = (chosen.cumsum(0) - 1)[self._turn[chosen[self._turn]]]
        row, count = row - here.start, here.stop - here.start
        operator = csr(row, column, value, size=(count, self.nodes))
        transposed = csr(column[turned], row[turned], value[turned], size=(self.nodes, count))
        return replace(self, operator=operator, transposed=transposed, degree=degree.float())

    def _edge_count(self) -> int:
        return len(self._keys)

    @cached_property
    def _entries(self) -> Entries:
        return Entries.of(self.operator, self.degree, self.own.start)

    @cached_property
    def _turn(self) -> Tensor:
        """Own entries in the order of columns."""
        return torch.argsort(self._entries.column, stable=True)

    @cached_property
    def _keys(self) -> Tensor:
        """Of all edges in order, one number each."""
        return torch.from_numpy(self.edges.keys())

    @cached_property
    def _number(self) -> Tensor:
        """Which of all edges an own entry is."""
        row, column = self._entries.row.long(), self._entries.column.long()
        keys = torch.minimum(row, column) * self.nodes + torch.maximum(row, column)
        return torch.searchsorted(self._keys, keys.cpu(), out_int32=len(self._keys) <= MOST).to(row.device)


class _Propagate(torch.autograd.Function):
    """`SharedGraph.power_sum` and its gradient, some columns at a time."""

    @staticmethod
    def forward(ctx: Any, graph: SharedGraph, x: Tensor, layers: int) -> Tensor:
        ctx.graph, ctx.layers = graph, layers
        return _in_parts(partial(graph.power_sum, layers=layers), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        return None, _in_parts(partial(ctx.graph.power_sum_back, layers=ctx.layers), grads[0]), None


def _in_parts(product: Any, x: Tensor) -> Tensor:
    """Each part of the columns works while the messages of the others are on their way."""
    parts = x.chunk(max(1, min(AT_ONCE, x.shape[1] // COLUMNS)), dim=1)
    works = [product(part.contiguous()) for part in parts]
    found: dict[int, Tensor] = {}
    ahead: deque[tuple[int, Sequence[Pending]]] = deque((n, ()) for n in range(len(works)))
    while ahead:
        number, messages = ahead.popleft()
        for message in messages:
            message.wait()
        try:
            ahead.append((number, next(works[number])))
        except StopIteration as done:
            found[number] = done.value
    return torch.cat([found[n] for n in range(len(works))], dim=1) if len(works) > 1 else found[0]


def cut(edges: Edges, parts: int) -> tuple[slice, ...]:
    """Consecutive rows for each, with about as many stored numbers; the same everywhere."""
    ends = [edges.cross[:, 0], edges.cross[:, 1] + edges.left]
    if edges.among_left is not None:
        ends += [edges.among_left[:, 0], edges.among_left[:, 1]]
    stored = 1 + sum(np.bincount(end, minlength=edges.nodes) for end in ends)
    upto = np.cumsum(stored)
    cuts = np.searchsorted(upto, upto[-1] * np.arange(1, parts) / parts).tolist()
    most = np.diff(np.append(0, upto)[[0, *cuts, edges.nodes]]).max()
    if most > MOST:
        raise DataError(f"rows of one process have {most:,} stored numbers; 32 bits count {MOST:,}. Use more replicas.")
    return tuple(slice(*ends) for ends in pairwise([0, *cuts, edges.nodes]))


def _of_all(own: Tensor, group: Group, rows: Sequence[slice]) -> Tensor:
    """A number a node, of which this process has those of its rows."""
    whole = own.new_zeros(rows[-1].stop, device=group.device)
    whole[rows[group.rank]] = own.to(group.device)
    for message in group.spread_(whole, rows):
        message.wait()
    return whole.to(own.device)
