"""An epoch is an exact pass; a negative is never a positive."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.graph import Triplets
from hyperllm.training.sampling import PositivePairs, TripletSampler, join


def pairs_of(matrix: np.ndarray) -> np.ndarray:
    return np.argwhere(matrix).astype(np.int64)


def whole(sampler: TripletSampler, seed: int = 0, steps: int = 3) -> Triplets:
    """All batches of an epoch as one."""
    return join(*sampler.epoch(rng(seed), steps=steps))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def worlds(draw: st.DrawFn) -> np.ndarray:
    """Links (anchors, pool) at every density, with an anchor linked to all but one and one linked to none."""
    anchors, pool = draw(st.integers(2, 8)), draw(st.integers(2, 12))
    matrix = rng(draw(st.integers(0, 10**6))).random((anchors, pool)) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    matrix[0], matrix[-1] = True, False
    matrix[0, draw(st.integers(0, pool - 1))] = False
    return matrix


@given(worlds(), st.integers(1, 3), st.integers(0, 99))
def test_an_epoch_serves_each_pair_once_with_negatives_that_are_none(
    matrix: np.ndarray, negatives: int, seed: int
) -> None:
    usable = matrix & ~matrix.all(axis=1, keepdims=True)
    sampler = TripletSampler(PositivePairs(pairs_of(matrix), matrix.shape[1], 100, 200), negatives=negatives)
    epoch = whole(sampler, seed)
    served = torch.stack([epoch.anchor - 100, epoch.positive - 200], dim=1).numpy()
    assert sorted(map(tuple, served)) == sorted(map(tuple, pairs_of(usable)))
    assert len(sampler) == len(epoch)
    drawn = epoch.negative.numpy() - 200
    assert drawn.shape == (len(served), negatives)
    assert ((drawn >= 0) & (drawn < matrix.shape[1])).all()
    assert not matrix[served[:, :1], drawn].any()


@given(worlds(), st.integers(0, 99))
def test_an_epoch_is_decided_by_its_generator(matrix: np.ndarray, seed: int) -> None:
    sampler = TripletSampler(PositivePairs(pairs_of(matrix), matrix.shape[1]))
    one, other = whole(sampler, seed), whole(sampler, seed)
    assert torch.equal(one.anchor, other.anchor)
    assert torch.equal(one.positive, other.positive)
    assert torch.equal(one.negative, other.negative)


def test_another_epoch_has_another_order() -> None:
    sampler = TripletSampler(PositivePairs(np.stack([np.arange(50), np.arange(50)], axis=1), 50))
    assert not torch.equal(whole(sampler, 1).anchor, whole(sampler, 2).anchor)


@pytest.mark.parametrize("linked", [1, 10, 11, 15, 19])
def test_negatives_are_uniform_whether_rejected_or_drawn_from_the_complement(linked: int) -> None:
    pool, draws = 20, 20_000
    taken = rng(linked).permutation(pool)[:linked]
    sampler = TripletSampler(PositivePairs(np.stack([np.zeros(linked, np.int64), taken], axis=1), pool))
    counts = np.bincount(sampler.draw(np.zeros(draws, np.int64), rng(1)).ravel(), minlength=pool)
    assert (counts[taken] == 0).all()
    free = np.delete(counts, taken)
    expected = draws / len(free)
    statistic = ((free - expected) ** 2 / expected).sum()
    assert statistic < len(free) + 6 * np.sqrt(2 * len(free))


def test_a_hub_linked_to_all_but_one_gets_that_one() -> None:
    pool = 1000
    hub = np.stack([np.zeros(pool - 1, np.int64), np.delete(np.arange(pool), 417)], axis=1)
    drawn = whole(TripletSampler(PositivePairs(hub, pool), negatives=2)).negative
    assert (drawn == 417).all()


def test_an_anchor_linked_to_everything_is_left_out() -> None:
    matrix = np.zeros((2, 5), dtype=bool)
    matrix[0], matrix[1, 2] = True, True
    sampler = TripletSampler(PositivePairs(pairs_of(matrix), 5))
    assert whole(sampler).anchor.tolist() == [1]


def test_where_all_anchors_are_linked_to_everything_nothing_is_left_to_sample() -> None:
    sampler = TripletSampler(PositivePairs(pairs_of(np.ones((2, 3), dtype=bool)), 3))
    assert len(sampler) == 0
    assert len(whole(sampler)) == 0


def test_an_anchor_is_never_its_own_negative_when_excluded() -> None:
    edges = np.array([[0, 1], [1, 0], [1, 2], [2, 1]])
    sampler = TripletSampler(PositivePairs(edges, 4, exclude_anchor=True), negatives=50)
    epoch = whole(sampler)
    assert not (epoch.negative == epoch.anchor.unsqueeze(1)).any()
    allowed = {0: {2, 3}, 1: {3}, 2: {0, 3}}
    for anchor, negatives in zip(epoch.anchor.tolist(), epoch.negative.tolist(), strict=True):
        assert set(negatives) <= allowed[anchor]


@given(st.integers(1, 40), st.integers(1, 9))
def test_an_epoch_comes_in_as_many_batches_as_asked_nearly_even(n: int, steps: int) -> None:
    rows = np.arange(n)
    parts = list(TripletSampler(PositivePairs(np.stack([rows, rows], axis=1), 50)).epoch(rng(), steps=steps))
    assert len(parts) == steps
    assert sorted(join(*parts).anchor.tolist()) == rows.tolist()
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
