"""HGCF: Hyperbolic Graph Convolution Networks for Collaborative Filtering (Sun et al., WWW 2021).

Propagates in the tangent space at the origin and sums the layers 1 … L: out = Σ_ℓ Âˡ x, h = exp₀(clamp(out)).
"""

from __future__ import annotations

from torch import Tensor

from hyperllm.backbones.base import Backbone
from hyperllm.graph import Graph


class HGCF(Backbone):
    """Sum of linear layers without the input itself, hinge on squared distances."""

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """Σ_{ℓ=1..L} Âˡ x."""
        return graph.propagated_sum(x, self.config.layers)
