"""The contract of a backbone.

A backbone turns tangent vectors and a graph into points, and points and triplets into named losses. It may have weights
of its own; it never owns node tables, a graph, a margin or a data set. Shapes: n nodes, d intrinsic dims, b
triplets, q negatives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass as settings
from torch import Tensor, nn

from hyperllm.config import SETTINGS
from hyperllm.errors import ConfigError
from hyperllm.geometry import columns, lorentz
from hyperllm.geometry.manifold import Euclidean, Lorentz
from hyperllm.graph import Graph, Triplets
from hyperllm.losses.contrastive import contrastive
from hyperllm.losses.ranking import margin_ranking
from hyperllm.losses.softmax import distance_softmax


@dataclass(frozen=True)
class Encoded:
    """``points`` (n, d+1) of the manifold, ``tangent`` (n, d) before the clamp, further ``views`` for `losses`."""

    points: Tensor
    tangent: Tensor
    views: tuple[Tensor, ...] = ()


@settings(frozen=True, config=SETTINGS)
class BackboneConfig:
    """Settings every backbone has."""

    curvature: Annotated[float, Field(ge=1e-3)] = 1.0
    """c of the points' space, whose sectional curvature is −c; nearer to flat, float32 runs out of digits."""
    layers: PositiveInt = 3
    """Graph layers L; the input itself (layer 0) is not summed."""
    radius: PositiveFloat | None = 1.5
    """Longest geodesic radius of a final point; None for no clamp."""
    soft_radius: bool = False
    """Clamp through r·tanh(ρ/r) instead of a hard min."""
    time_coordinate: bool = False
    """Repeat the published code: inputs are (n, d+1) with a time coordinate that scales the point's radius."""


class Backbone(nn.Module):
    """Base class: subclasses write `combine`, and override `losses` when they add terms."""

    config_class: type[BackboneConfig] = BackboneConfig

    @property
    def manifold(self) -> Lorentz | Euclidean:
        """The space of the points."""
        return Lorentz(self.config.curvature)

    def __init__(self, config: BackboneConfig | None = None) -> None:
        super().__init__()
        self.config = config or self.config_class()
        if not isinstance(self.config, self.config_class):
            name, wanted = type(self).__name__, self.config_class.__name__
            raise ConfigError(f"{name} has settings of its own, {wanted}; found {type(config).__name__}")
        if self.config.time_coordinate and self.config.curvature != 1:
            raise ConfigError("time_coordinate repeats code that knows curvature 1 only; drop one of the two settings")

    def reconfigured(self, **changes: object) -> Self:
        """A fresh backbone of the same kind with other settings."""
        return type(self)(replace(self.config, **changes))  # type: ignore[arg-type]

    def start(self, rng: torch.Generator) -> None:
        """Draw the backbone's own weights, where it has some; every training begins with this."""

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """Input tangent vectors (n, d) to output tangent vectors (n, d)."""
        raise NotImplementedError

    def forward(self, x: Tensor, graph: Graph, *, train: bool = False, rng: torch.Generator | None = None) -> Encoded:
        """Encode all nodes of ``graph``; ``rng`` feeds backbones that drop edges while they train."""
        tangent = self.combine(x, graph)
        return Encoded(self.read_out(tangent), tangent)

    def read_out(self, tangent: Tensor) -> Tensor:
        """Clamp the radius and map to the hyperboloid."""
        if self.config.time_coordinate:
            return lorentz.expmap0_with_time(tangent, radius=self.config.radius)
        return lorentz.expmap0(tangent, self.config.curvature, radius=self.config.radius, soft=self.config.soft_radius)

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """Named scalar terms, each already weighted; their sum is the backbone's loss (sum over the batch)."""
        return {"rank": margin_ranking(encoded.points, triplets, margin=margin, c=self.config.curvature)}

    def softmax(self, points: Tensor, triplets: Triplets, *, temperature: float, negatives: int) -> Tensor:
        """`losses.softmax` on minus squared distances, each anchor against the batch's first ``negatives``."""
        chosen = shared_negatives(points, triplets, negatives)
        return distance_softmax(*chosen, temperature=temperature, c=self.config.curvature)

    def contrast(self, a: Tensor, b: Tensor, *, temperature: float, population: int | None = None) -> Tensor:
        """Eq. 16 between two views (s, d+1) of the same nodes' points, a scalar; see `losses.contrastive`."""
        return contrastive(a, b, temperature=temperature, c=self.config.curvature, population=population)

    def batch_weight(self, triplets: Triplets) -> float:
        """What a mean over the batch is multiplied by to stand beside `losses`, which sum over it."""
        return float(len(triplets.anchor))

    def saturated(self, encoded: Encoded) -> Tensor:
        """Share of nodes whose radius the clamp shortened (a scalar); 0 without a clamp."""
        if self.config.radius is None:
            return encoded.points.new_zeros(())
        free = columns.now().lengths(encoded.tangent[:, int(self.config.time_coordinate) :])
        kept = columns.now().lengths(self.manifold.logmap0(encoded.points))
        return (kept < free * (1 - 1e-4)).float().mean()


def shared_negatives(points: Tensor, triplets: Triplets, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points of anchors (b, d+1), positives (b, d+1), and of the first ``count`` negatives of the batch, for all.

    An item may be the negative of a user who has it: rarely, as catalogues are larger than histories.
    """
    anchor, positive = (points.index_select(0, rows) for rows in (triplets.anchor, triplets.positive))
    return anchor, positive, points.index_select(0, triplets.negative.reshape(-1)[:count])
