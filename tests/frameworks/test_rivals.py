"""Every rival framework against the public suite, and what tells it from the others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from hyperllm.backbones import BACKBONES, HGCF, HGCH, HICF, HyperCL, LightGCN
from hyperllm.backbones.base import Backbone
from hyperllm.backbones.hgch import HGCHConfig
from hyperllm.errors import ConfigError, DataError
from hyperllm.frameworks import FRAMEWORKS, Base, BaseConfig, Framework
from hyperllm.frameworks.alpharec import AlphaRec, AlphaRecConfig
from hyperllm.frameworks.herec import HERec, HERecConfig
from hyperllm.frameworks.kar import KAR, KARConfig, KARTuned, KARTunedConfig
from hyperllm.frameworks.llminit import LLMInit, LLMInitConfig
from hyperllm.frameworks.rlmrec import RLMRecCon, RLMRecConConfig, RLMRecGen, RLMRecGenConfig
from hyperllm.frameworks.world import World
from hyperllm.testing.framework import FrameworkContract
from hyperllm.testing.framework import world as small_world
from hyperllm.training.loop import FitConfig, fit

SMALL: dict[str, Any] = {"dim": 6, "batch_size": 200, "learning_rate": 0.01, "margin": 1.0}
KAR_SMALL: dict[str, Any] = {**SMALL, "hidden": 7, "text_width": 3}


class Suite(FrameworkContract):
    base = BaseConfig(**SMALL)
    kind: type[Framework]
    told: BaseConfig
    off: BaseConfig | None = None
    backbone: type[Backbone] = HGCF

    def build(self, world: World, *, seed: int) -> Framework:
        return self.kind(world, self.backbone(), self.told, seed=seed)

    def neutral(self, world: World, *, seed: int) -> Framework | None:
        return None if self.off is None else self.kind(world, HGCF(), self.off, seed=seed)


class TestKAR(Suite):
    kind, told = KAR, KARConfig(**KAR_SMALL)
    off = replace(told, gamma=0.0)
    tolerance = 1e-5


class TestKARTuned(Suite):
    kind, told = KARTuned, KARTunedConfig(**KAR_SMALL, fusion="linear", text_dim=8)
    off = KARTunedConfig(**KAR_SMALL, gamma=0.0, gamma_trainable=False)
    tolerance = 1e-5


class TestRLMRecCon(Suite):
    kind, told = RLMRecCon, RLMRecConConfig(**SMALL, negatives=2)
    off = RLMRecConConfig(**SMALL, align_weight=0.0)


class TestRLMRecConByDistance(Suite):
    kind, told, backbone = RLMRecCon, RLMRecConConfig(**SMALL, align="hyperbolic", text_dim=8), LightGCN


class TestRLMRecConOfAFewTriplets(Suite):
    kind, told, backbone = RLMRecCon, RLMRecConConfig(**SMALL, align_sample=50), HyperCL


class TestRLMRecGen(Suite):
    kind, told = RLMRecGen, RLMRecGenConfig(**SMALL)
    off = RLMRecGenConfig(**SMALL, align_weight=0.0, mask_ratio=0.0)


class TestRLMRecGenOnTheManifold(Suite):
    kind, told, backbone = RLMRecGen, RLMRecGenConfig(**SMALL, parametrisation="manifold", text_dim=8), HGCH


class TestHERec(Suite):
    kind, told = HERec, HERecConfig(**SMALL)
    off = HERecConfig(**SMALL, align_weight=0.0)


class TestHERecOfFlatSpace(Suite):
    kind, told, backbone = HERec, HERecConfig(**SMALL, text_dim=8), LightGCN


class TestLLMInit(Suite):
    kind, told = LLMInit, LLMInitConfig(**SMALL, start_radius=0.4)


class TestAlphaRec(Suite):
    kind, told = AlphaRec, AlphaRecConfig(**SMALL, shared_negatives=9)


class TestAlphaRecAsOneMatrix(Suite):
    kind, told, backbone = AlphaRec, AlphaRecConfig(**SMALL, shared_negatives=9, linear=True), LightGCN


def rival(kind: type[Framework], config: BaseConfig, backbone: Backbone | None = None, **more: Any) -> Framework:
    return kind(more.get("world") or small_world(), backbone or HGCF(), config)


def terms(framework: Framework) -> dict[str, torch.Tensor]:
    return framework.losses(next(iter(framework.batches(1))))


def same_texts(world: World) -> World:
    assert world.semantics is not None
    users, items = (torch.ones(n, 8).numpy() for n in (world.users, world.items))
    return replace(world, semantics=replace(world.semantics, user_vectors=users, item_vectors=items))


def test_where_all_texts_are_the_same_a_user_is_found_by_chance() -> None:
    world = same_texts(small_world())
    framework = rival(RLMRecCon, RLMRecConConfig(**SMALL, align_weight=1.0), world=world)
    batch = next(iter(framework.batches(1)))
    b = len(batch.user_item.anchor)
    expected = b * (math.log(world.users) + 2 * math.log(b))
    assert float(terms(framework)["align"].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_alignment_of_directions_leaves_lengths_alone() -> None:
    framework = rival(RLMRecCon, RLMRecConConfig(**SMALL))
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
    framework = rival(RLMRecGen, RLMRecGenConfig(**SMALL, mask_ratio=1.0), BACKBONES[backbone]())
    found = terms(framework)
    torch.stack(list(found.values())).sum().backward()
    assert all(bool(torch.isfinite(value)) for value in found.values())
    assert all(bool(torch.isfinite(p.grad).all()) for p in framework.parameters() if p.grad is not None)


def test_other_nodes_are_masked_at_every_step_and_none_afterwards() -> None:
    framework = rival(RLMRecGen, RLMRecGenConfig(**SMALL, mask_ratio=0.3))
    first, second, *_ = framework.batches(1)
    assert first.drawn is not None
    assert second.drawn is not None
    assert len(first.drawn) == int(0.3 * framework.world.graph.nodes)
    assert not torch.equal(first.drawn.sort().values, second.drawn.sort().values)
    masked = framework.training_features(first)
    assert not masked[first.drawn].any()
    kept = torch.ones(len(masked), dtype=torch.bool).index_fill(0, first.drawn, False)
    assert torch.equal(masked[kept], framework.features()[kept])
    assert framework.features().any(1).all()


def test_an_alignment_weighs_as_much_beside_a_mean_as_beside_a_sum() -> None:
    config = RLMRecConConfig(**SMALL)
    by_reduction = {
        reduction: terms(rival(RLMRecCon, config, HGCH(HGCHConfig(reduction=reduction))))["align"]
        for reduction in ("sum", "mean_active")
    }
    size = len(next(iter(rival(RLMRecCon, config).batches(1))).user_item.anchor)
    torch.testing.assert_close(by_reduction["mean_active"] * size, by_reduction["sum"])


def test_the_two_parts_of_tuned_kar_begin_equally_long() -> None:
    framework = rival(KARTuned, KARTunedConfig(**KAR_SMALL))
    table, texts = framework.features().split([6, 3], dim=1)
    torch.testing.assert_close(table.norm(dim=1).mean(), texts.norm(dim=1).mean())
    assert (texts < 0).any()
    plain = rival(KAR, KARConfig(**KAR_SMALL)).features()
    assert plain.shape[1] == 9
    assert (plain[:, 6:] >= 0).all()


def test_a_table_started_from_texts_holds_their_coordinates() -> None:
    world = small_world()
    assert world.semantics is not None
    framework = LLMInit(world, HGCF(), LLMInitConfig(dim=4, select="uniform", parametrisation="tangent"))
    users, items = framework.features().detach().split([world.users, world.items])
    told = torch.from_numpy(world.semantics.item_vectors)
    torch.testing.assert_close(items, told[:, torch.arange(4) * told.shape[1] // 4])
    mine = torch.from_numpy(world.train[world.train[:, 0] == 3][:, 1].copy())
    torch.testing.assert_close(users[3], items[mine].mean(0))


def test_coordinates_are_those_that_vary_most_over_popular_items() -> None:
    world = small_world()
    assert world.semantics is not None
    vectors = torch.randn(world.items, 16, generator=torch.Generator().manual_seed(0))
    vectors[:, [2, 5]] *= 10
    world = replace(world, semantics=replace(world.semantics, item_vectors=vectors.numpy()))
    framework = LLMInit(world, HGCF(), LLMInitConfig(dim=2, parametrisation="tangent"))
    torch.testing.assert_close(framework.features().detach()[world.users :], vectors[:, [2, 5]])


def test_more_dimensions_than_texts_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="lower dim"):
        rival(LLMInit, LLMInitConfig(dim=5000))


def test_alpharec_ranks_by_direction() -> None:
    framework = rival(AlphaRec, AlphaRecConfig(**SMALL))
    fit(framework, FitConfig(epochs=2))
    users, items = framework.points()
    radii = framework.backbone.manifold.logmap0(torch.cat([users, items])).norm(dim=1)
    torch.testing.assert_close(radii, torch.ones_like(radii), atol=1e-5, rtol=0)


def test_a_drawn_item_that_is_the_positive_does_not_count_against_it() -> None:
    everything = AlphaRecConfig(**SMALL, shared_negatives=10**6)
    framework = rival(AlphaRec, everything)
    batch = next(iter(framework.batches(1)))
    assert batch.drawn is not None
    assert len(batch.drawn) == framework.world.items
    encoded = framework.backbone(framework.features(), framework.world.graph)
    y = torch.nn.functional.normalize(encoded.tangent, dim=1)
    logits = y[batch.user_item.anchor] @ y[framework.world.users :].T / everything.align_temperature
    own = batch.user_item.positive - framework.world.users
    expected = torch.nn.functional.cross_entropy(logits, own, reduction="sum")
    torch.testing.assert_close(framework.losses(batch)["rank"], expected)


@pytest.mark.parametrize("name", [name for name, kind in FRAMEWORKS.items() if kind.uses_text])
def test_a_rival_without_texts_says_so(name: str) -> None:
    with pytest.raises(DataError, match="hyperllm embed"):
        rival(FRAMEWORKS[name], FRAMEWORKS[name].config_class(dim=2), world=replace(small_world(), semantics=None))


def test_hicf_takes_its_nearest_negative_under_a_rival() -> None:
    config = RLMRecConConfig(**{**SMALL, "negatives": 3}, align_weight=0.0)
    assert torch.equal(
        terms(rival(RLMRecCon, config, HICF()))["rank"],
        terms(rival(Base, BaseConfig(**{**SMALL, "negatives": 3}), HICF()))["rank"],
    )
