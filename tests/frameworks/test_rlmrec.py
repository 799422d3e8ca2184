"""RLMRec's two variants against their definitions and the public suite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.frameworks.rivals import (
    SMALL,
    RivalContract,
    by_mean,
    first_step,
    found_among,
    texts_of,
    told_world,
    with_texts,
)
from torch.nn.functional import cross_entropy

from hyperllm.backbones import BACKBONES, HGCF, HGCH, HICF, HyperCL, LightGCN
from hyperllm.backbones.base import Backbone
from hyperllm.frameworks import Base, BaseConfig
from hyperllm.frameworks.rlmrec import RLMRecCon, RLMRecConConfig, RLMRecGen, RLMRecGenConfig, between
from hyperllm.testing.framework import world as small_world


class TestRLMRecCon(RivalContract):
    kind, told = RLMRecCon, RLMRecConConfig(**SMALL, negatives=2)
    off = RLMRecConConfig(**SMALL, align_weight=0.0)


class TestRLMRecConByDistance(RivalContract):
    kind, told, backbone = RLMRecCon, RLMRecConConfig(**SMALL, align="hyperbolic", text_dim=8), LightGCN


class TestRLMRecConOfAFewTriplets(RivalContract):
    kind, told, backbone = RLMRecCon, RLMRecConConfig(**SMALL, align_sample=50), HyperCL


class TestRLMRecGen(RivalContract):
    kind, told = RLMRecGen, RLMRecGenConfig(**SMALL)
    off = RLMRecGenConfig(**SMALL, align_weight=0.0, mask_ratio=0.0)


class TestRLMRecGenOnTheManifold(RivalContract):
    kind, told, backbone = RLMRecGen, RLMRecGenConfig(**SMALL, parametrisation="manifold", text_dim=8), HGCH


@pytest.mark.parametrize("sample", [None, 50])
@pytest.mark.parametrize("backbone", [HGCF, LightGCN, HyperCL, by_mean])
def test_con_finds_users_among_all_and_items_among_those_of_the_batch(
    backbone: Callable[[], Backbone], sample: int | None
) -> None:
    config = RLMRecConConfig(**SMALL, negatives=2, align_weight=0.3, align_temperature=0.4, align_sample=sample)
    framework = RLMRecCon(told_world(), backbone(), config)
    batch, encoded, terms = first_step(framework)
    y, texts = encoded.tangent, framework.project(torch.cat(texts_of(framework.world)))
    triplets = batch.user_item
    user, positive, negative = (rows[:sample] for rows in (triplets.anchor, triplets.positive, triplets.negative[:, 0]))
    expected = found_among(y[user], texts[: framework.world.users], user, 0.4)
    for items in (positive, negative):
        expected = expected + found_among(y[items], texts[items], torch.arange(len(items)), 0.4)
    weight = 0.3 * (1 if backbone is by_mean else len(triplets.anchor))
    torch.testing.assert_close(terms["align"], weight * expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("sample", [None, 50])
@pytest.mark.parametrize("backbone", [HGCF, LightGCN, by_mean])
def test_con_by_distance_is_a_softmax_over_the_distinct_nodes_of_the_batch(
    backbone: Callable[[], Backbone], sample: int | None
) -> None:
    config = RLMRecConConfig(**SMALL, negatives=2, align_weight=0.3, align_temperature=0.4, align_sample=sample)
    framework = RLMRecCon(told_world(), backbone(), replace(config, align="hyperbolic"))
    batch, encoded, terms = first_step(framework)
    manifold, triplets = framework.backbone.manifold, batch.user_item
    texts = manifold.expmap0(framework.project(torch.cat(texts_of(framework.world))))
    expected = torch.zeros(())
    for drawn in (triplets.anchor, triplets.positive, triplets.negative[:, 0]):
        rows = drawn[:sample].unique()
        logits = -manifold.sqdist(encoded.points[rows].unsqueeze(1), texts[rows]) / 0.4
        expected = expected + cross_entropy(logits, torch.arange(len(rows)))
    weight = 0.3 * (1 if backbone is by_mean else len(triplets.anchor))
    torch.testing.assert_close(terms["align"], weight * expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("backbone", [HGCF, LightGCN, by_mean])
def test_gen_finds_the_texts_of_masked_nodes_among_theirs(backbone: Callable[[], Backbone]) -> None:
    config = RLMRecGenConfig(**SMALL, mask_ratio=0.3, align_weight=0.3, align_temperature=0.4)
    framework = RLMRecGen(told_world(), backbone(), config)
    batch, encoded, terms = first_step(framework)
    rows = batch.drawn
    assert rows is not None
    texts = torch.cat(texts_of(framework.world))[rows]
    expected = found_among(framework.reconstruct(encoded.tangent[rows]), texts, torch.arange(len(rows)), 0.4)
    weight = 0.3 * (1 if backbone is by_mean else len(batch.user_item.anchor))
    torch.testing.assert_close(terms["reconstruct"], weight * expected, rtol=1e-5, atol=0)


def test_two_layers_meet_half_way() -> None:
    first, activation, second = between(16, 6, torch.Generator())
    assert [first.weight.shape, second.weight.shape] == [(11, 16), (6, 11)]
    torch.testing.assert_close(activation(torch.tensor([-1.0, 2.0])), torch.tensor([-0.01, 2.0]))


def test_where_all_texts_are_the_same_a_user_is_found_by_chance() -> None:
    world = small_world()
    users, items = (np.ones((n, 8), dtype=np.float32) for n in (world.users, world.items))
    framework = RLMRecCon(with_texts(world, users, items), HGCF(), RLMRecConConfig(**SMALL, align_weight=1.0))
    batch, _, terms = first_step(framework)
    b = len(batch.user_item.anchor)
    expected = b * (math.log(world.users) + 2 * math.log(b))
    assert float(terms["align"].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_alignment_of_directions_leaves_lengths_alone() -> None:
    framework = RLMRecCon(small_world(), HGCF(), RLMRecConConfig(**SMALL))
    batch = next(iter(framework.batches(1)))
    x = framework.features().detach().requires_grad_()
    encoded = framework.backbone(x, framework.world.graph)
    encoded.tangent.retain_grad()
    framework.extra_losses(x, encoded, batch)["align"].backward()
    gradient = encoded.tangent.grad
    assert gradient is not None
    assert gradient.abs().max() > 1e-3
    assert (gradient * encoded.tangent.detach()).sum(1).abs().max() < 1e-4


@pytest.mark.parametrize("backbone", BACKBONES)
def test_everything_masked_is_finite(backbone: str) -> None:
    framework = RLMRecGen(small_world(), BACKBONES[backbone](), RLMRecGenConfig(**SMALL, mask_ratio=1.0))
    _, _, terms = first_step(framework)
    torch.stack(list(terms.values())).sum().backward()
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    assert all(bool(torch.isfinite(p.grad).all()) for p in framework.parameters() if p.grad is not None)


def test_other_nodes_are_masked_at_every_step_and_none_afterwards() -> None:
    framework = RLMRecGen(small_world(), HGCF(), RLMRecGenConfig(**SMALL, mask_ratio=0.3))
    drawn = [batch.drawn for epoch in (1, 2) for batch in framework.batches(epoch)]
    masks = [rows.sort().values.tolist() for rows in drawn if rows is not None]
    assert len(masks) == len({tuple(rows) for rows in masks}) == 2 * framework.steps
    assert {len(set(rows)) for rows in masks} == {int(0.3 * framework.world.graph.nodes)}
    batch = next(iter(framework.batches(1)))
    assert batch.drawn is not None
    assert not framework.training_features(batch)[batch.drawn].any()
    torch.nn.init.normal_(framework.mask)
    masked = framework.training_features(batch)
    assert torch.equal(masked[batch.drawn], framework.mask.expand(len(batch.drawn), -1))
    kept = torch.ones(len(masked), dtype=torch.bool).index_fill(0, batch.drawn, False)
    assert torch.equal(masked[kept], framework.features()[kept])
    assert framework.features().any(1).all()


def test_hicf_takes_its_nearest_negative_beside_an_alignment() -> None:
    plain = replace(BaseConfig(**SMALL), negatives=3)
    aligned = RLMRecConConfig(**SMALL, negatives=3)
    _, _, expected = first_step(Base(small_world(), HICF(), plain))
    _, _, found = first_step(RLMRecCon(small_world(), HICF(), aligned))
    assert torch.equal(found["rank"], expected["rank"])
