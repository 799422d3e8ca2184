"""Content kNN: items that read like a user's own; an item that nobody has yet is found as well.

Knows the training pairs, the items' text vectors and, where they count, their tags. s(i, j) = max(0, cosine of the
centred text vectors + w · cosine of the tags, rare ones weighing more), and 0 for an item with itself. Every item j
leans on its ``neighbours`` most similar items among those with a training interaction, since no history holds another:
score(u, j) = Σ of s(i, j) over the items i of u's history among them. Does not know who made the vectors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from scipy import sparse

from hyperllm.baselines.linear import LinearConfig, Strength, histories, served
from hyperllm.config import SETTINGS
from hyperllm.data.semantics import Semantics, centred
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError, MisalignedArrays
from hyperllm.evaluation.rank import NOTHING, topk
from hyperllm.serving.model import ScoreModel

Doubles = npt.NDArray[np.float64]
_ITEMS_AT_ONCE = 512


@dataclass(frozen=True, config=SETTINGS)
class ContentConfig(LinearConfig):
    """Settings of `fit_content`."""

    neighbours: PositiveInt | None = 100
    """Items kept for each item; none keeps all."""
    tag_weight: Strength = 0.0
    """w: what a full agreement of tags is worth, where one of texts is worth 1; above 0, tags are needed."""


def fit_content(split: Split, config: ContentConfig, semantics: Semantics, tags: TagGraph | None = None) -> ScoreModel:
    """The similarities (I, I) as an item–item model; with ``tag_weight`` 0 ``tags`` are not read.

    Raises `DataError` where the catalogue is too large for a dense matrix, no item has a text vector, or tags count and
    there are none; `MisalignedArrays` on vectors or tags of other items.
    """
    if semantics.items != split.items or (tags is not None and tags.items != split.items):
        raise MisalignedArrays(
            "the text vectors or tags belong to other items than the split; make them again in this workspace"
        )
    if not semantics.item_vectors.any():
        raise DataError("no item has a text vector; give the items texts and run `embed` again")
    history = histories(split, config)
    texts, labels = centred(semantics.item_vectors), _tag_columns(config, tags)
    unknown = np.bincount(split.train.item, minlength=len(split.items)) == 0
    similarity = np.empty((len(split.items), len(split.items)), dtype=np.float32)
    for start in range(0, len(split.items), _ITEMS_AT_ONCE):
        part = slice(start, start + _ITEMS_AT_ONCE)
        block = texts[part] @ texts.T
        if labels is not None:
            block += config.tag_weight * (labels[:, part].T @ labels).toarray()
        block[:, unknown] = 0.0
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        similarity[part] = _nearest(np.maximum(block, 0.0), config.neighbours)
    return served(split, history, similarity.T, tags=tags)


def _tag_columns(config: ContentConfig, tags: TagGraph | None) -> sparse.csr_matrix | None:
    """Tags (t, I) whose columns' products are cosines; None where they do not count."""
    if not config.tag_weight:
        return None
    if tags is None:
        raise DataError("a tag_weight above 0 needs tags; run `hyperllm extract` first, or set it to 0")
    return tags.rows()


def _nearest(similarity: Doubles, k: int | None) -> Doubles:
    """Of each row (n, I) the k largest above 0, the rest 0; ties go to the smaller row number."""
    if k is None:
        return similarity
    found = topk(np.where(similarity > 0, similarity, -np.inf), k).items
    row, place = np.nonzero(found != NOTHING)
    kept = np.zeros_like(similarity)
    kept[row, found[row, place]] = similarity[row, found[row, place]]
    return kept
