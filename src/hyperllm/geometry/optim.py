"""Riemannian SGD and Adam.

Parameters that are `ManifoldParameter` move along geodesics of their manifold; all others get the plain Euclidean rule,
so one optimiser serves a mixed model. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hyperllm.geometry.lorentz import tangent_project
from hyperllm.geometry.manifold import Lorentz, Manifold, ManifoldParameter


def _riemannian(parameter: Tensor, weight_decay: float) -> tuple[Tensor, Manifold | None]:
    """(descent direction, manifold or None). Weight decay is L2 on the ambient coordinates, before the projection."""
    assert parameter.grad is not None
    gradient = parameter.grad
    if weight_decay:
        gradient = gradient.add(parameter, alpha=weight_decay)
    if isinstance(parameter, ManifoldParameter):
        return parameter.manifold.riemannian_gradient(parameter, gradient), parameter.manifold
    return gradient, None


class _Riemannian(Optimizer):
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group, self.state[parameter])
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError


class RiemannianSGD(_Riemannian):
    """b ← μb + grad; x ← exp_x(−lr·b); b is transported to the new x.

    Deviation: the published code starts b at the raw Euclidean gradient, so its first step uses μ·g + grad;
    ``raw_first_step=True`` repeats that.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        raw_first_step: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "raw_first_step": raw_first_step}
        super().__init__(params, defaults)

    def _update(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        assert parameter.grad is not None
        direction, manifold = _riemannian(parameter, group["weight_decay"])
        if group["momentum"]:
            if "momentum" not in state:
                state["momentum"] = (
                    parameter.grad.clone() if group["raw_first_step"] else torch.zeros_like(parameter.data)
                )
            direction = state["momentum"].mul_(group["momentum"]).add_(direction)
        if manifold is None:
            parameter.add_(direction, alpha=-group["lr"])
            return
        moved = manifold.step(parameter.data, -group["lr"] * _tangent(manifold, parameter.data, direction))
        if group["momentum"]:
            state["momentum"].copy_(manifold.transport(parameter.data, moved, direction))
        parameter.copy_(moved)


class RiemannianAdam(_Riemannian):
    """Adam whose second moment is, for a manifold row, the scalar squared Riemannian norm of its gradient."""

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        direction, manifold = _riemannian(parameter, group["weight_decay"])
        square = direction.square()
        if manifold is not None:
            square = manifold.inner(parameter.data, direction, direction).clamp_min(0).unsqueeze(-1)
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float64)
            state["mean"] = torch.zeros_like(parameter.data)
            state["square"] = torch.zeros_like(square)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        steps = float(state["step"])
        state["mean"].mul_(beta1).add_(direction, alpha=1 - beta1)
        state["square"].mul_(beta2).add_(square, alpha=1 - beta2)
        scale = torch.sqrt(state["square"] / (1 - beta2**steps)).add_(group["eps"])
        update = -group["lr"] / (1 - beta1**steps) * state["mean"] / scale
        if manifold is None:
            parameter.add_(update)
            return
        moved = manifold.step(parameter.data, _tangent(manifold, parameter.data, update))
        state["mean"].copy_(manifold.transport(parameter.data, moved, state["mean"]))
        parameter.copy_(moved)


def _tangent(manifold: Manifold, x: Tensor, u: Tensor) -> Tensor:
    """Remove what rounding left outside the tangent space (a no-op on the ball)."""
    return tangent_project(x, u, manifold.c) if isinstance(manifold, Lorentz) else u
