"""LHGCN: the Light Hyperbolic Graph Convolution Network, Hgformer's local encoder (Yang et al., ICML 2025).

Each layer takes centroids over D^{-½}AD^{-½}, which has no self-loops, and normalises the batch of all nodes: their
centroid moves to the origin and their mean radius becomes ``spread``. The last layer alone is the output, so depth
neither collapses nor stretches it, and only the inputs' shape matters, not their size. Nodes without neighbours lie at
the origin and do not count in the statistics.

Deviation: the published code recomputes the time coordinate of Âx from its space part, so that its layer is no centroid
and the sum of a row's weights stretches the radius; and it counts nodes without neighbours. Here a layer is a centroid.
"""

from __future__ import annotations

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.centroid import CentroidBackbone, CentroidConfig
from hyperllm.config import SETTINGS
from hyperllm.geometry import columns, lorentz
from hyperllm.graph import Graph

_LEAST = 1e-7  # added to the mean radius, as published


@settings(frozen=True, config=SETTINGS)
class LHGCNConfig(CentroidConfig):
    """Settings of LHGCN."""

    spread: PositiveFloat = 1.0
    """Mean geodesic radius of the nodes after each layer's normalisation; the published code's γ."""


class LHGCN(CentroidBackbone):
    """Centroid layers with Lorentz batch normalisation, the last one only; hinge on squared distances."""

    config_class = LHGCNConfig
    config: LHGCNConfig

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """The last layer, as normalised tangent vectors."""
        c, points, tangent = self.config.curvature, self.enter(x), x
        for layer in range(self.config.layers):
            if layer:
                points = lorentz.expmap0(tangent, c)
            tangent = self.normalised(lorentz.centroid(graph.symmetric, points, c), graph.symmetric.degree > 0)
        return tangent

    def normalised(self, points: Tensor, linked: Tensor) -> Tensor:
        """Tangent vectors (n, d) of points about their centroid, with mean radius ``spread``; 0 where not ``linked``.

        ``linked`` (n,) says which nodes have neighbours; the points of the others are the origin.
        """
        c, loose = self.config.curvature, (~linked).sum()
        middle = lorentz.normalise(points.sum(0) - loose * lorentz.origin(points.shape[1] - 1, c, like=points), c)
        tangent = lorentz.logmap_about(points, middle, c)
        share = linked.to(points.dtype) / linked.sum().clamp_min(1)
        mean = (share * columns.now().lengths(tangent)).sum()
        return tangent * (linked * (self.config.spread / (mean + _LEAST))).unsqueeze(1)
