"""What the fully hyperbolic backbones share: layers of centroids, xˡ = cen(Â, xˡ⁻¹).

Lorentz centroid, Möbius gyromidpoint and Einstein midpoint are one operator, so every such paper's layer is one sparse
product of points and a normalisation. Knows no way to combine the layers. Shapes: n nodes, d intrinsic dims.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.base import Backbone, BackboneConfig
from hyperllm.config import SETTINGS
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph


@settings(frozen=True, config=SETTINGS)
class CentroidConfig(BackboneConfig):
    """Settings of a backbone whose layers are centroids."""

    radius: PositiveFloat | None = None
    """Longest geodesic radius of a final point; None for no clamp, as published."""


class CentroidBackbone(Backbone):
    """Base class: subclasses write `combine` from `enter` and `layers`."""

    config_class = CentroidConfig

    def enter(self, x: Tensor) -> Tensor:
        """The points x⁰ (n, d+1) of the inputs; here, not in `read_out`, a time coordinate is used up."""
        if self.config.time_coordinate:
            return lorentz.expmap0_with_time(x, radius=self.config.radius)
        return lorentz.expmap0(x, self.config.curvature)

    def layers(self, x: Tensor, graph: Graph) -> Iterator[Tensor]:
        """x¹ … xᴸ of input tangent vectors, each the centroids of its predecessor's neighbours."""
        points = self.enter(x)
        for _ in range(self.config.layers):
            points = lorentz.centroid(graph, points, self.config.curvature)
            yield points

    def read_out(self, tangent: Tensor) -> Tensor:
        """Clamp the radius, where one is set, and map to the hyperboloid."""
        return lorentz.expmap0(tangent, self.config.curvature, radius=self.config.radius, soft=self.config.soft_radius)
