"""RP3beta: three steps of a random walk on the user–item graph, popular ends held back (Paudel et al., 2016).

Knows the training pairs X, with n_u clicks of user u and m_i of item i. A walk from item i to a user and on to item j
weighs W_ij = Σ_u (x_ui / m_i)^α (x_uj / n_u)^α / m_j^β; of each row the ``neighbours`` largest are kept.
"""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from scipy import sparse

from hyperllm.baselines.linear import LinearConfig, Strength, histories, neighbours, served
from hyperllm.config import SETTINGS
from hyperllm.data.split import Split
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True, config=SETTINGS)
class Rp3betaConfig(LinearConfig):
    """Settings of `fit_rp3beta`."""

    alpha: Strength = 0.6
    """α, the power of a step's probability: below 1, users and items with many clicks count for more."""
    beta: Strength = 0.0
    """β, how much an item's popularity is held against it."""
    neighbours: PositiveInt = 500
    """Items kept for each item."""


def fit_rp3beta(split: Split, config: Rp3betaConfig) -> ScoreModel:
    """W (I, I) as an item–item model; raises `DataError` where the catalogue is too large for a dense matrix."""
    history = histories(split, config)
    wide = history.astype(np.float64)
    clicks, popularity = (np.maximum(np.asarray(wide.sum(axis=axis)).ravel(), 1.0) for axis in (1, 0))
    steps = sparse.diags(popularity**-config.alpha) @ wide.T @ sparse.diags(clicks**-config.alpha) @ wide
    walks = sparse.csr_matrix(steps @ sparse.diags(popularity**-config.beta))
    return served(split, history, neighbours(walks, config.neighbours))
