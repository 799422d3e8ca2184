"""LGCF: Fully Hyperbolic Graph Convolution Network for Recommendation (Wang et al., CIKM 2021).

LightGCN with every mean an Einstein midpoint: each layer is the midpoint of a node and its neighbours, the final point
the midpoint of the layers 1 … L or the last of them. Computed as centroids on the hyperboloid, which they equal.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass as settings
from torch import Tensor

from hyperllm.backbones.centroid import CentroidBackbone, CentroidConfig
from hyperllm.config import SETTINGS
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph


@settings(frozen=True, config=SETTINGS)
class LGCFConfig(CentroidConfig):
    """Settings of LGCF."""

    combination: Literal["centroid", "last"] = "centroid"
    """The final point is the centroid of the layers 1 to L, or the last layer."""


class LGCF(CentroidBackbone):
    """Centroid layers and their centroid; hinge on squared distances."""

    config_class = LGCFConfig
    config: LGCFConfig

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """log₀ of the final point."""
        *rest, last = self.layers(x, graph)
        if rest and self.config.combination == "centroid":
            last = lorentz.normalise(sum(rest, last), self.config.curvature)
        return lorentz.logmap0(last, self.config.curvature)
