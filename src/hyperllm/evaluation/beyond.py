"""What ranked lists are worth beyond accuracy.

Knows the lists of n users, the training pairs and, where there are some, the tags of the items. Does not know which
items the users liked in the end, nor who ranked them. Shapes: ``n`` lists, ``K`` places, ``U`` users, ``I`` items.

- ``coverage@k``, of the catalogue (Ge, Delgado-Battenfeld & Jannach 2010): share of all items that stand in any list.
- ``gini@k``, of exposure (Shani & Gunawardana 2011): Σⱼ (2j − I − 1) xⱼ / ((I − 1) Σⱼ xⱼ), with xⱼ the number of lists
  that hold the j-th least shown item; 0 where all items are shown alike, 1 where one item takes every place.
- ``novelty@k``, mean self-information (Zhou et al. 2010; Vargas & Castells 2011) in bits: −log₂ p(i), with p(i) the
  share of the U users who have i in training. An item that nobody has counts as if one user had it.
- ``arp@k``, average recommendation popularity (Yin et al. 2012): mean number of users with the item in training.
- ``popularity_lift@k`` (Abdollahpouri et al. 2020): (q − p) / p, with q the ARP and p the same mean over the users' own
  training items; 0 keeps the users' taste for the popular, 1 doubles it. Users without training items are left out.
- ``diversity@k``, intra-list (Smyth & McClave 2001; Ziegler et al. 2005): mean over the pairs of a list of 1 − Jaccard
  similarity of their tag sets. An item without tags forms no pair; a list without a pair is left out.

A mean is taken within each list and then over the lists, so that each user counts once; empty lists are left out. A
value that nothing defines, such as ``diversity`` without tags or at k = 1, is absent. Diversity depends on the tags:
compare it only between models that carry the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, MisalignedArrays
from hyperllm.evaluation.rank import NOTHING
from hyperllm.ids import Rows

Doubles = npt.NDArray[np.float64]
NAMES = ("coverage", "gini", "novelty", "arp", "popularity_lift", "diversity")
_PAIRS_AT_ONCE = 2**21


def beyond_accuracy(
    items: Rows, train: sparse.csr_matrix, *, user_rows: Rows, k: Sequence[int], tags: TagGraph | None = None
) -> dict[str, float]:
    """``NAME@k`` -> value for each of `NAMES` and each of ``k``, as the module defines them.

    ``items`` (n, K) are the lists of ``user_rows`` (n,), best first, with −1 in unused places; ``train`` (U, I) is the
    binary CSR matrix of training pairs; ``tags`` belongs to the same items. Raises `MisalignedArrays` where these do
    not fit, and `ConfigError` for a k that the lists do not reach.
    """
    users, catalogue = cast(tuple[int, int], train.shape)
    _check(items, catalogue, user_rows, k, tags)
    clicks = np.bincount(train.indices, minlength=catalogue).astype(np.float64)
    bits = np.log2(users / np.maximum(clicks, 1.0))
    taste = _taste(train[user_rows], clicks)
    diversity = {} if tags is None else tag_diversity(items, tags, k=k)
    found: dict[str, float] = {}
    for depth in k:
        lists = items[:, :depth]
        exposure = np.bincount(lists[lists != NOTHING], minlength=catalogue)
        popularity = _list_means(clicks, lists)
        values = {
            "coverage": float(np.count_nonzero(exposure) / catalogue),
            "gini": gini(exposure),
            "novelty": _mean(_list_means(bits, lists)),
            "arp": _mean(popularity),
            "popularity_lift": _lift(popularity, taste),
            "diversity": diversity.get(depth, np.nan),
        }
        found |= {f"{name}@{depth}": values[name] for name in NAMES if not np.isnan(values[name])}
    return found


def _check(items: Rows, catalogue: int, user_rows: Rows, k: Sequence[int], tags: TagGraph | None) -> None:
    if items.ndim != 2 or len(items) != len(user_rows):
        raise MisalignedArrays(
            f"the lists have shape {items.shape}; expected (users, places), {len(user_rows):,} rows."
        )
    if tags is not None and len(tags.items) != catalogue:
        raise MisalignedArrays(f"the tags belong to {len(tags.items):,} items; the training pairs have {catalogue:,}.")
    if not all(1 <= depth <= items.shape[1] for depth in k):
        raise ConfigError(f"k is {list(k)}; expected 1 to {items.shape[1]}, the places of a list.")


def gini(exposure: Rows) -> float:
    """Gini coefficient of counts (I,), 0 equal to 1 all in one place; NaN where there are none, or only one place."""
    places, total = len(exposure), exposure.sum()
    if places < 2 or not total:
        return np.nan
    return float((2 * np.arange(1, places + 1) - places - 1) @ np.sort(exposure) / ((places - 1) * total))


def tag_diversity(items: Rows, tags: TagGraph, *, k: Sequence[int]) -> dict[int, float]:
    """``k`` -> mean intra-list diversity by tags of lists (n, K); NaN where no list has two items with tags.

    In blocks of about 2²¹ pairs of places; within a block each different pair of items is looked at once.
    """
    carried = _tags_of(tags)  # its last row, an item without tags, stands for an unused place
    later, earlier = np.tril_indices(items.shape[1], -1)  # pairs of the first d places come first
    step = max(1, _PAIRS_AT_ONCE // max(1, len(later)))
    means: dict[int, list[Doubles]] = {depth: [] for depth in k}
    for start in range(0, len(items), step):
        lists = items[start : start + step]
        distance = _tag_distances(carried, lists[:, earlier], lists[:, later])
        for depth in k:
            means[depth].append(_row_means(distance[:, : depth * (depth - 1) // 2]))
    return {depth: _mean(np.concatenate([np.empty(0), *found])) for depth, found in means.items()}


def _tags_of(tags: TagGraph) -> sparse.csr_matrix:
    """Binary CSR matrix (I + 1, tags); the row after the last item is empty."""
    tag, item = tags.tag_items.T
    carried = sparse.csr_matrix(
        (np.ones(len(tag), dtype=np.float32), (item, tag)), shape=(len(tags.items) + 1, len(tags.tags))
    )
    carried.data[:] = 1.0
    return carried


def _tag_distances(carried: sparse.csr_matrix, left: Rows, right: Rows) -> Doubles:
    """1 − Jaccard similarity of the tag sets of two arrays of items of one shape; NaN where either has no tags."""
    count = np.diff(carried.indptr)
    left, right = (np.where(side == NOTHING, len(count) - 1, side) for side in (left, right))
    pairs = np.minimum(left, right) * len(count) + np.maximum(left, right)
    pairs, place = np.unique(pairs, return_inverse=True)
    one, other = np.divmod(pairs, len(count))
    shared = np.asarray(carried[one].multiply(carried[other]).sum(axis=1), dtype=np.float64).ravel()
    union = count[one] + count[other] - shared
    tagged = (count[one] > 0) & (count[other] > 0)
    distance = 1.0 - np.divide(shared, union, out=np.full(len(pairs), np.nan), where=tagged)
    return distance[place].reshape(left.shape)


def _taste(profiles: sparse.csr_matrix, clicks: Doubles) -> Doubles:
    """Mean popularity (n,) of each user's own items, ``profiles`` (n, I); NaN for a user without any."""
    count = np.diff(profiles.indptr)
    return np.divide(profiles @ clicks, count, out=np.full(len(count), np.nan), where=count > 0)


def _lift(popularity: Doubles, taste: Doubles) -> float:
    """(q − p) / p over the users who have both."""
    both = ~np.isnan(popularity) & ~np.isnan(taste)
    own = _mean(taste[both])
    return (_mean(popularity[both]) - own) / own


def _list_means(values: Doubles, lists: Rows) -> Doubles:
    """Mean (n,) of ``values`` (I,) over the filled places of lists (n, k); NaN for an empty list."""
    return _row_means(np.where(lists == NOTHING, np.nan, values[lists]))


def _row_means(values: Doubles) -> Doubles:
    """Mean (n,) of each row without its NaN; NaN where nothing is left."""
    there = ~np.isnan(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _mean(values: Doubles) -> float:
    """Mean without NaN; NaN where nothing is left."""
    return float(_row_means(values[None])[0])
