"""In what order good items are shown: less alike, or rather broad or rather specific ones.

Knows a pool of scored items, how alike two of them are, and how far from the origin or how deep in the tree they lie.
Does not know why the scores are what they are. Shapes: b users, p items of a pool, k places.

Diversity is maximal marginal relevance (Carbonell and Goldstein, 1998): place after place, the item with the highest
(1 − λ)·relevance − λ·(likeness to what stands above it). In hyperbolic space general things lie near the origin and
specific ones far out, so breadth is a preference for a radius; or for a tag level, which says the same in names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ConfigError
from hyperllm.evaluation.rank import NOTHING, TopK
from hyperllm.ids import Rows
from hyperllm.serving.model import ScoreModel

By = Literal["radius", "level"]
Doubles = npt.NDArray[np.float64]
_POOL = 5
_LEAST = 100


@dataclass(frozen=True)
class Order:
    """``diversity`` from 0 (none) to 1 (nothing else counts); ``breadth`` from −1 (specific) to 1 (broad).

    ``by`` says what is broad: a small ``radius``, or tags of a low ``level``. Scores stay what they are, so they need
    not fall from place to place.
    """

    diversity: float = 0.0
    breadth: float = 0.0
    by: By = "radius"

    def __post_init__(self) -> None:
        if not 0 <= self.diversity <= 1 or not -1 <= self.breadth <= 1:
            raise ConfigError(
                f"diversity is {self.diversity} and breadth {self.breadth}; expected 0 to 1, and -1 to 1 (broad)."
            )
        if self.by not in get_args(By):
            raise ConfigError(f"by is {self.by!r}; choose one of {', '.join(get_args(By))}.")

    def __bool__(self) -> bool:
        return bool(self.diversity or self.breadth)

    def pool(self, k: int) -> int:
        """How many of the best items are looked at for ``k`` places."""
        return max(_POOL * k, _LEAST) if self else k

    def arranged(self, model: ScoreModel, found: TopK, k: int) -> TopK:
        """``k`` of the items (b, p) that were found for each user, in this order."""
        if not self:
            return found
        items = np.full((len(found), k), NOTHING, dtype=np.int64)
        scores = np.full((len(found), k), -np.inf, dtype=found.scores.dtype)
        for user in range(len(found)):
            rows = found.items[user][found.items[user] != NOTHING]
            places = self._places(model, rows, found.scores[user, : len(rows)].astype(np.float64), k)
            items[user, : len(places)] = rows[places]
            scores[user, : len(places)] = found.scores[user, places]
        return TopK(items, scores)

    def _places(self, model: ScoreModel, rows: Rows, scores: Doubles, k: int) -> Rows:
        """Which of the pool's items (p,) come, in their new order."""
        if not len(rows):
            return np.empty(0, dtype=np.int64)
        value = _unit(scores)
        if self.breadth:
            broad = 1.0 - _percentile(specificity(model, rows, self.by))
            value = (1 - abs(self.breadth)) * value + abs(self.breadth) * (broad if self.breadth > 0 else 1 - broad)
        if not self.diversity:
            return np.argsort(-value, kind="stable")[:k]
        return _marginal(value, likeness(model, rows), self.diversity, k)


def _marginal(value: Doubles, alike: Doubles, weight: float, k: int) -> Rows:
    """Maximal marginal relevance over a pool (p,) with likenesses (p, p)."""
    chosen: list[int] = []
    nearest = np.zeros(len(value))
    left = (1 - weight) * value
    for _ in range(min(k, len(value))):
        gain = left - weight * nearest
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, alike[best])
    return np.array(chosen, dtype=np.int64)


def likeness(model: ScoreModel, rows: Rows) -> Doubles:
    """(p, p) from 0 to 1: the cosine of two items' tags where there are tags, else e^−distance of their points."""
    if model.tags is not None:
        columns = model.tag_columns[:, rows]
        return np.clip((columns.T @ columns).toarray(), 0, 1)
    near = model.similarities(rows, np.broadcast_to(rows, (len(rows), len(rows))))
    return np.exp(near) if model.curved else np.clip(near, 0, 1)


def specificity(model: ScoreModel, rows: Rows, by: By) -> Doubles:
    """(p,) how specific items are: their distance from the origin, or the mean level of their tags.

    Where no level is known, rare tags count as specific. Raises `ConfigError` where a model has no radii or no tags.
    """
    if by == "radius":
        if not model.curved:
            raise ConfigError("this model is not hyperbolic, so its items have no radius; order by level.")
        return model.radii[rows]
    if model.tags is None:
        raise ConfigError("this model has no tags, so its items have no level; order by radius.")
    return model.tag_depth[rows]


def _unit(scores: Doubles) -> Doubles:
    """Scores (p,) moved and scaled to 0 … 1."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones(len(scores))


def _percentile(values: Doubles) -> Doubles:
    """Places (p,) from 0 to 1 by ascending value, equals sharing theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2
    return middle[place] / max(1, len(values) - 1)
