"""Implicit ALS: factors by alternating least squares (Hu, Koren and Volinsky, 2008), through the package `implicit`.

Knows the training pairs as a binary matrix X. Minimises Σ c_ui (x_ui − p_u·q_i)² + λ (Σ|p_u|² + Σ|q_i|²) over all
pairs, with confidence c = ``alpha`` where x = 1, else 1. Does not know how `implicit` solves its linear systems. Every
row is solved by itself, so the factors are the same bits on any number of threads.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from hyperllm.baselines.library import implicit
from hyperllm.config import SETTINGS
from hyperllm.data.split import Split
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True, config=SETTINGS)
class AlsConfig:
    """Settings of `fit_als`."""

    factors: PositiveInt = 256
    """Dimension of the factors."""
    regularisation: Annotated[float, Field(gt=0, le=1e6)] = 100.0
    """λ, larger is smoother."""
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 40.0
    """How much a click counts, where an absent one counts 1."""
    iterations: PositiveInt = 15
    """Times that both sides are solved."""
    seed: NonNegativeInt = 0
    """Of the factors' start."""


def fit_als(split: Split, config: AlsConfig) -> ScoreModel:
    """Factors of users (U, f) and items (I, f), inner; raises `ConfigError` without `implicit`."""
    with implicit("cpu.als") as library:
        model = library.AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularisation,
            alpha=config.alpha,
            iterations=config.iterations,
            random_state=config.seed,
        )
        model.fit(split.train.matrix(len(split.users), len(split.items)), show_progress=False)
    return ScoreModel.of_points(split, users=model.user_factors, items=model.item_factors, geometry="inner")
