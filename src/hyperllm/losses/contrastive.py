"""The contrastive term that aligns the two views of every item (Eq. 16).

`contrastive` computes value and both gradients in one row-blocked pass: memory is O(block × items), never items².
`contrastive_plain` is its readable twin and test oracle, `contrastive_flat` the same term in Euclidean space. Knows
points only. Shapes: s items, d dims.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hyperllm.errors import ConfigError, MisalignedArrays
from hyperllm.geometry import columns, lorentz

logger = logging.getLogger(__name__)

TILE = (256, 768)  # rows and columns whose few buffers stay in a core's cache
HELD_PAIRS = 1 << 24  # most pairs whose weights a CPU holds
GPU_PAIRS = 1 << 26  # the same where a GPU has no kernel of its own
_NEAREST = {torch.float32: 1e-7, torch.float64: 1e-14}  # z − 1 is kept this far from 0, where arcosh has no slope
_DEEPEST = -60.0  # exp of a logit above this keeps all its digits in float32


def contrastive_plain(
    a: Tensor, b: Tensor, *, temperature: float, c: float = 1.0, population: int | None = None
) -> Tensor:
    """Σᵢ −log softmaxⱼ(−d²(aᵢ, bⱼ)/τ) at j = i.  # Eq. 16; holds an (s, s) matrix."""
    logits = -lorentz.pairwise_sqdist(a, b, c) / temperature
    crowd, rows = _scales(len(a), population)
    others = logits + math.log(crowd) * (1 - torch.eye(len(a), dtype=a.dtype, device=a.device))
    return rows * (torch.logsumexp(others, dim=1) - logits.diagonal()).sum()


def contrastive(a: Tensor, b: Tensor, *, temperature: float, c: float = 1.0, population: int | None = None) -> Tensor:
    """Same value as `contrastive_plain`, fused.  # Eq. 16

    ``a``, ``b`` (s, d+1) are the items' points in the two graphs, row by row the same item. With ``population`` they
    are a uniform sample of that many items: each row's sum over the other s−1 items is scaled by
    (population−1)/(s−1), which makes it unbiased, and the sum over rows by population/s. The logarithm of the former
    leaves a bias of order 1/s; a sample of everything is exact. Raises `MisalignedArrays` on views of unequal size and
    `ConfigError` on a population smaller than the sample.
    """
    _check(a, b, population)
    here = columns.now()
    value = _Contrastive.apply(here.once(a), here.once(b), temperature, c, population)
    return here.over_batch(value)  # type: ignore[arg-type]


def contrastive_flat(a: Tensor, b: Tensor, *, temperature: float, population: int | None = None) -> Tensor:
    """Eq. 16 with the Euclidean distances of vectors ``a``, ``b`` (s, d), in blocks of rows that are made twice."""
    _check(a, b, population)
    crowd, rows = _scales(len(a), population)
    height = max(1, HELD_PAIRS // max(1, len(a)))
    parts = [
        checkpoint(_flat_rows, a[block], b, block.start, temperature, math.log(crowd), use_reentrant=False)
        for block in _blocks(len(a), height)
    ]
    return rows * columns.now().over_batch(torch.stack(parts).sum() if parts else 0.0 * a.sum())


def _flat_rows(a: Tensor, b: Tensor, start: int, temperature: float, crowd: float) -> Tensor:
    squares = columns.total(a.square().sum(1, keepdim=True) - 2 * a @ b.T + b.square().sum(1))
    own = -columns.total((a - b[start : start + len(a)]).square().sum(1)) / temperature
    mine = torch.zeros_like(squares, dtype=torch.bool)
    mine.diagonal(start).fill_(True)
    logits = torch.where(mine, own.unsqueeze(1), crowd - squares.clamp_min(0.0) / temperature)
    return (torch.logsumexp(logits, dim=1) - own).sum()


def _blocks(count: int, height: int) -> list[slice]:
    """This process's share of the rows, ``height`` of them at a time."""
    mine = columns.now().share(count)
    return [slice(at, min(mine.stop, at + height)) for at in range(mine.start, mine.stop, max(1, height))]


def _check(a: Tensor, b: Tensor, population: int | None) -> None:
    if a.shape != b.shape:
        raise MisalignedArrays(f"the two views have shapes {tuple(a.shape)} and {tuple(b.shape)}; expected equal ones")
    if population is not None and population < len(a):
        raise ConfigError(f"{len(a):,} items cannot be a sample of {population:,}")


def _scales(size: int, population: int | None) -> tuple[float, float]:
    """(factor of a row's other items, factor of the sum over rows)."""
    whole = size if population is None else population
    return max(1, whole - 1) / max(1, size - 1), whole / max(1, size)


class _Contrastive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, temperature: float, c: float, population: int | None) -> Tensor:
        crowd, rows = _scales(len(a), population)
        fused = _gpu_kernels(a.device, a.shape[1]) if _suits_gpu_kernels(a) else blocked
        value, grad_a, grad_b = fused(a, b, temperature=temperature, c=c, crowd=crowd)
        ctx.save_for_backward(grad_a, grad_b)
        ctx.rows = rows
        return rows * value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_a, grad_b = ctx.saved_tensors
        scale = ctx.rows * columns.total(grads[0])  # every process's distances are made of these columns
        return scale * grad_a, scale * grad_b, None, None, None


def _suits_gpu_kernels(a: Tensor) -> bool:
    return a.is_cuda and a.dtype == torch.float32 and not columns.now().apart


@cache
def _gpu_kernels(device: torch.device, d: int) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The fused kernels where they can be built and fit the chip, tried once; `blocked` elsewhere."""
    try:
        from hyperllm.losses.contrastive_triton import fused  # needs triton, and triton a C compiler

        probe = lorentz.from_space(torch.zeros(2, d - 1, device=device))
        fused(probe, probe, temperature=1.0, c=1.0, crowd=1.0)
    except Exception as error:  # whatever keeps triton from working here, there is another way
        logger.warning("the contrastive term runs without its GPU kernels: %r", error)
        return blocked
    return fused


def blocked(a: Tensor, b: Tensor, *, temperature: float, c: float, crowd: float) -> tuple[Tensor, Tensor, Tensor]:
    """(value, gradient of a, gradient of b), one block of rows at a time, in a fixed order for a number of threads.

    ``crowd`` multiplies the weight of the items beside a row's own. Each of torch's threads takes blocks of its own,
    which costs less than to split every operation on a tile among them.
    """
    n, here = len(a), columns.now()
    left, right, others = -c * lorentz.flip(a), -c * lorentz.flip(b), b.T.contiguous()
    distance, slope = _arcosh(here.total_((left * b).sum(1)), a.new_empty(n))
    height, width = _block(a)
    rows = _blocks(n, height)
    tiles = [slice(first, min(n, first + width)) for first in range(0, n, max(1, width))]
    grad_a = torch.zeros_like(a)
    work = _Rows(left, right, others, distance, slope, grad_a, tiles, 1.0 / (temperature * c), crowd)
    workers = 1 if a.is_cuda or here.apart else max(1, min(torch.get_num_threads(), len(rows)))
    if workers == 1:
        value, grad_b = work.run(rows, height)
    else:
        size = -(-len(rows) // workers)
        shares = [rows[first : first + size] for first in range(0, len(rows), size)]
        done = list(_threads(workers).map(lambda share: work.run(share, height), shares))
        value, grad_b = (torch.stack(parts).sum(0) for parts in zip(*done, strict=True))
    return value.to(a.dtype), grad_a, grad_b


@cache
def _threads(workers: int) -> ThreadPoolExecutor:
    """Threads in which an operation of torch is not split further."""
    return ThreadPoolExecutor(workers, "contrastive", torch.set_num_threads, (1,))


@dataclass(frozen=True, eq=False)
class _Rows:
    """What every block of rows reads, and ``grad_a`` (s, d+1), of which each writes its own rows.

    ``left``, ``right`` (s, d+1) are −c times the flipped views, ``others`` (d+1, s) the second view, ``distance`` and
    ``slope`` (s,) those of the own items.
    """

    left: Tensor
    right: Tensor
    others: Tensor
    distance: Tensor
    slope: Tensor
    grad_a: Tensor
    tiles: Sequence[slice]
    sharpness: float
    crowd: float

    def run(self, blocks: Sequence[slice], height: int) -> tuple[Tensor, Tensor]:
        """(value, gradient of b) of these blocks.

        The weights of a block are held until their sums are known; all else lives in tiles that fit a core's cache. A
        row's own item is kept out of the tiles.
        """
        with torch.no_grad():
            tile = height * max((t.stop - t.start for t in self.tiles), default=0)
            held, scratch = self.left.new_empty(len(self.tiles), tile), self.left.new_empty(2, tile)
            value = self.left.new_zeros((), dtype=torch.float64)
            grad_b = torch.zeros_like(self.left)
            for rows in blocks:
                value += self._block(rows, held, scratch, grad_b)
            return value, grad_b

    def _block(self, rows: slice, held: Tensor, scratch: Tensor, grad_b: Tensor) -> Tensor:
        count, sharpness = rows.stop - rows.start, self.sharpness
        left, right, grad_a = self.left[rows], self.right[rows], self.grad_a[rows]
        own = -sharpness * self.distance[rows].square()
        top = _top(own, left, self.others, sharpness)
        shift, own_weight = (math.log(self.crowd) - top).unsqueeze(1), torch.exp(own - top)
        total = own_weight.clone()
        weights = [
            buffer[: count * (t.stop - t.start)].view(count, -1) for buffer, t in zip(held, self.tiles, strict=True)
        ]
        for part, tile in zip(weights, self.tiles, strict=True):
            z, ratio = (buffer[: part.numel()].view(part.shape) for buffer in scratch)
            far, ratio = _arcosh(columns.now().total_(torch.mm(left, self.others[:, tile], out=z)), ratio)
            torch.addcmul(shift, far, far, value=-sharpness, out=part).exp_()
            part.diagonal(rows.start - tile.start).zero_()
            total += part.sum(1)
            grad_a.addmm_(part.mul_(ratio), self.right[tile])
        scale = (-2.0 * sharpness / total).unsqueeze(1)
        pull = ((own_weight - total) * self.slope[rows]).unsqueeze(1)
        grad_a.addcmul_(pull, right).mul_(scale)
        push = scale * left
        grad_b[rows].addcmul_(pull, push)
        for part, tile in zip(weights, self.tiles, strict=True):
            grad_b[tile].addmm_(part.T, push)
        return (total.log() + top - own).double().sum()


def _block(a: Tensor) -> tuple[int, int]:
    """Rows held at a time, and columns of a tile."""
    if a.is_cuda or columns.now().apart:  # each operation is a kernel of its own or a message, so few large ones
        return max(1, min(len(a), GPU_PAIRS // max(1, len(a)))), len(a)
    width = TILE[1] * torch.get_num_threads()  # threads take turns between operations, so several want longer ones
    return max(1, min(len(a), TILE[0], HELD_PAIRS // max(1, len(a)))), min(len(a), width)


def _arcosh(z: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """(arcosh(z), arcosh(z)/√(z²−1)) in the storage of ``z`` and ``slope``: d·√c, and half of c·∂d²/∂z (1 at z = 1)."""
    z.clamp_min_(1.0 + _NEAREST.get(z.dtype, 1e-3))
    torch.sub(z, 1.0, out=slope)
    slope.addcmul_(z, slope).sqrt_()
    z.add_(slope).log_()
    return z, torch.div(z, slope, out=slope)


def _top(own: Tensor, left: Tensor, others: Tensor, sharpness: float) -> Tensor:
    """What to subtract from the logits of these rows: the own item's, or the largest where that could overflow.

    Finding the largest costs a product and a pass over the pairs; where own items are near, it is left out.
    """
    if not own.is_cuda and not columns.now().agreed(own < _DEEPEST):
        return own
    nearest = columns.now().total_(left @ others).amin(1)
    distance, _ = _arcosh(nearest, torch.empty_like(nearest))
    return torch.maximum(own, -sharpness * distance.square())
