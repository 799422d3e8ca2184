"""LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation (He et al., SIGIR 2020).

The Euclidean backbone: out = mean of x, Ãx … Ãᴸx with Ã = D^{-½}AD^{-½}, ranked by inner products with BPR. Shapes:
n nodes, d dims, b triplets, q negatives.
"""

from __future__ import annotations

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass as settings
from torch import Tensor
from torch.nn.functional import softplus

from hyperllm.backbones.base import Backbone, BackboneConfig, Encoded, shared_negatives
from hyperllm.config import SETTINGS
from hyperllm.geometry import columns, lorentz
from hyperllm.geometry.manifold import Euclidean
from hyperllm.graph import Graph, Triplets
from hyperllm.losses.contrastive import contrastive_flat
from hyperllm.losses.softmax import sampled_softmax


@settings(frozen=True, config=SETTINGS)
class LightGCNConfig(BackboneConfig):
    """Settings of LightGCN; ``curvature`` means nothing to it."""

    radius: PositiveFloat | None = None
    """Longest final vector; None for no clamp, as published."""


class LightGCN(Backbone):
    """Mean of linear layers with the input itself, BPR on inner products; margin 0 is the published loss.

    Deviation: published code decays the table rows of a batch's nodes; here ``weight_decay`` decays all of them.
    """

    config_class = LightGCNConfig
    config: LightGCNConfig

    @property
    def manifold(self) -> Euclidean:
        """Flat space."""
        return Euclidean()

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        """(x + Σ_{ℓ=1..L} Ãˡ x)/(L + 1)."""
        layers = self.config.layers
        return (x + graph.symmetric.propagated_sum(x, layers)) / (layers + 1)

    def read_out(self, tangent: Tensor) -> Tensor:
        """Clamp the length where a radius is set; a time coordinate is dropped."""
        config = self.config
        vectors = tangent[:, 1:] if config.time_coordinate else tangent
        if config.radius is None:
            return vectors
        return lorentz.clamp_radius(vectors, config.radius, soft=config.soft_radius)

    def losses(self, encoded: Encoded, triplets: Triplets, *, margin: float) -> dict[str, Tensor]:
        """BPR: sum over triplets and negatives of −ln σ(⟨a,p⟩ − ⟨a,n⟩ − margin)."""
        here = columns.now()
        mine = triplets.rows(here.share(len(triplets)))
        anchor, positive = (encoded.points.index_select(0, rows) for rows in (mine.anchor, mine.positive))
        b, q = mine.negative.shape
        negative = encoded.points.index_select(0, mine.negative.reshape(-1)).reshape(b, q, -1)
        near = columns.total((anchor * positive).sum(-1))
        far = columns.total((anchor.unsqueeze(1) * negative).sum(-1))
        return {"rank": here.over_batch(softplus(margin - near.unsqueeze(1) + far).sum())}

    def softmax(self, points: Tensor, triplets: Triplets, *, temperature: float, negatives: int) -> Tensor:
        """The same on inner products."""
        anchor, positive, others = shared_negatives(points, triplets, negatives)
        near, far = columns.total((anchor * positive).sum(-1)), columns.total(anchor @ others.T)
        return sampled_softmax(near, far, temperature=temperature)

    def contrast(self, a: Tensor, b: Tensor, *, temperature: float, population: int | None = None) -> Tensor:
        """Eq. 16 with Euclidean distances."""
        return contrastive_flat(a, b, temperature=temperature, population=population)
