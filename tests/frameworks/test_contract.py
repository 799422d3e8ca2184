"""Every framework against the public suite."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.backbones.weighted import Weighted

from hyperllm.backbones import HGCF
from hyperllm.frameworks import Base, BaseConfig, Framework, HyperLLMConfig, Integration, SemanticExtraction
from hyperllm.frameworks.world import World
from hyperllm.testing.framework import FrameworkContract
from hyperllm.testing.worlds import tree_world

SMALL = {"dim": 6, "batch_size": 200, "learning_rate": 0.01, "margin": 1.0}


def hyper(**more: object) -> HyperLLMConfig:
    return HyperLLMConfig(**{**SMALL, "experts": 3, "text_dim": 8, "contrast_weight": 0.1, **more})  # type: ignore[arg-type]


class TestBase(FrameworkContract):
    base = BaseConfig(**SMALL)  # type: ignore[arg-type]

    def build(self, world: World, *, seed: int) -> Framework:
        return Base(world, HGCF(), self.base, seed=seed)


class TestBaseOnTheManifold(FrameworkContract):
    base = replace(TestBase.base, parametrisation="manifold")

    def build(self, world: World, *, seed: int) -> Framework:
        return Base(world, HGCF(), self.base, seed=seed)


class TestBaseWithAdamOnTheManifold(FrameworkContract):
    base = replace(TestBase.base, parametrisation="manifold", optimizer="adam", negatives=2)

    def build(self, world: World, *, seed: int) -> Framework:
        return Base(world, HGCF(), self.base, seed=seed)


class TestBaseWithWeights(FrameworkContract):
    base = TestBase.base

    def build(self, world: World, *, seed: int) -> Framework:
        return Base(world, Weighted(), self.base, seed=seed)


class TestIntegrationWithWeights(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        return Integration(world, Weighted(), hyper(variant="structural"), seed=seed)


class TestSemanticExtractionLeavesWeights(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        return SemanticExtraction(world, Weighted(), hyper(), seed=seed)


def test_own_weights_begin_with_the_seed_and_are_not_shared_between_trainings() -> None:
    world, backbone = World.of(tree_world().split), Weighted()
    first, again, other = (Base(world, backbone, TestBase.base, seed=seed) for seed in (0, 0, 1))
    weights = [dict(f.named_parameters())["backbone.logits"] for f in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert backbone.logits.isnan().all()


class TestBaseCompat(FrameworkContract):
    base = replace(TestBase.base, parametrisation="manifold", compat=True)

    def build(self, world: World, *, seed: int) -> Framework:
        return Base(world, HGCF(), self.base, seed=seed)


class TestSemanticExtraction(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        return SemanticExtraction(world, HGCF(), hyper(), seed=seed)


class TestIntegration(FrameworkContract):
    """Without tags and text, phase 2 is plain training."""

    base = TestBase.base

    def build(self, world: World, *, seed: int) -> Framework:
        start = 0.3 * torch.randn(world.graph.nodes, 6, generator=torch.Generator().manual_seed(0))
        return Integration(world, HGCF(), hyper(), start=start, seed=seed)

    def neutral(self, world: World, *, seed: int) -> Framework:
        return Integration(world, HGCF(), hyper(variant="semantic"), start=None, seed=seed)


class TestStructuralOnTheManifoldWithSampledAnchors(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        config = hyper(variant="structural", parametrisation="manifold", contrast="sampled", contrast_sample=10)
        return Integration(world, HGCF(), config, seed=seed)


class TestIntegrationCompat(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        return Integration(world, HGCF(), hyper(compat=True, parametrisation="manifold"), start=None, seed=seed)


class TestNoMetaWithFrozenTexts(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        return Integration(world, HGCF(), hyper(variant="no-meta"), seed=seed)


class TestNoMetaWithLearningTextsCompat(FrameworkContract):
    def build(self, world: World, *, seed: int) -> Framework:
        config = hyper(variant="no-meta", semantics_trainable=True, compat=True, parametrisation="manifold")
        return Integration(world, HGCF(), config, seed=seed)
