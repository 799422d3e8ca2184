"""The contrastive term (Eq. 16) as two GPU kernels.

The first gives each block of rows to one program, which streams over all columns and keeps a running log-sum-exp
together with the rows' gradient; the second gives each block of columns to one program. Nothing is added atomically, so
results repeat bit for bit. Four matrix products and two passes over the pairs, nothing of size s² in memory. Needs
triton; with ``TRITON_INTERPRET=1`` it runs on a CPU, for tests. Shapes: s items, d+1 ambient dims.
"""

# pyright: basic
from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hyperllm.geometry import lorentz

NEAREST = 1e-7  # as for float32 in `contrastive.blocked`
STAGES = 1  # loads in flight; more of them do not fit small chips


def sizes(d: int, *, precision: str) -> dict[str, Any]:
    """The kernels' constants for points of ``d`` columns: blocks that fit a chip's shared memory."""
    width = max(16, triton.next_power_of_2(d))
    block = 64 if width <= 64 else 32 if width <= 128 else 16
    return {"NEAREST": NEAREST, "PRECISION": precision, "M": block, "N": block, "D": width}


@triton.jit
def _distances(left, right, NEAREST: tl.constexpr, PRECISION: tl.constexpr):
    """arcosh(z) and arcosh(z)/√(z²−1) of z = left · rightᵀ."""
    z = tl.dot(left, tl.trans(right), input_precision=PRECISION)
    u = tl.maximum(z - 1.0, NEAREST)
    root = tl.sqrt(u * (u + 2.0))
    far = tl.log(1.0 + u + root)
    return far, far / root


@triton.jit
def _rows_kernel(
    left_ptr, point_ptr, right_ptr, own_ptr, norm_ptr, out_ptr, n, d, log_crowd, sharpness,
    NEAREST: tl.constexpr, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """norm = log Σⱼ exp(logitⱼ) of each row, and Σ_{j≠i} softmaxⱼ · slopeⱼ · rightⱼ."""
    row = tl.program_id(0) * M + tl.arange(0, M)
    col, dim = tl.arange(0, N), tl.arange(0, D)
    inside = row < n
    at = row.to(tl.int64)[:, None] * d + dim[None, :]
    left = tl.load(left_ptr + at, mask=inside[:, None] & (dim < d)[None, :], other=0.0)
    top = tl.load(own_ptr + row, mask=inside, other=0.0)
    total = tl.full([M], 1.0, tl.float32)
    pulled = tl.zeros([M, D], tl.float32)
    for first in range(0, n, N):
        column = first + col
        mask = (column < n)[:, None] & (dim < d)[None, :]
        place = column.to(tl.int64)[:, None] * d + dim[None, :]
        far, slope = _distances(left, tl.load(point_ptr + place, mask=mask, other=0.0), NEAREST, PRECISION)
        counted = (column[None, :] < n) & (column[None, :] != row[:, None])
        logit = tl.where(counted, log_crowd - sharpness * far * far, float("-inf"))
        higher = tl.maximum(top, tl.max(logit, 1))
        shrink = tl.exp(top - higher)
        weight = tl.exp(logit - higher[:, None])
        total = total * shrink + tl.sum(weight, 1)
        right = tl.load(right_ptr + place, mask=mask, other=0.0)
        pulled = pulled * shrink[:, None] + tl.dot(weight * slope, right, input_precision=PRECISION)
        top = higher
    tl.store(norm_ptr + row, top + tl.log(total), mask=inside)
    tl.store(out_ptr + at, pulled / total[:, None], mask=inside[:, None] & (dim < d)[None, :])


@triton.jit
def _columns_kernel(
    left_ptr, point_ptr, norm_ptr, out_ptr, n, d, log_crowd, sharpness,
    NEAREST: tl.constexpr, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Σ_{i≠j} softmax_i(j) · slope · left_i for each column j."""
    column = tl.program_id(0) * N + tl.arange(0, N)
    step, dim = tl.arange(0, M), tl.arange(0, D)
    inside = column < n
    at = column.to(tl.int64)[:, None] * d + dim[None, :]
    point = tl.load(point_ptr + at, mask=inside[:, None] & (dim < d)[None, :], other=0.0)
    pushed = tl.zeros([N, D], tl.float32)
    for first in range(0, n, M):
        row = first + step
        mask = (row < n)[:, None] & (dim < d)[None, :]
        left = tl.load(left_ptr + row.to(tl.int64)[:, None] * d + dim[None, :], mask=mask, other=0.0)
        norm = tl.load(norm_ptr + row, mask=row < n, other=0.0)
        far, slope = _distances(left, point, NEAREST, PRECISION)
        counted = (row[:, None] < n) & (column[None, :] != row[:, None])
        logit = tl.where(counted, log_crowd - sharpness * far * far, float("-inf"))
        weight = tl.exp(logit - norm[:, None])
        pushed += tl.dot(tl.trans(weight * slope), left, input_precision=PRECISION)
    tl.store(out_ptr + at, pushed, mask=inside[:, None] & (dim < d)[None, :])


def fused(a: Tensor, b: Tensor, *, temperature: float, c: float, crowd: float) -> tuple[Tensor, Tensor, Tensor]:
    """(value, gradient of a, gradient of b) as `contrastive.blocked` gives them, float32.

    Products take float32 inputs, or their first 19 bits (tf32) where `torch.get_float32_matmul_precision` allows it.
    """
    n, d = a.shape
    sharpness = 1.0 / (temperature * c)
    left, right, b = (-c * lorentz.flip(a)).contiguous(), (-c * lorentz.flip(b)).contiguous(), b.contiguous()
    u = ((left * b).sum(1) - 1.0).clamp_min(NEAREST)
    root = torch.sqrt(u * (u + 2.0))
    far = torch.log1p(u + root)
    own, slope = -sharpness * far.square(), far / root
    norm, pulled, pushed = torch.empty_like(own), torch.empty_like(a), torch.empty_like(b)
    precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    constants = {**sizes(d, precision=precision), "num_stages": STAGES}
    common = (n, d, math.log(crowd), sharpness)
    if n:
        programs = (triton.cdiv(n, constants["M"]),)
        with torch.cuda.device_of(a):
            _rows_kernel[programs](left, b, right, own, norm, pulled, *common, **constants)
            _columns_kernel[programs](left, b, norm, pushed, *common, **constants)
    pull = ((torch.exp(own - norm) - 1.0) * slope).unsqueeze(1)
    value = (norm - own).double().sum().to(a.dtype)
    return value, -2 * sharpness * (pulled + pull * right), -2 * sharpness * (pushed + pull * left)
