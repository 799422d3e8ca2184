"""The published sampler's quirks, each pinned."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.graph import Triplets
from hyperllm.training.compat import COPIES, CompatSampler, half_of_nonzeros
from hyperllm.training.sampling import PositivePairs
from hyperllm.training.streams import Streams

PAIRS = np.argwhere(np.random.default_rng(0).random((12, 15)) < 0.3).astype(np.int64)


def sampler(size: int = 10, seed: int = 3, **more: object) -> CompatSampler:
    return CompatSampler(
        PositivePairs(PAIRS, 15, 0, 12),
        batch_size=size,
        streams=Streams(seed),
        name="user-item",
        **more,  # type: ignore[arg-type]
    )


def key(t: Triplets) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, (t.anchor.tolist(), t.positive.tolist(), t.negative.flatten().tolist())))


def positives(t: Triplets) -> list[tuple[int, int]]:
    return list(zip(t.anchor.tolist(), (t.positive - 12).tolist(), strict=True))


def test_each_batch_is_served_exactly_five_times_negatives_included() -> None:
    served = Counter(key(t) for t in sampler().steps(0, 40 * COPIES))
    assert len(served) == 40
    assert set(served.values()) == {COPIES}


def test_the_tail_never_trains_and_the_order_never_changes() -> None:
    whole = len(PAIRS) // 10
    assert len(PAIRS) % 10, "this world needs a tail"
    first = [positives(t) for t in islice(sampler().steps(0, whole * COPIES), 0, None, COPIES)]
    second = [positives(t) for t in islice(sampler().steps(whole * COPIES, whole * COPIES), 0, None, COPIES)]
    assert first == second
    trained = {pair for batch in first for pair in batch}
    assert len(trained) == 10 * whole
    assert trained < set(map(tuple, PAIRS.tolist()))


def test_steps_do_not_depend_on_where_they_are_counted_from() -> None:
    whole = [key(t) for t in sampler().steps(0, 30)]
    assert [key(t) for start in range(0, 30, 6) for t in sampler().steps(start, 6)] == whole
    assert [key(t) for t in sampler(seed=4).steps(0, 30)] != whole


def test_negatives_are_no_positives() -> None:
    links = set(map(tuple, PAIRS.tolist()))
    for t in sampler(negatives=3).steps(0, 20):
        for anchor, drawn in zip(t.anchor.tolist(), (t.negative - 12).tolist(), strict=True):
            assert not links & {(anchor, n) for n in drawn}


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    (only,) = sampler(size=10_000).steps(0, 1)
    assert len(only) == len(PAIRS)


def test_only_the_anchored_pairs_are_served() -> None:
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    both = np.concatenate([edges, edges[:, ::-1]])
    half = half_of_nonzeros(edges)
    found = CompatSampler(PositivePairs(both, 4), batch_size=3, streams=Streams(0), name="tag-tag", anchored=half)
    (batch,) = found.steps(0, 1)
    assert sorted(zip(batch.anchor.tolist(), batch.positive.tolist(), strict=True)) == sorted(map(tuple, half.tolist()))


def test_half_of_nonzeros_by_hand() -> None:
    """A path 0–1–2–3 has the sorted non-zeros 01 10 12 21 23 32; the first three are taken, so 2–3 never trains."""
    assert half_of_nonzeros(np.array([[1, 0], [1, 2], [3, 2], [2, 2]])).tolist() == [[0, 1], [1, 0], [1, 2]]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_half_of_nonzeros_are_existing_pairs_with_the_lowest_anchors(edges: list[tuple[int, int]]) -> None:
    found = half_of_nonzeros(np.array(edges, dtype=np.int64).reshape(-1, 2))
    both = {(a, b) for x, y in edges for a, b in ((x, y), (y, x)) if a != b}
    assert [tuple(pair) for pair in found.tolist()] == sorted(both)[: len(both) // 2]


@pytest.mark.parametrize("negatives", [1, 2])
def test_node_numbers_carry_the_offsets(negatives: int) -> None:
    (batch,) = sampler(negatives=negatives).steps(0, 1)
    assert batch.negative.shape == (10, negatives)
    assert int(batch.anchor.max()) < 12 <= int(torch.cat([batch.positive, batch.negative.flatten()]).min())
