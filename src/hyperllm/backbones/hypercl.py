"""HyperCL: Hyperbolic Contrastive Learning for Recommendation (IEEE TKDE 37/3, 2025).

HGCF ranks. While training, two views of the graph lose some edges each; one is encoded as HGCF does, the other without
leaving the hyperboloid, by Lorentz centroids; a contrastive term asks that a node's two points find each other among
the nodes of the batch. Shapes: n nodes, d dims, b triplets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.base import BackboneConfig, Encoded
from hyperllm.backbones.hgcf import HGCF
from hyperllm.config import SETTINGS
from hyperllm.errors import ConfigError
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph, Triplets


@settings(frozen=True, config=SETTINGS)
class HyperCLConfig(BackboneConfig):
    """Settings of HyperCL."""

    view_weight: NonNegativeFloat = 0.005
    """λ, weight of the contrastive term between the two views."""
    view_temperature: PositiveFloat = 0.05
    """Temperature of that term."""
    view_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.35
    """Share of edges each view lacks."""
    tag_views: bool = False
    """Whether the tag graph gets views too."""


class HyperCL(HGCF):
    """HGCF with a tangent and a fully hyperbolic view, drawn from ``rng`` while training.

    Deviation from published code: the softmax is a log-sum-exp, a node that is in the batch twice counts once, and a
    node whose edges are all dropped lies at the origin instead of off the manifold.
    """

    config_class = HyperCLConfig
    config: HyperCLConfig

    def forward(self, x: Tensor, graph: Graph, *, train: bool = False, rng: torch.Generator | None = None) -> Encoded:
        """Encode; while training two views (n, d+1) of points, each of a graph that lacks some edges."""
        encoded = super().forward(x, graph)
        if not train or not (graph.bipartite or self.config.tag_views):
            return encoded
        if rng is None:
            raise ConfigError("HyperCL draws edges while it trains and was given no random stream; pass rng")
        first, second = (graph.dropped(self.config.view_dropout, rng) for _ in range(2))
        return replace(encoded, views=(self.read_out(self.combine(x, first)), self.hyperbolic(x, second)))

    def hyperbolic(self, x: Tensor, graph: Graph) -> Tensor:
        """The centroid of the layers 1 … L, each the centroids of neighbours in the one before it, from exp₀(x)."""
        c = self.config.curvature
        layer = total = lorentz.centroid(graph, self.read_out(x), c)
        for _ in range(self.config.layers - 1):
            layer = lorentz.centroid(graph, layer, c)
            total = total + layer
        return lorentz.normalise(total, c)

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """The hinge and ``views``, both sums over the batch: λ·L_cl of its anchors and of its positives."""
        terms = super().losses(encoded, triplets, margin=margin)
        if encoded.views:
            agreed = [self.agreement(encoded, rows) for rows in (triplets.anchor, triplets.positive)]
            terms["views"] = self.config.view_weight * (agreed[0] + agreed[1])
        return terms

    def agreement(self, encoded: Encoded, rows: Tensor) -> Tensor:
        """Σ −log softmax over the distinct ``rows`` of −d²/τ between the two views, at a row's own point."""
        rows = torch.unique(rows)
        first, second = (view.index_select(0, rows) for view in encoded.views)
        return self.contrast(first, second, temperature=self.config.view_temperature)
