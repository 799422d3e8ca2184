"""Item-kNN: items that were chosen by the same users, through the package `implicit`.

Knows the training pairs; keeps ``neighbours`` other items of each item. Does not know how `implicit` finds them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from scipy import sparse

from hyperllm.baselines.library import implicit
from hyperllm.baselines.linear import LinearConfig, Strength, histories, neighbours, served
from hyperllm.config import SETTINGS
from hyperllm.data.split import Split
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True, config=SETTINGS)
class ItemKnnConfig(LinearConfig):
    """Settings of `fit_itemknn`."""

    neighbours: PositiveInt = 100
    """Items kept for each item."""
    similarity: Literal["cosine", "tfidf", "bm25"] = "cosine"
    """Of two items' users: their cosine, the same with active users counting less, or a product of BM25 weights."""
    shrinkage: Strength = 10.0
    """h: every item has as much as h clicks more of a user of its own, so that few clicks in common are not much; with
    cosine, |both| / √((|one| + h)(|other| + h)). Ignored by bm25."""


def fit_itemknn(split: Split, config: ItemKnnConfig) -> ScoreModel:
    """The similarities (I, I) as an item–item model.

    Raises `ConfigError` without `implicit`, `DataError` where the catalogue is too large for a dense matrix.
    """
    history = histories(split, config)
    with implicit("nearest_neighbours") as library:
        model = library.ItemItemRecommender(K=config.neighbours + 1)  # one place may go to the item itself
        model.fit(_weighted(library, history.T, config).T.tocsr(), show_progress=False)
    return served(split, history, neighbours(model.similarity, config.neighbours))


def _weighted(library: Any, items: sparse.csc_matrix, config: ItemKnnConfig) -> sparse.coo_matrix:
    """Rows of items, over users and users of their own, whose products are the similarity; ``items`` is (I, U)."""
    if config.similarity == "bm25":
        return library.bm25_weight(items, K1=1.2, B=0.75)
    rows: Any = library.tfidf_weight(items) if config.similarity == "tfidf" else items
    own = np.sqrt(config.shrinkage * np.square(rows.data).mean())
    return library.normalize(sparse.hstack([rows, own * sparse.identity(rows.shape[0])]))
