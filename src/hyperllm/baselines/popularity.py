"""The same list for everyone: items by their number of training interactions.

Knows the training pairs. Does not know the user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperllm.data.catalog import Catalog
from hyperllm.data.split import Split
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class PopularityConfig:
    """There is nothing to set."""


def popularity(split: Split) -> ScoreModel:
    """Score = training interactions of the item, as the product of a 1 and the count."""
    return fit_popularity(split, PopularityConfig())


def fit_popularity(split: Split, config: PopularityConfig) -> ScoreModel:
    """`popularity` as the registry calls it."""
    del config
    seen = split.train.matrix(len(split.users), len(split.items))
    counts = np.bincount(seen.indices, minlength=len(split.items)).astype(np.float32)
    return ScoreModel(
        users=split.users,
        items=split.items,
        user_vectors=np.ones((len(split.users), 1), dtype=np.float32),
        item_vectors=counts[:, None],
        geometry="inner",
        seen=seen,
        catalog=Catalog.empty(split.items),
    )
