"""LLMInit: tables started from chosen coordinates of text vectors (arXiv 2503.01814), ported.

Knows which coordinates of an item's text vector become its free vector; a user starts as the mean of their training
items. Everything after that is plain training. Shapes: n nodes, d dims, d₁ text dims.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from hyperllm.config import SETTINGS
from hyperllm.errors import ConfigError
from hyperllm.frameworks.base import Base
from hyperllm.frameworks.config import BaseConfig
from hyperllm.frameworks.phase1 import scaled
from hyperllm.frameworks.text import mean_of_items, text_features

POPULAR = 0.2
"""Share of the items, the most clicked ones, whose variance chooses the coordinates."""


@dataclass(frozen=True, config=SETTINGS)
class LLMInitConfig(BaseConfig):
    """LLMInit."""

    select: Literal["variance", "uniform", "random"] = "variance"
    """Coordinates of the highest variance over popular items, evenly spaced ones, or drawn ones."""
    start_radius: PositiveFloat | None = None
    """Mean length to which the vectors are scaled, users and items apart; none leaves them."""


class LLMInit(Base):
    """`Base` from another start; it trains and costs the same."""

    config_class = LLMInitConfig
    config: LLMInitConfig
    uses_text = True

    def start(self) -> Tensor:
        """d coordinates of the items' text vectors, and their means for users."""
        world, config = self.world, self.config
        items = text_features(world, None)[world.users :].cpu()
        if items.shape[1] < config.dim:
            raise ConfigError(f"text vectors have {items.shape[1]} coordinates, dim asks for {config.dim}; lower dim")
        items = items[:, torch.from_numpy(self._coordinates(items))]
        parts = mean_of_items(world, items), items
        return torch.cat([scaled(part, config.start_radius) for part in parts])

    def _coordinates(self, items: Tensor) -> np.ndarray:
        dims, d = items.shape[1], self.config.dim
        if self.config.select == "random":
            return np.sort(self.streams.numpy("coordinates").choice(dims, d, replace=False))
        if self.config.select == "uniform":
            return np.arange(d) * dims // d
        clicks = np.bincount(self.world.train[:, 1], minlength=len(items))
        popular = np.argsort(-clicks, kind="stable")[: max(2, round(POPULAR * len(items)))]
        return np.sort(np.argsort(-items[torch.from_numpy(popular)].var(0).numpy(), kind="stable")[:d])
