"""EASE^R with tags: items that share tags lean on each other where clicks are few.

Knows the training pairs X and the tags T (t, I), weighted by how rare they are and of unit length an item, so that
TᵀT holds the cosines of two items' tags. Finds B with zero diagonal that minimises |X − XB|² + w|T − TB|² + λ|B|²
(Jeunen, Van Balen and Goethals, "Closed-Form Models for Collaborative Filtering with Side-Information", 2020): EASE^R
with XᵀX + w·TᵀT for its Gram matrix. Does not know the tags' levels or edges.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from hyperllm.baselines.ease import EaseConfig, gram, weights
from hyperllm.baselines.linear import Strength, histories, served
from hyperllm.config import SETTINGS
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import MisalignedArrays
from hyperllm.serving.model import ScoreModel

_ITEMS_AT_ONCE = 512


@dataclass(frozen=True, config=SETTINGS)
class EaseTagsConfig(EaseConfig):
    """Settings of `fit_ease_tags`."""

    tag_weight: Strength = 3.0
    """w: how many clicks a full agreement of tags is worth; 0 is EASE^R."""


def fit_ease_tags(split: Split, config: EaseTagsConfig, tags: TagGraph) -> ScoreModel:
    """B as an item–item model that carries the tags.

    Raises `DataError` where the catalogue is too large for a dense matrix, `MisalignedArrays` on tags of other items.
    """
    if tags.items != split.items:
        raise MisalignedArrays("the tags belong to other items than the split; make them again in this workspace")
    history = histories(split, config)
    matrix, rows = gram(history), tags.rows()
    for start in range(0, len(split.items), _ITEMS_AT_ONCE):
        part = slice(start, start + _ITEMS_AT_ONCE)
        matrix[:, part] += config.tag_weight * (rows.T @ rows[:, part].toarray())
    return served(split, history, weights(matrix, config.regularisation), tags=tags)
