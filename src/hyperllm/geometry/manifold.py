"""A manifold object carries its curvature and delegates to the pure functions.

Knows how an optimiser moves a point, and which product ranks points. Does not know what the points mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor, nn

from hyperllm.errors import ConfigError
from hyperllm.geometry import columns, lorentz, poincare


class Manifold(Protocol):
    """What a Riemannian optimiser needs. ``c`` is the curvature, ``max_step`` the longest geodesic step."""

    @property
    def c(self) -> float:
        """Curvature: sectional curvature is −c."""
        ...

    def expmap0(self, v: Tensor) -> Tensor:
        """Tangent at the origin to point."""
        ...

    def logmap0(self, x: Tensor) -> Tensor:
        """Point to tangent at the origin."""
        ...

    def riemannian_gradient(self, x: Tensor, gradient: Tensor) -> Tensor:
        """From the ambient gradient."""
        ...

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Metric of two tangent vectors at x."""
        ...

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """exp_x(u), no longer than the longest step."""
        ...

    def transport(self, x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        """Parallel transport of u from x to y."""
        ...


@dataclass(frozen=True)
class _Curved:
    """Curvature ``c > 0`` (sectional curvature −c) and the longest step an optimiser may take."""

    c: float = 1.0
    max_step: float = 1.5

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise ConfigError(f"curvature c must be positive (it means sectional curvature −c); found {self.c}")

    @property
    def _functions(self) -> ModuleType:
        raise NotImplementedError

    def expmap0(self, v: Tensor) -> Tensor:
        """Tangent (…, d) to point."""
        return self._functions.expmap0(v, self.c)

    def logmap0(self, x: Tensor) -> Tensor:
        """Point to tangent (…, d)."""
        return self._functions.logmap0(x, self.c)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Geodesic distance, row by row."""
        return self._functions.dist(x, y, self.c)

    def sqdist(self, x: Tensor, y: Tensor) -> Tensor:
        """Squared geodesic distance, row by row."""
        return self._functions.sqdist(x, y, self.c)

    def riemannian_gradient(self, x: Tensor, gradient: Tensor) -> Tensor:
        """From the ambient gradient."""
        return self._functions.riemannian_gradient(x, gradient, self.c)

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """exp_x(u), no longer than ``max_step``."""
        return self._functions.expmap(x, u, self.c, max_step=self.max_step)

    def transport(self, x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        """Parallel transport of u from x to y."""
        return self._functions.transport(x, y, u, self.c)


@dataclass(frozen=True)
class Lorentz(_Curved):
    """The hyperboloid; points (…, d+1)."""

    @property
    def _functions(self) -> ModuleType:
        return lorentz

    @property
    def lead(self) -> int:
        """Coordinates of a point that stand before its columns: the time coordinate."""
        return 1

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """⟨u,v⟩ of tangent vectors at x."""
        return lorentz.inner(u, v)

    def queries(self, x: Tensor) -> Tensor:
        """Left factors (…, d+1): their products with other points fall with the distance."""
        return lorentz.flip(x)


@dataclass(frozen=True)
class Poincare(_Curved):
    """The ball; points (…, d)."""

    @property
    def _functions(self) -> ModuleType:
        return poincare

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """λ_x²·u·v of tangent vectors at x."""
        factor = 2 / (1 - self.c * x.square().sum(-1))
        return factor.square() * (u * v).sum(-1)


@dataclass(frozen=True)
class Euclidean:
    """Flat space; a point (…, d) is its own tangent vector, and points rank by their inner product."""

    def expmap0(self, v: Tensor) -> Tensor:
        """The vector itself."""
        return v

    def logmap0(self, x: Tensor) -> Tensor:
        """The point itself."""
        return x

    @property
    def lead(self) -> int:
        """No coordinate stands before a point's columns."""
        return 0

    def sqdist(self, x: Tensor, y: Tensor) -> Tensor:
        """Squared distance, row by row."""
        return columns.total((x - y).square().sum(-1))

    def queries(self, x: Tensor) -> Tensor:
        """The point itself."""
        return x


class ManifoldParameter(nn.Parameter):
    """A parameter whose rows are points of ``manifold``; `geometry.optim` moves it along geodesics."""

    manifold: Manifold

    def __init__(self, points: Tensor, manifold: Manifold) -> None:
        """``points`` are the rows; torch builds the tensor in `__new__`."""

    def __new__(cls, points: Tensor, manifold: Manifold) -> ManifoldParameter:
        """A parameter that shares ``points``' storage."""
        parameter = torch.Tensor._make_subclass(cls, points, True)
        parameter.manifold = manifold
        return parameter

    def __deepcopy__(self, memo: dict[int, object]) -> ManifoldParameter:
        copy = type(self)(self.data.clone(), self.manifold)
        memo[id(self)] = copy
        return copy
