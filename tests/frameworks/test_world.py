from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hyperllm.data.interactions import Pairs
from hyperllm.errors import MisalignedArrays
from hyperllm.frameworks import BaseConfig, train_base
from hyperllm.frameworks.base import held_out_metrics
from hyperllm.frameworks.world import World
from hyperllm.ids import Vocabulary
from hyperllm.testing.backbone import recall
from hyperllm.testing.worlds import tree_world
from hyperllm.training.loop import FitConfig

PLANTED = tree_world(depth=2)


def test_repeated_clicks_count_once() -> None:
    split = PLANTED.split
    twice = Pairs(np.tile(split.train.user, 2), np.tile(split.train.item, 2))
    once, double = World.of(split), World.of(replace(split, train=twice))
    assert np.array_equal(once.train, double.train)
    assert once.fingerprint == double.fingerprint


def test_seen_is_the_training_pairs_in_compressed_rows() -> None:
    world = World.of(PLANTED.split)
    indptr, indices = (part.numpy() for part in world.seen())
    for user in range(world.users):
        found = set(indices[indptr[user] : indptr[user + 1]].tolist())
        assert found == set(PLANTED.split.train.item[PLANTED.split.train.user == user].tolist())


def test_parts_of_other_ids_are_refused() -> None:
    split = PLANTED.split
    other = replace(split, items=Vocabulary(tuple(f"x{v}" for v in split.items.ids)))
    with pytest.raises(MisalignedArrays, match="tags belong to other items"):
        World.of(other, tags=PLANTED.tags)
    with pytest.raises(MisalignedArrays, match="text vectors belong to other"):
        World.of(other, semantics=PLANTED.semantics)


def test_the_fingerprint_sees_all_that_is_trained_on_and_no_test_pair() -> None:
    split, tags, semantics = PLANTED.split, PLANTED.tags, PLANTED.semantics
    whole = World.of(split, tags=tags, semantics=semantics)
    changed = [
        World.of(split, tags=tags),
        World.of(split, semantics=semantics),
        World.of(split, tags=replace(tags, tag_edges=tags.tag_edges[1:]), semantics=semantics),
        World.of(split, tags=tags, semantics=replace(semantics, item_vectors=semantics.item_vectors * 2)),
        World.of(replace(split, train=Pairs(split.train.user, split.train.item[::-1])), tags=tags, semantics=semantics),
        World.of(replace(split, valid=split.test), tags=tags, semantics=semantics),
    ]
    assert len({world.fingerprint for world in [whole, *changed]}) == 1 + len(changed)
    other_test = World.of(replace(split, test=split.valid), tags=tags, semantics=semantics)
    assert other_test.fingerprint == whole.fingerprint


def test_validation_metrics_are_those_of_the_public_evaluation() -> None:
    trained = train_base(
        PLANTED.split, config=BaseConfig(dim=4, learning_rate=0.01), fit_config=FitConfig(epochs=2, average=0.0)
    )
    best = trained.reports["base"].best
    assert best is not None
    swapped = replace(PLANTED.split, test=PLANTED.split.valid)
    assert best.metrics["recall@10"] == pytest.approx(recall(trained, swapped), abs=1e-9)


def test_users_without_validation_items_are_skipped() -> None:
    split = replace(PLANTED.split, valid=Pairs(np.array([1]), np.array([7])))
    world = World.of(split)
    top = np.zeros((world.users, 20), dtype=np.int64)
    top[1, 4] = 7
    found = held_out_metrics(top, world)
    assert found["recall@10"] == 1.0
    assert found["ndcg@20"] == pytest.approx(1 / np.log2(6))
    nobody = World.of(replace(split, valid=Pairs(np.array([], np.int64), np.array([], np.int64))))
    assert set(held_out_metrics(top, nobody).values()) == {0.0}
