"""What a ranked list is worth to the user it was made for.

Knows, for n users at once, which of the K places hold a relevant item (``hits``, (n, K) bool, best place first) and how
many relevant items there are (``relevant``, (n,) int). Does not know users, items or scores. Every function gives one
value a user, (n,) float64; a user without relevant items counts 0 (`evaluate` leaves such users out).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hyperllm.ids import Rows

Hits = npt.NDArray[np.bool_]
PerUser = npt.NDArray[np.float64]
Metric = Callable[[Hits, Rows], PerUser]


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> PerUser:
    """part / whole, 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _found(hits: Hits) -> PerUser:
    return hits.sum(axis=1).astype(np.float64)


def recall(hits: Hits, relevant: Rows) -> PerUser:
    """Recall@K = hits / relevant items."""
    return _share(_found(hits), relevant.astype(np.float64))


def precision(hits: Hits, relevant: Rows) -> PerUser:
    """Precision@K = hits / K; unused places count as misses."""
    del relevant
    return _found(hits) / np.float64(hits.shape[1])


def hit(hits: Hits, relevant: Rows) -> PerUser:
    """Hit@K = 1 if any of the K places is right, else 0."""
    del relevant
    return (_found(hits) > 0).astype(np.float64)


def ndcg(hits: Hits, relevant: Rows) -> PerUser:
    """NDCG@K with gains 0 and 1, discount 1/log₂(place + 1), and the ideal list cut at min(relevant, K)."""
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    return _share(hits @ discount, ideal[np.minimum(relevant, hits.shape[1])])


def mrr(hits: Hits, relevant: Rows) -> PerUser:
    """Reciprocal rank: 1 / place of the first hit, 0 without one."""
    del relevant
    return hits.any(axis=1) / (hits.argmax(axis=1) + 1.0)


def average_precision(hits: Hits, relevant: Rows) -> PerUser:
    """AP@K: precision at each hit, summed, over min(relevant, K); its mean over users is MAP@K."""
    at = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _share((at * hits).sum(axis=1), np.minimum(relevant, hits.shape[1]).astype(np.float64))


METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "hit": hit,
    "mrr": mrr,
    "map": average_precision,
}
