"""Text vectors as inputs of a framework.

Knows how the semantics of a world become one matrix of users, then items. Does not know what is done with it. Shapes:
u users, i items, d₁ text dims, r kept ones.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from hyperllm.config import SETTINGS
from hyperllm.errors import DataError
from hyperllm.frameworks.config import BaseConfig
from hyperllm.frameworks.whitening import Whitening
from hyperllm.frameworks.world import World


@dataclass(frozen=True, config=SETTINGS)
class TextConfig(BaseConfig):
    """What the rivals that read texts share: free tables, and Euclidean layers over text vectors."""

    text_dim: PositiveInt | None = None
    """PCA-whiten text vectors to this many directions of unit length; none feeds them as they are, as published."""
    text_learning_rate: PositiveFloat = 1e-3
    """Step size of Adam for the layers over text vectors."""


def text_features(world: World, dim: int | None) -> Tensor:
    """(u + i, r) text vectors: whitened to ``dim`` directions and scaled to unit length, or (u + i, d₁) as they are."""
    if world.semantics is None:
        raise DataError("this needs text vectors; run `hyperllm embed` first, or train without: base, or structural")
    users, items = world.semantics.user_vectors, world.semantics.item_vectors
    if dim is not None:
        step = Whitening.fit(items, dim=dim)
        users, items = step.directions(users), step.directions(items)
    return torch.from_numpy(np.concatenate([users, items])).to(world.device)


def mean_of_items(world: World, items: Tensor) -> Tensor:
    """(u, r) means of the vectors (i, r) of each user's training items."""
    user, item = (torch.from_numpy(world.train[:, side].copy()).to(items.device) for side in (0, 1))
    total = items.new_zeros(world.users, items.shape[1]).index_add_(0, user, items.index_select(0, item))
    return total / torch.bincount(user, minlength=world.users).clamp_min(1).unsqueeze(1)
