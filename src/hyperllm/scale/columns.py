"""Columns of vectors that several processes share out, and the sums that make them one.

Knows process groups: which columns are whose, how parts are added up and put together, and how many bytes that took.
Does not know tables, losses or files. Of p processes, f share out the columns (`Grid.columns`), and p/f such crews
(`Grid.replicas`) have the same columns and share out the batches.

A collective call is counted by the bytes of the tensor that a process hands over. On a ring of f processes a sum then
sends 2(f−1)/f times as many, a gathering f−1 times.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from hyperllm.errors import ConfigError
from hyperllm.geometry.columns import Columns

ROWS = 1 << 16  # rows that are put together at a time
_TINY = 1e-30  # squared length from which on a length has a slope


@dataclass
class Traffic:
    """Calls, and bytes handed over in them, by kind: ``sum``, ``gather``, ``rows``, ``tell``."""

    calls: Counter[str] = field(default_factory=Counter)
    payload_bytes: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, tensor: Tensor) -> None:
        """One call."""
        self.calls[kind] += 1
        self.payload_bytes[kind] += tensor.numel() * tensor.element_size()


class Pending(Protocol):
    """A message on its way."""

    def wait(self) -> object:
        """Until it is here."""
        ...


@dataclass(frozen=True, eq=False)
class Group:
    """Some processes, which call the same functions in the same order; ``rank`` is this one's place among them."""

    group: Any
    rank: int
    size: int
    device: torch.device
    traffic: Traffic

    def sum_(self, part: Tensor) -> Tensor:
        """The sum over all of them, in place."""
        if self.size > 1:
            self.traffic.count("sum", part)
            dense = part.contiguous()
            dist.all_reduce(dense, group=self.group)
            if dense is not part:
                part.copy_(dense)
        return part

    def any(self, flag: bool) -> bool:
        """Whether it is set in any of them."""
        found = torch.tensor([float(flag)], device=self.device)
        self.traffic.count("sum", found)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.group)
        return bool(found)

    def all(self, part: Tensor) -> list[Tensor]:
        """The parts of all, of one shape."""
        self.traffic.count("gather", part)
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part, group=self.group)
        return parts

    def at(self, owner: int, part: Tensor) -> list[Tensor]:
        """The parts of all, of one shape, in the process ``owner``; elsewhere nothing."""
        self.traffic.count("gather", part)
        parts = [torch.empty_like(part) for _ in range(self.size)] if self.rank == owner else None
        dist.gather(part, parts, group=self.group, group_dst=owner)
        return parts or []

    def spread_(self, whole: Tensor, rows: Sequence[slice]) -> list[Pending]:
        """Start to bring ``rows[r]`` of ``whole`` (n, …), which process r has, to all of them."""
        self.traffic.count("rows", whole[rows[self.rank]])
        return self._each(dist.broadcast, "group_src", whole, rows)

    def collect_(self, whole: Tensor, rows: Sequence[slice]) -> list[Pending]:
        """Start to add up ``rows[r]`` of all in process r; what is left of them elsewhere means nothing."""
        for r, part in enumerate(rows):
            if r != self.rank:
                self.traffic.count("rows", whole[part])
        return self._each(dist.reduce, "group_dst", whole, rows)

    def _each(self, call: Any, place: str, whole: Tensor, rows: Sequence[slice]) -> list[Pending]:
        parts = [(r, whole[part]) for r, part in enumerate(rows) if part.stop > part.start]
        return [call(part, group=self.group, async_op=True, **{place: r}) for r, part in parts]

    def tell(self, value: Any) -> Any:
        """The first process's ``value``, which JSON can hold, in all of them."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(self.device)
        size = torch.tensor([len(text)], device=self.device)
        dist.broadcast(size, group=self.group, group_src=0)
        text = text if self.rank == 0 else torch.empty(int(size), dtype=torch.uint8, device=self.device)
        self.traffic.count("tell", text)
        dist.broadcast(text, group=self.group, group_src=0)
        return json.loads(bytes(text.cpu().tolist()))


@dataclass(frozen=True)
class Grid:
    """Where this process stands: ``columns`` are those it shares columns with, ``replicas`` those with the same ones.

    Process r of p, with f to a crew, is the (r mod f)-th of its crew, and the crew is number r div f.
    """

    world: Group
    columns: Group
    replicas: Group

    @classmethod
    def of(cls, replicas: int, device: torch.device) -> Grid:
        """Of all processes of this start of torch.distributed, as so many crews."""
        rank, size, traffic = dist.get_rank(), dist.get_world_size(), Traffic()
        crew = crew_size(size, replicas)

        def joined(members: Sequence[Sequence[int]], place: int) -> Group:
            made = [dist.new_group(list(ranks)) for ranks in members]  # every process must make every group
            mine = next(n for n, ranks in enumerate(members) if rank in ranks)
            return Group(made[mine], place, len(members[mine]), device, traffic)

        rows = [range(first, first + crew) for first in range(0, size, crew)]
        files = [range(first, size, crew) for first in range(crew)]
        world = Group(dist.group.WORLD, rank, size, device, traffic)
        return cls(world, joined(rows, rank % crew), joined(files, rank // crew))

    @property
    def traffic(self) -> Traffic:
        """Of all its groups."""
        return self.world.traffic


def crew_size(processes: int, replicas: int) -> int:
    """How many of the processes are one replica; raises `ConfigError` where it would not be the same in all."""
    if replicas < 1 or processes % replicas:
        raise ConfigError(f"{processes} processes cannot be {replicas} replicas of equal size; choose a divisor")
    return processes // replicas


def bounds(count: int, parts: int) -> list[slice]:
    """``count`` things in ``parts`` consecutive parts whose sizes differ by one at most, larger ones first."""
    small, more = divmod(count, parts)
    starts = [n * small + min(n, more) for n in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(starts)]


class _Sum(torch.autograd.Function):
    """Σ over processes of each one's part; what the copies of the sum are charged with adds up alike."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.sum_(part.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.group.sum_(grads[0].clone(memory_format=torch.contiguous_format)), None


class SpreadColumns(Columns):
    """The columns of a crew."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.group = grid, grid.columns

    @property
    def apart(self) -> bool:
        """They are."""
        return True

    def totals(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """One message for all of them."""
        if len(parts) == 1:
            return (_Sum.apply(parts[0], self.group),)
        return _Sum.apply(torch.stack(parts), self.group).unbind(0)

    def total_(self, part: Tensor) -> Tensor:
        """One message."""
        return self.group.sum_(part)

    def agreed(self, flags: Tensor) -> bool:
        """Processors of different kinds round differently, so nobody decides alone."""
        return self.group.any(bool(flags.any()))

    def squares(self, v: Tensor) -> Tensor:
        """‖v‖²."""
        return self.totals(v.square().sum(1, keepdim=True))[0]

    def lengths(self, v: Tensor) -> Tensor:
        """√(‖v‖² + tiny), with slope 0 at 0."""
        return self.totals(v.square().sum(-1))[0].clamp_min(_TINY).sqrt()

    def once(self, points: Tensor) -> Tensor:
        """The first process has the time coordinate."""
        if self.group.rank == 0:
            return points
        return torch.cat([torch.zeros_like(points[..., :1]), points[..., 1:]], dim=-1)

    def own(self, whole: Tensor, axis: int = -1) -> Tensor:
        """A consecutive part, of a size that differs by one at most."""
        mine = bounds(whole.shape[axis], self.group.size)[self.group.rank]
        return whole.narrow(axis, mine.start, mine.stop - mine.start).contiguous()

    def width(self, own: int) -> int:
        """By asking the others."""
        return int(self.group.sum_(torch.tensor([own], device=self.group.device)))

    def share(self, count: int) -> slice:
        """A consecutive part for each replica."""
        return bounds(count, self.grid.replicas.size)[self.grid.replicas.rank]

    def over_batch(self, part: Tensor) -> Tensor:
        """Over replicas."""
        return _Sum.apply(part, self.grid.replicas) if self.grid.replicas.size > 1 else part

    def dealt(self, rows: Tensor, *, lead: int) -> tuple[slice, Tensor]:
        """A consecutive part for each, those of a replica one behind the other."""
        parts, widths = self._dealt(len(rows))[self.grid.replicas.rank], self._widths(rows.shape[1] - lead)
        mine = [self._blocks(rows[part], lead, owner, widths) for owner, part in enumerate(parts)]
        return parts[self.group.rank], mine[self.group.rank]

    def whole(self, rows: Tensor, *, lead: int) -> Tensor:
        """By all."""
        return self.put_together(rows, lead=lead, owner=None)

    def collected(self, rows: Tensor, count: int) -> Tensor:
        """Row numbers, of which 32 bits are sent."""
        parts = [part for of_replica in self._dealt(count) for part in of_replica]
        sent = rows.new_zeros(parts[0].stop, rows.shape[1], dtype=torch.int32)
        sent[: len(rows)] = rows
        found = zip(self.grid.world.all(sent), parts, strict=True)
        return torch.cat([part[: of.stop - of.start] for part, of in found]).long()

    def put_together(self, rows: Tensor, *, lead: int, owner: int | None) -> Tensor:
        """Rows (n, lead + d, …) with the columns of all, in the process ``owner`` or, without one, in each of them.

        Elsewhere nothing, (0, lead + d, …). Columns are padded to equal numbers on their way.
        """
        return self._blocks(rows, lead, owner, self._widths(rows.shape[1] - lead))

    def _dealt(self, count: int) -> list[list[slice]]:
        """Of each process of each replica."""
        whole = bounds(count, self.grid.replicas.size)
        within = [bounds(part.stop - part.start, self.group.size) for part in whole]
        return [
            [slice(at.start + p.start, at.start + p.stop) for p in parts]
            for at, parts in zip(whole, within, strict=True)
        ]

    def _widths(self, own: int) -> list[int]:
        return [part.stop - part.start for part in bounds(self.width(own), self.group.size)]

    def _blocks(self, rows: Tensor, lead: int, owner: int | None, widths: Sequence[int]) -> Tensor:
        starts = range(0, max(1, len(rows)), ROWS)
        blocks = [self._block(rows[at : at + ROWS], lead, owner, widths) for at in starts]
        return torch.cat(blocks) if len(blocks) > 1 else blocks[0]

    def _block(self, rows: Tensor, lead: int, owner: int | None, widths: Sequence[int]) -> Tensor:
        own = rows.shape[1] - lead
        sent = torch.zeros(len(rows), widths[0], *rows.shape[2:], dtype=rows.dtype, device=self.group.device)
        sent[:, :own] = rows[:, lead:]
        parts = self.group.all(sent) if owner is None else self.group.at(owner, sent)
        if not parts:
            return rows.new_empty(0, lead + sum(widths), *rows.shape[2:])
        found = [part[:, :width].to(rows.device) for part, width in zip(parts, widths, strict=True)]
        return torch.cat([rows[:, :lead], *found], dim=1)
