"""A sampled softmax over closeness: each anchor's positive against negatives that a whole batch shares.

`sampled_softmax` knows how close pairs are, as numbers, whether by distance or by product. `distance_softmax` makes the
squared distances of anchors and negatives itself, a block of rows at a time, and their gradient along with the value.
Shapes: b pairs, k shared negatives, d dims.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyperllm.geometry import columns, lorentz

ROWS = 256  # whose distances to all negatives stay in a core's cache; a GPU or several processes take all at once
_NEAREST = 1e-12  # separations are kept this far from 0, where the root has no slope


def sampled_softmax(near: Tensor, far: Tensor, *, temperature: float) -> Tensor:
    """τ·Σ_r −log(e^{near_r/τ} / (e^{near_r/τ} + Σ_k e^{far_rk/τ})), a scalar.

    ``near`` (b,) is how close each anchor is to its positive, ``far`` (b, k) to the shared negatives: minus squared
    distances, or inner products. The factor τ keeps the slope in ``near`` between 0 and 1, as a hinge has it.
    """
    logits = torch.cat([near.unsqueeze(1), far], dim=1) / temperature
    return temperature * (torch.logsumexp(logits, dim=1) - logits[:, 0]).sum()


def distance_softmax(
    anchors: Tensor, positives: Tensor, negatives: Tensor, *, temperature: float, c: float = 1.0
) -> Tensor:
    """`sampled_softmax` of minus squared distances of points (b, d+1), (b, d+1) and (k, d+1), fused."""
    here = columns.now()
    mine = here.share(len(anchors))
    near = -lorentz.sqdist(anchors[mine], positives[mine], c)
    crowd = here.once(anchors[mine]), here.once(negatives)
    return here.over_batch(_DistanceSoftmax.apply(near, *crowd, temperature, c))


class _DistanceSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, near: Tensor, anchors: Tensor, negatives: Tensor, temperature: float, c: float) -> Tensor:
        left, right = lorentz.flip(anchors), negatives.T.contiguous()
        to_near, to_left, to_negatives = torch.empty_like(near), torch.empty_like(left), torch.zeros_like(negatives)
        value = near.new_zeros(())
        size = len(left) if left.is_cuda or columns.now().apart else ROWS
        for start in range(0, len(left), max(1, size)):
            rows = slice(start, start + size)
            own = near[rows] / temperature
            # root = √(cq)/2 of the separations q, and d² = 4·arsinh²(root)/c
            root = columns.now().total_(torch.mm(left[rows], right))
            root.mul_(-2).sub_(2 / c).clamp_min_(_NEAREST).mul_(c / 4).sqrt_()
            angle = torch.asinh(root)
            slope = angle / root  # ∂d²/∂q = arsinh(root)/(root·√(1 + root²))
            share = angle.square_().mul_(-4 / (c * temperature))
            top = torch.maximum(share.amax(1), own)
            share.sub_(top.unsqueeze(1)).exp_()
            positive = (own - top).exp_()
            total = share.sum(1) + positive
            value = value + (total.log() + top - own).sum()
            to_near[rows] = positive / total - 1
            share.div_(total.unsqueeze(1)).mul_(slope).div_(root.square_().add_(1).sqrt_())
            torch.mm(share, negatives, out=to_left[rows])
            to_negatives.addmm_(share.T, left[rows])
        ctx.save_for_backward(to_near, lorentz.flip(to_left).mul_(2), to_negatives.mul_(2))
        return temperature * value

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides ctx's name
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        near, anchors, negatives = ctx.saved_tensors
        pushed = columns.total(grads[0])  # every process's distances are made of these columns
        return grads[0] * near, pushed * anchors, pushed * negatives, None, None
