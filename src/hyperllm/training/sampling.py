"""Exact, vectorised triplet sampling.

An epoch is one pass over all positive pairs, reshuffled, the last batch kept. Negatives are uniform over the pool minus
the anchor's positives: rejection where positives are few, drawing from the complement where an anchor is linked to more
than half of the pool; an anchor linked to everything is left out. Knows row numbers only. Shapes: m pairs, b batch, q
negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from hyperllm.graph import MOST, Triplets
from hyperllm.ids import Rows, distinct

_RETRIES = 64


@dataclass(frozen=True)
class PositivePairs:
    """Distinct pairs (m, 2) of (anchor, positive); negatives come from 0 … pool−1.

    ``anchor_offset`` and ``pool_offset`` turn row numbers into node numbers of a graph.
    """

    pairs: Rows
    pool: int
    anchor_offset: int = 0
    pool_offset: int = 0
    exclude_anchor: bool = False

    def __len__(self) -> int:
        return len(self.pairs)


class TripletSampler:
    """Draws one epoch of triplets at a time; its length is 0 where every anchor is linked to every candidate."""

    def __init__(self, positives: PositivePairs, *, negatives: int = 1) -> None:
        self.positives = positives
        self.negatives = negatives
        taken = positives.pairs
        if positives.exclude_anchor:
            anchors = np.unique(taken[:, 0])
            taken = np.concatenate([taken, np.stack([anchors, anchors], axis=1)])
        keys = taken[:, 0] * positives.pool
        keys += taken[:, 1]
        self._keys = distinct(keys)
        owner = self._keys // positives.pool
        self._count = np.bincount(owner, minlength=int(taken[:, 0].max(initial=-1)) + 1)
        usable = self._count[positives.pairs[:, 0]] < positives.pool
        self.pairs = positives.pairs if usable.all() else positives.pairs[usable]
        self._hub = 2 * self._count > positives.pool
        hubs = np.flatnonzero(self._hub & (self._count < positives.pool))
        self._complement = {int(anchor): self._free(int(anchor)) for anchor in hubs}

    def __len__(self) -> int:
        return len(self.pairs)

    def _free(self, anchor: int) -> Rows:
        start, stop = np.searchsorted(self._keys, [anchor * self.positives.pool, (anchor + 1) * self.positives.pool])
        return np.setdiff1d(np.arange(self.positives.pool), self._keys[start:stop] - anchor * self.positives.pool)

    def _taken(self, keys: Rows) -> np.ndarray:
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._keys[place] == keys

    def draw(self, anchors: Rows, rng: np.random.Generator) -> Rows:
        """Negatives (b, q) for anchors (b,): none is a positive of its anchor."""
        repeated = np.repeat(anchors, self.negatives)
        drawn = rng.integers(self.positives.pool, size=len(repeated))
        of_hubs = np.flatnonzero(self._hub[repeated])
        for anchor in np.unique(repeated[of_hubs]):
            mine = of_hubs[repeated[of_hubs] == anchor]
            drawn[mine] = rng.choice(self._complement[int(anchor)], size=len(mine))
        wrong = np.arange(len(repeated))
        for _ in range(_RETRIES):
            wrong = wrong[self._taken(repeated[wrong] * self.positives.pool + drawn[wrong])]
            if not len(wrong):
                break
            drawn[wrong] = rng.integers(self.positives.pool, size=len(wrong))
        for place in wrong:
            drawn[place] = rng.choice(self._free(int(repeated[place])))
        return drawn.reshape(len(anchors), self.negatives)

    def epoch(self, rng: np.random.Generator, *, steps: int) -> Iterator[Triplets]:
        """All positive pairs once, shuffled, in ``steps`` nearly equal batches, each drawn as it is asked for."""
        order = np.arange(len(self.pairs), dtype=np.int32 if len(self.pairs) <= MOST else np.int64)
        rng.shuffle(order)
        edges = np.linspace(0, len(order), steps + 1).round().astype(int)
        for start, stop in pairwise(edges):
            pairs = self.pairs[order[start:stop]]
            yield self._nodes(pairs, self.draw(pairs[:, 0], rng))

    def _nodes(self, pairs: Rows, negatives: Rows) -> Triplets:
        offset = self.positives.pool_offset
        return Triplets(
            torch.from_numpy(pairs[:, 0] + self.positives.anchor_offset),
            torch.from_numpy(pairs[:, 1] + offset),
            torch.from_numpy(negatives + offset),
        )


def join(*parts: Triplets) -> Triplets:
    """Several batches as one."""
    return Triplets(
        torch.cat([p.anchor for p in parts]),
        torch.cat([p.positive for p in parts]),
        torch.cat([p.negative for p in parts]),
    )
