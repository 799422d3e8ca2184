"""HERec: A Hyperbolic Graph-LLM Framework for Exploration and Exploitation (arXiv 2411.13865), its alignment, ported.

Free tables and the backbone's own loss, beside the squared geodesic distance between a node's point and the point that
its text vector s is brought to. Shapes: n nodes, b triplets, d dims, d₁ text dims.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from hyperllm.backbones.base import Encoded
from hyperllm.config import SETTINGS
from hyperllm.frameworks.base import Batch
from hyperllm.frameworks.rlmrec import Projected
from hyperllm.frameworks.text import TextConfig


@dataclass(frozen=True, config=SETTINGS)
class HERecConfig(TextConfig):
    """HERec."""

    text_learning_rate: PositiveFloat = 1e-4
    """Step size of Adam for the layers over text vectors."""
    align_weight: NonNegativeFloat = 0.1
    """α of the alignment, a sum over users and positives of the batch; 0 is plain training."""


class HERec(Projected):
    """α·Σ over users and positives of d²(h, exp₀(f(s))); f is shared by users and items."""

    config_class = HERecConfig
    config: HERecConfig

    def extra_losses(self, x: Tensor, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """``align``; not computed where α is 0."""
        if not self.config.align_weight:
            return {}
        drawn, manifold = batch.user_item, self.backbone.manifold
        rows, times = torch.unique(torch.cat([drawn.anchor, drawn.positive]), return_counts=True)
        texts = manifold.expmap0(self.project(self.texts.index_select(0, rows)))
        apart = manifold.sqdist(encoded.points.index_select(0, rows), texts)
        weight = self.config.align_weight * self.backbone.batch_weight(drawn) / len(drawn.anchor)
        return {"align": weight * (times * apart).sum()}
