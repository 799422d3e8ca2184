"""The ranking loss that a framework's settings name, on every backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hyperllm.backbones import BACKBONES
from hyperllm.backbones.hgch import HGCHConfig
from hyperllm.frameworks import Base, BaseConfig, HyperLLMConfig, Integration, SemanticExtraction
from hyperllm.frameworks.world import World
from hyperllm.testing import tree_world
from hyperllm.training.loop import FitConfig, fit

PLANTED = tree_world(depth=2)
SOFTMAX = BaseConfig(dim=4, batch_size=60, ranking="softmax", softmax_temperature=0.3, softmax_negatives=7)


def world() -> World:
    return World.of(PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_softmax_stands_in_for_the_backbones_own_ranking_term(name: str) -> None:
    own, other = (Base(world(), BACKBONES[name](), c) for c in (replace(SOFTMAX, ranking="own"), SOFTMAX))
    batch = next(own.batches(1))
    encoded = other.backbone(other.features(), other.world.graph)
    wanted = other.backbone.softmax(encoded.points, batch.user_item, temperature=0.3, negatives=7)
    terms = other.losses(batch)
    torch.testing.assert_close(terms["rank"], wanted)
    before = own.losses(batch)
    assert terms.keys() == before.keys()
    assert all(torch.equal(terms[key], before[key]) for key in terms if key != "rank")


def test_where_the_own_loss_is_a_mean_so_is_the_softmax() -> None:
    total, mean = (Base(world(), BACKBONES["hgch"](HGCHConfig(reduction=r)), SOFTMAX) for r in ("sum", "mean_active"))
    batch = next(total.batches(1))
    size = len(batch.user_item.anchor)
    torch.testing.assert_close(mean.losses(batch)["rank"] * size, total.losses(batch)["rank"])


def test_both_phases_use_it_and_the_tag_branch_keeps_its_hinge() -> None:
    config = HyperLLMConfig(
        dim=4, batch_size=60, text_dim=None, experts=2, ranking="softmax", softmax_negatives=7, variant="structural"
    )
    hinge = replace(config, ranking="own")
    for kind in (SemanticExtraction, Integration):
        first, second = (kind(world(), BACKBONES["hgcf"](), c) for c in (config, hinge))
        batch = next(first.batches(1))
        one, other = first.losses(batch), second.losses(batch)
        assert not torch.equal(one["rank"], other["rank"])
        assert all(torch.equal(one[key], other[key]) for key in one if key != "rank")


def test_a_training_with_it_learns() -> None:
    framework = Base(world(), BACKBONES["hgcf"](), replace(SOFTMAX, optimizer="adam", parametrisation="tangent"))
    before = framework.validate()["ndcg@20"]
    report = fit(framework, FitConfig(epochs=15, average=0.0))
    assert report.epochs[-1].terms["rank"] < report.epochs[0].terms["rank"]
    assert framework.validate()["ndcg@20"] > before
