"""What a trained model keeps so that new items and users can join it without training.

Knows the items' text vectors and how a text became one, the experts of phase 1 as plain arrays, and what a history puts
into a linear expert. Does not know where a newcomer then stands; see `placement` and `folding`. NumPy only.
Shapes: I items, d₁ text dims, r kept text dims, K experts, d tangent dims, f factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
Read = Callable[[str], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Experts:
    """The Mixture of Experts as phase 1 left it: text vectors to tangent vectors (Eqs. 8–10).

    ``mean`` (d₁,) and ``projection`` (d₁, r) whiten a text vector first; ``gate_weight`` (K, r), ``gate_bias`` (K,),
    ``expert_weight`` (K·d, r), ``expert_bias`` (K·d,).
    """

    mean: Floats
    projection: Floats
    gate_weight: Floats
    gate_bias: Floats
    expert_weight: Floats
    expert_bias: Floats

    def tangent(self, vectors: Floats) -> Floats:
        """Tangent vectors (n, d) of text vectors (n, d₁)."""
        s = (vectors - self.mean) @ self.projection
        s /= np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-12)
        logits = s @ self.gate_weight.T + self.gate_bias
        gates = np.exp(logits - logits.max(axis=1, keepdims=True))
        gates /= gates.sum(axis=1, keepdims=True)  # Eq. 9
        outputs = (s @ self.expert_weight.T + self.expert_bias).reshape(len(s), gates.shape[1], -1)
        return np.einsum("nk,nkd->nd", gates, outputs).astype(np.float32)  # Eqs. 8 and 10


@dataclass(frozen=True, eq=False)
class Content:
    """``vectors`` (I, d₁) are the items' text vectors, 0 where there is no text.

    ``recipe`` says how a text becomes such a vector: ``encoder`` and ``version``, whether the names of its ``tags``
    follow it, and which ``profiles`` wrote it (None: the catalogue's own text). ``experts`` is None where phase 1 was
    not trained along.
    """

    vectors: Floats
    recipe: Mapping[str, Any]
    experts: Experts | None = None

    def stored(self) -> tuple[Arrays, Any]:
        """Arrays by name and a JSON value, as `restored` reads them."""
        arrays: Arrays = {"vectors": self.vectors}
        if self.experts is not None:
            arrays |= {f"experts.{part.name}": getattr(self.experts, part.name) for part in fields(Experts)}
        return arrays, {"recipe": dict(self.recipe), "experts": self.experts is not None}

    @classmethod
    def restored(cls, read: Read, told: Any) -> Content:
        """From arrays by name and the JSON value."""
        experts = None
        if told["experts"]:
            experts = Experts(**{part.name: np.array(read(f"experts.{part.name}")) for part in fields(Experts)})
        return cls(np.asarray(read("vectors")), told["recipe"], experts)


@dataclass(frozen=True, eq=False)
class LinearInputs:
    """How a history becomes factors: f_u ∝ Σ of ``weights``ᵢ · (item factors)ᵢ · ``shrink`` over its items i.

    ``weights`` (I,), ``shrink`` (f,); ``share`` is what validation gave the linear expert beside the points. The
    factors are then scaled so that both scores vary alike over all clicked items (`frameworks.fusion`).
    """

    weights: Floats
    shrink: Floats
    share: float = field(default=1.0)

    def stored(self) -> tuple[Arrays, Any]:
        """Arrays by name and a JSON value, as `restored` reads them."""
        return {"weights": self.weights, "shrink": self.shrink}, {"share": self.share}

    @classmethod
    def restored(cls, read: Read, told: Any) -> LinearInputs:
        """From arrays by name and the JSON value."""
        return cls(np.array(read("weights")), np.array(read("shrink")), float(told["share"]))
