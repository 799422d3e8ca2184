"""The conformance suites catch what they promise to catch: each flaw fails the test that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.reference import equations
from torch import Tensor, nn

import hyperllm.testing
from hyperllm.backbones import HGCF, Encoded
from hyperllm.frameworks import Base, BaseConfig, Framework
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph
from hyperllm.testing import BackboneContract, FrameworkContract


def backbone_suite(flawed: type[HGCF]) -> Any:
    class Suite(BackboneContract):
        backbone = flawed
        reference = staticmethod(lambda x, operator, config: equations.hgcf(x, operator, config.layers, config.radius))

    Suite.__test__ = False  # type: ignore[attr-defined]
    return Suite()


class OffTheManifold(HGCF):
    def read_out(self, tangent: Tensor) -> Tensor:
        return 1.01 * super().read_out(tangent)


class UnboundedRadius(HGCF):
    def read_out(self, tangent: Tensor) -> Tensor:
        return lorentz.expmap0(tangent)


class NoGradientAtTheOrigin(HGCF):
    def read_out(self, tangent: Tensor) -> Tensor:
        return super().read_out(tangent * tangent.square().sum(dim=1, keepdim=True).sqrt() ** 0)


class OrderMatters(HGCF):
    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        return super().combine(x, graph) * torch.linspace(0.5, 1, len(x)).unsqueeze(1)


class Dense(HGCF):
    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        return super().combine(x, graph) + 0.0 * (x @ x.T).sum()


class Remembers(HGCF):
    seen = 0

    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        Remembers.seen += 1
        return super().combine(x, graph) * (1 + 0.01 * Remembers.seen)


class OneLayerTooMany(HGCF):
    def combine(self, x: Tensor, graph: Graph) -> Tensor:
        return x + super().combine(x, graph)


class MarginIgnored(HGCF):
    def losses(self, encoded: Encoded, triplets: Any, *, margin: float) -> dict[str, Tensor]:
        return super().losses(encoded, triplets, margin=1.0 / (1.0 + margin))


class Constant(HGCF):
    def losses(self, encoded: Encoded, triplets: Any, *, margin: float) -> dict[str, Tensor]:
        return {"rank": 0.0 * encoded.points.sum() + margin}


@pytest.mark.parametrize(
    ("flawed", "test", "arguments"),
    [
        (OffTheManifold, "test_points_lie_on_the_manifold_within_the_clamp", {}),
        (UnboundedRadius, "test_points_lie_on_the_manifold_within_the_clamp", {}),
        (NoGradientAtTheOrigin, "test_gradients_are_finite_at_every_radius", {"share": 0.0, "train": False}),
        (OrderMatters, "test_permuting_nodes_permutes_points", {}),
        (Dense, "test_no_tensor_is_as_large_as_items_by_items", {}),
        (Remembers, "test_the_same_call_gives_the_same_bits", {}),
        (OneLayerTooMany, "test_it_equals_its_reference", {}),
        (MarginIgnored, "test_losses_are_named_finite_scalars_that_grow_with_the_margin", {}),
        (OffTheManifold, "test_isolated_nodes_and_edgeless_graphs_are_encoded", {}),
        (Constant, "test_it_finds_the_planted_tree", {"framework": "base"}),
    ],
)
def test_a_flawed_backbone_fails_the_test_that_names_its_flaw(
    flawed: type[HGCF], test: str, arguments: dict[str, Any]
) -> None:
    getattr(backbone_suite(HGCF), test)(**arguments)
    with pytest.raises(AssertionError):
        getattr(backbone_suite(flawed), test)(**arguments)


class Forgetful(Base):
    """A parameter that no optimiser knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = nn.Parameter(torch.ones(1))

    def features(self) -> Tensor:
        return self.gate * super().features()


class Thawing(Base):
    """Something frozen that moves."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("counted", torch.zeros(1))

    def losses(self, batch: Any) -> dict[str, Tensor]:
        self.counted += 1
        return super().losses(batch)


class Restless(Base):
    """Draws from the global state."""

    def features(self) -> Tensor:
        noise = torch.rand(()) if self.training else torch.zeros(())
        return super().features() * (1 + 0.01 * noise)


class Peeking(Base):
    """Lets validation move the weights."""

    def validate(self) -> dict[str, float]:
        with torch.no_grad():
            self.nodes.weight.mul_(1.01)
        return super().validate()


class Leaving(Base):
    """Leaves a gradient behind when a step starts."""

    def losses(self, batch: Any) -> dict[str, Tensor]:
        return {**super().losses(batch), "more": torch.tensor(float("nan"))}


@pytest.mark.parametrize(
    ("flawed", "test", "arguments"),
    [
        (Forgetful, "test_parameter_groups_cover_the_model_exactly", {}),
        (Thawing, "test_what_learns_moves_and_what_is_frozen_stays", {}),
        (Restless, "test_a_seed_decides_every_bit", {}),
        (Restless, "test_interrupted_it_goes_on_bit_for_bit", {"after": 1}),
        (Peeking, "test_validation_does_not_influence_a_step", {}),
        (Leaving, "test_every_step_starts_without_gradients", {}),
        (Restless, "test_the_neutral_setting_equals_base", {}),
    ],
)
def test_a_flawed_framework_fails_the_test_that_names_its_flaw(
    flawed: type[Base], test: str, arguments: dict[str, Any], tmp_path: Any
) -> None:
    config = BaseConfig(dim=6, batch_size=200, learning_rate=0.01, margin=1.0)
    if "after" in arguments:
        arguments = {**arguments, "tmp_path": tmp_path}
    torch.manual_seed(0)

    class Suite(FrameworkContract):
        base = config

        def build(self, world: World, *, seed: int) -> Framework:
            return flawed(world, HGCF(), config, seed=seed)

        def neutral(self, world: World, *, seed: int) -> Framework:
            return self.build(world, seed=seed)

    with pytest.raises(AssertionError):
        getattr(Suite(), test)(**arguments)


def test_names_load_on_first_use_and_unknown_ones_are_unknown() -> None:
    assert all(hasattr(hyperllm.testing, name) for name in hyperllm.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'BackboneContact'"):
        _ = hyperllm.testing.BackboneContact  # type: ignore[attr-defined]


def test_the_largest_tensor_counts_what_backward_makes_too() -> None:
    x = torch.ones(50, requires_grad=True)
    with hyperllm.testing.largest_tensor() as forward:
        value = x.expand(7, 50).sum()
    with hyperllm.testing.largest_tensor() as backward:
        value.backward()
    assert (forward.numel, backward.numel) == (350, 350)
    assert np.isfinite(float(value.detach()))


def test_a_sparse_tensor_is_as_large_as_what_it_holds() -> None:
    index = torch.arange(1001, dtype=torch.int32)
    with hyperllm.testing.largest_tensor() as largest:
        matrix = torch.sparse_csr_tensor(index, index[:-1], torch.ones(1000), size=(1000, 1000))
        matrix @ torch.ones(1000, 2)
    assert largest.numel == 2000
