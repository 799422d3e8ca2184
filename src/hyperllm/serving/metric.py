"""Distances that an approximate index compares, compiled; and the rows they read.

Knows how to write a point of the hyperboloid so that float32 keeps its distances at every radius, and products of
factors as distances. Does not know users, rankings or files. Needs ``hyperllm[ann]``.

A point at distance ρ from the origin in the direction θ, |θ| = 1, is the row (e^ρ, e^−ρ, sinh ρ, θ). Then

    cosh d(x, y) = (e^{ρx−ρy} + e^{ρy−ρx}) / 2 + sinh ρx · sinh ρy · |θx − θy|² / 2,

a sum of positive terms, where −⟨x, y⟩_L subtracts numbers of size cosh ρx · cosh ρy. Factors f follow behind a column
a = √(max |f|² − |f|²) of an item, 0 of a user. A graph is built by cosh d + (|f − f'|² + (a − a')²) / 2 and searched by
cosh d − f·f', which is minus the score: the two differ, for a user's row, by what is the same for all items. Shapes:
``n`` rows, ``d`` intrinsic dimensions, ``f`` factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ConfigError
from hyperllm.serving.product import Doubles, Floats

_POLAR = 3
_CALLBACKS: list[Any] = []


def needed(name: str) -> Any:
    """The module ``name`` of the extra ``ann``, or one sentence that says how to get it."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(
            f"an approximate index needs {name.split('.')[0]}, which is not installed; pip install 'hyperllm[ann]'. "
            "Exact ranking needs nothing."
        ) from None


@dataclass(frozen=True)
class Layout:
    """``curved`` columns of a point (1 + d, 0 where there is none), then ``factors`` of them."""

    curved: int
    factors: int

    @property
    def polar(self) -> int:
        """Columns of a point as it is written."""
        return self.curved - 1 + _POLAR if self.curved else 0

    @property
    def columns(self) -> int:
        """Columns of a row."""
        return self.polar + (1 + self.factors if self.factors else 0)

    def rows(self, vectors: npt.NDArray[Any], *, spare: Doubles | float = 0.0) -> Floats:
        """Rows (n, columns) of a model's ``vectors`` (n, curved + factors); ``spare`` is the column a."""
        out = np.zeros((len(vectors), self.columns), dtype=np.float32)
        if self.curved:
            space = vectors[:, 1 : self.curved].astype(np.float64)
            size = np.sqrt(np.einsum("nd,nd->n", space, space))
            distance = np.arcsinh(size)
            out[:, 0], out[:, 1], out[:, 2] = np.exp(distance), np.exp(-distance), size
            out[:, _POLAR : self.polar] = space / np.maximum(size, np.finfo(np.float64).tiny)[:, None]
        if self.factors:
            out[:, self.polar] = spare
            out[:, self.polar + 1 :] = vectors[:, self.curved :]
        return out


def spare(factors: Floats, most: float) -> Doubles:
    """The column a (n,) of items with these factors, ``most`` the largest |f|²."""
    return np.sqrt(np.maximum(most - np.einsum("nf,nf->n", factors, factors, dtype=np.float64), 0.0))


def building(layout: Layout) -> Any:
    """The distance that builds a graph, as usearch takes it."""
    return _compiled(layout, True)


def searching(layout: Layout) -> Any:
    """The distance that searches it: minus the score of a user's row and an item's."""
    return _compiled(layout, False)


@cache  # usearch holds a bare address, so what stands there is never freed
def _compiled(layout: Layout, between_items: bool) -> Any:
    usearch, numba = needed("usearch.index"), needed("numba")
    floats = numba.types.CPointer(numba.types.float32)
    compiled = numba.cfunc(numba.types.float32(floats, floats), fastmath=True)(_distance(layout, between_items))
    _CALLBACKS.append(compiled)
    return usearch.CompiledMetric(
        pointer=compiled.address, kind=usearch.MetricKind.IP, signature=usearch.MetricSignature.ArrayArray
    )


def _distance(layout: Layout, between_items: bool) -> Any:
    """What is compiled; the layout's numbers become constants of it."""
    carray = needed("numba").carray
    curved, polar, columns = layout.curved > 0, layout.polar, layout.columns
    half, zero = np.float32(0.5), np.float32(0.0)

    def distance(left: Any, right: Any) -> Any:
        x, y = carray(left, columns), carray(right, columns)
        found = zero
        if curved:
            angle = zero
            for k in range(_POLAR, polar):
                angle += (x[k] - y[k]) * (x[k] - y[k])
            found += half * (x[0] * y[1] + x[1] * y[0] + x[2] * y[2] * angle)
        if between_items:
            apart = zero
            for k in range(polar, columns):
                apart += (x[k] - y[k]) * (x[k] - y[k])
            found += half * apart
        else:
            product = zero
            for k in range(polar + 1, columns):
                product += x[k] * y[k]
            found -= product
        return found

    return distance
