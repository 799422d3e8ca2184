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
from hyperllm.geometry.radial import row_blocks


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
                    self._step(parameter, group, self.state[parameter])
        return loss

    def _step(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Rows do not depend on each other, so a table is updated a few of them at a time, while they are in cache."""
        assert parameter.grad is not None
        manifold = parameter.manifold if isinstance(parameter, ManifoldParameter) else None
        if not state:
            state.update(self._start(parameter, manifold, group))
        self._begin(state)
        for rows in row_blocks(parameter) if parameter.dim() > 1 else [...]:
            mine = {name: value[rows] if value.dim() else value for name, value in state.items()}
            self._update(parameter.data[rows], parameter.grad[rows], manifold, group, mine)

    def _start(self, parameter: Tensor, manifold: Manifold | None, group: dict[str, Any]) -> dict[str, Tensor]:
        """The state before the first step: tensors with one row for each of the parameter's, and scalars."""
        raise NotImplementedError

    def _begin(self, state: dict[str, Tensor]) -> None:
        """Advance what counts steps."""

    def _update(
        self, x: Tensor, gradient: Tensor, manifold: Manifold | None, group: dict[str, Any], state: dict[str, Tensor]
    ) -> None:
        """Change these rows and their state in place."""
        raise NotImplementedError


def _descent(x: Tensor, gradient: Tensor, manifold: Manifold | None, weight_decay: float) -> Tensor:
    """The (Riemannian) gradient. Weight decay is L2 on the ambient coordinates, before the projection."""
    if weight_decay:
        gradient = gradient.add(x, alpha=weight_decay)
    return gradient if manifold is None else manifold.riemannian_gradient(x, gradient)


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

    def _start(self, parameter: Tensor, manifold: Manifold | None, group: dict[str, Any]) -> dict[str, Tensor]:
        assert parameter.grad is not None
        if not group["momentum"]:
            return {}
        return {"momentum": parameter.grad.clone() if group["raw_first_step"] else torch.zeros_like(parameter.data)}

    def _update(
        self, x: Tensor, gradient: Tensor, manifold: Manifold | None, group: dict[str, Any], state: dict[str, Tensor]
    ) -> None:
        direction = _descent(x, gradient, manifold, group["weight_decay"])
        if group["momentum"]:
            direction = state["momentum"].mul_(group["momentum"]).add_(direction)
        if manifold is None:
            x.add_(direction, alpha=-group["lr"])
            return
        moved = manifold.step(x, -group["lr"] * _tangent(manifold, x, direction))
        if group["momentum"]:
            state["momentum"].copy_(manifold.transport(x, moved, direction))
        x.copy_(moved)


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

    def _start(self, parameter: Tensor, manifold: Manifold | None, group: dict[str, Any]) -> dict[str, Tensor]:
        square = parameter.data if manifold is None else parameter.data[..., :1]
        return {
            "step": torch.zeros((), dtype=torch.float64),
            "mean": torch.zeros_like(parameter.data),
            "square": torch.zeros_like(square),
        }

    def _begin(self, state: dict[str, Tensor]) -> None:
        state["step"] += 1

    def _update(
        self, x: Tensor, gradient: Tensor, manifold: Manifold | None, group: dict[str, Any], state: dict[str, Tensor]
    ) -> None:
        direction = _descent(x, gradient, manifold, group["weight_decay"])
        square = direction.square()
        if manifold is not None:
            square = manifold.inner(x, direction, direction).clamp_min(0).unsqueeze(-1)
        beta1, beta2 = group["betas"]
        steps = float(state["step"])
        state["mean"].mul_(beta1).add_(direction, alpha=1 - beta1)
        state["square"].mul_(beta2).add_(square, alpha=1 - beta2)
        scale = torch.sqrt(state["square"] / (1 - beta2**steps)).add_(group["eps"])
        update = -group["lr"] / (1 - beta1**steps) * state["mean"] / scale
        if manifold is None:
            x.add_(update)
            return
        moved = manifold.step(x, _tangent(manifold, x, update))
        state["mean"].copy_(manifold.transport(x, moved, state["mean"]))
        x.copy_(moved)


def _tangent(manifold: Manifold, x: Tensor, u: Tensor) -> Tensor:
    """Remove what rounding left outside the tangent space (a no-op on the ball)."""
    return tangent_project(x, u, manifold.c) if isinstance(manifold, Lorentz) else u
