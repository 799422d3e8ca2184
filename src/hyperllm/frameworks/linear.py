"""A linear item–item model in closed form, as one more expert of the final score.

EASE^R (Steck 2019) with tags and texts as further rows, in r dimensions instead of items². Knows a world and settings;
does not know the hyperbolic model beside it. Shapes: u users, i items, t tags, d₁ text dims, r rank.

Rows A = [X; √w·T; √v·Z]·D: training pairs X (u, i), tags T (t, i), centred text vectors of unit length Z (d₁, i), and a
column scale D = diag(‖a_j‖^−α), relative to the geometric mean, that keeps often-clicked items from filling the leading
directions. With AᵀA ≈ V·S·Vᵀ of rank r and σ = S/(S + λ), the B with zero diagonal that minimises |A − AB|² + λ|B|² is,
off its diagonal, V·σ·Vᵀ·diag(1/(1 − Σσv_j²)). So the scores X·D·B·D⁻¹ are products of r numbers a user and an item; the
diagonal they leave in concerns items that a user has, which are not ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.data.semantics import centred
from hyperllm.frameworks.config import HyperLLMConfig
from hyperllm.frameworks.world import World
from hyperllm.serving.content import LinearInputs

Matrix = npt.NDArray[np.float32]

_PASSES = 4  # of subspace iteration
_MORE = 64  # directions that are iterated beyond the rank


@dataclass(frozen=True)
class LinearExpert:
    """Factors whose products are scores: ``users`` (u, r) and ``items`` (i, r), float32.

    ``inputs`` say how a history becomes a user's factors: users = X · (items ⊙ ``inputs.weights``) ⊙ ``inputs.shrink``.
    """

    users: Matrix
    items: Matrix
    inputs: LinearInputs

    @classmethod
    def fit(cls, world: World, config: HyperLLMConfig, *, rng: np.random.Generator) -> LinearExpert:
        """Solve for the world's training pairs, and for its tags and texts where it has them and their weight is not 0.

        Items without a training pair are left out of B, their factors are 0.
        """
        rows, clicked = [world.clicks(), *_content(world, config)], world.clicked()
        scale = _scale(rows, clicked, config.linear_scaling)
        known = sparse.diags_array(scale * clicked)
        parts = [part @ known for part in rows]
        strength, directions = _leading(parts, min(config.linear_rank, int(clicked.sum())), rng)
        shrink = strength / (strength + config.linear_regularisation)
        own = np.minimum((directions**2) @ shrink, 1 - 1e-6)
        items = directions / (1 - own)[:, None]
        users = parts[0] @ (directions * shrink)
        weights = (scale**2 * (1 - own) * clicked).astype(np.float32)
        inputs = LinearInputs(weights, shrink.astype(np.float32))
        return cls(users.astype(np.float32), (items / scale[:, None]).astype(np.float32), inputs)


def _content(world: World, config: HyperLLMConfig) -> list[Any]:
    """√w·T (t, i) and √v·Z (d₁, i), where they are there and weigh more than 0."""
    found: list[Any] = []
    if world.tags is not None and config.linear_tag_weight > 0:
        found.append(sparse.csr_array(config.linear_tag_weight**0.5 * world.tags.rows(), dtype=np.float32))
    if world.semantics is not None and config.linear_text_weight > 0:
        found.append((config.linear_text_weight**0.5 * centred(world.semantics.item_vectors).T).astype(np.float32))
    return found


def _scale(parts: Sequence[Any], clicked: npt.NDArray[np.bool_], exponent: float) -> Matrix:
    """‖a_j‖^−α (i,), with a geometric mean of 1 over clicked items."""
    length = np.sqrt(sum((rows * rows).sum(axis=0) for rows in parts))
    away = np.log(np.where(length > 0, length, 1.0))
    return np.exp(-exponent * (away - away[clicked].mean())).astype(np.float32)


def _leading(parts: Sequence[Any], rank: int, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """The largest eigenvalues (r,) of Σ PᵀP over matrices P (·, i), and their vectors (i, r), by subspace iteration."""

    def gram(block: Matrix) -> Matrix:
        return sum(rows.T @ (rows @ block) for rows in parts)  # type: ignore[return-value]

    size = parts[0].shape[1]
    basis = rng.standard_normal((size, min(rank + _MORE, size)), dtype=np.float32)
    for _ in range(_PASSES):
        basis, _ = np.linalg.qr(gram(basis))
    values, turn = np.linalg.eigh(basis.T @ gram(basis))
    return np.maximum(values[::-1][:rank], 0), basis @ turn[:, ::-1][:, :rank]
