"""The published code's sampler, quirks and all, for the ``compat`` switch (protocol, "Training as published").

Deviation from sampling.py, on purpose: pairs are shuffled once and never again; the last incomplete batch never trains;
five workers share one random state, so every batch is served five times; an epoch is a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hyperllm.graph import Triplets
from hyperllm.ids import Rows
from hyperllm.training.sampling import PositivePairs, TripletSampler
from hyperllm.training.streams import Streams

COPIES = 5


class CompatSampler(TripletSampler):
    """Serves step t of the whole run: batch ⌊t/5⌋ of an endless cycle over once-shuffled pairs."""

    def __init__(
        self,
        positives: PositivePairs,
        *,
        batch_size: int,
        streams: Streams,
        name: str,
        anchored: Rows | None = None,
        negatives: int = 1,
    ) -> None:
        super().__init__(positives, negatives=negatives)
        served = self.pairs if anchored is None else anchored
        self._streams, self._name = streams, name
        self._order = served[streams.numpy(f"{name}/order").permutation(len(served))]
        self._size = min(batch_size, len(served))

    def steps(self, first: int, count: int) -> Iterator[Triplets]:
        """Steps ``first`` … of the run, 0-based."""
        whole = max(1, len(self._order) // self._size)
        for step in range(first, first + count):
            number = step // COPIES
            start = number % whole * self._size
            pairs = self._order[start : start + self._size]
            rng = self._streams.numpy(f"{self._name}/negatives", number)
            yield self._nodes(pairs, self.draw(pairs[:, 0], rng))


def half_of_nonzeros(edges: Rows) -> Rows:
    """First half of the row-sorted symmetric non-zeros: what the published code takes for one direction an edge."""
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    both = both[both[:, 0] != both[:, 1]]
    return both[: len(both) // 2]
