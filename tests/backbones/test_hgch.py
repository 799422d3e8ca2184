from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.backbones.steps import assert_steps_alike
from tests.reference import equations, midpoints, stepping
from torch import Tensor

from hyperllm.backbones.hgch import HGCH, HGCHConfig, violations
from hyperllm.config import build
from hyperllm.errors import ConfigError
from hyperllm.geometry import lorentz, poincare
from hyperllm.graph import Graph, Triplets
from hyperllm.losses.ranking import margin_ranking
from hyperllm.testing.backbone import BackboneContract, features, small_graph


def reference(x: np.ndarray, operator: np.ndarray, config: HGCHConfig) -> np.ndarray:
    return midpoints.hgch(x, operator, config.layers, config.radius)


class TestHGCH(BackboneContract):
    backbone = HGCH
    reference = staticmethod(reference)


class TestClampedMeanOfViolations(BackboneContract):
    backbone = HGCH
    reference = staticmethod(reference)
    config = HGCHConfig(radius=1.5, reduction="mean_active")

    @pytest.mark.parametrize("framework", ["base", "full"])
    def test_it_finds_the_planted_tree(self, framework: str) -> None:
        super().test_it_finds_the_planted_tree(framework)


def test_one_layer_is_the_gyromidpoint_of_the_ball() -> None:
    """Of `geometry.poincare` too, whose weights are a dense matrix."""
    graph = small_graph()
    x = features(graph, 2.0)
    encoded = HGCH(HGCHConfig(layers=1))(x, graph)
    expected = poincare.gyromidpoint(graph.operator.to_dense(), poincare.expmap0(x))
    torch.testing.assert_close(lorentz.to_poincare(encoded.points), expected, atol=1e-5, rtol=1e-5)


def test_nodes_at_one_place_stay_there_and_every_layer_adds_it_again() -> None:
    graph = small_graph()
    x = torch.tensor([[0.3, -0.4]]).repeat(graph.nodes, 1)
    for layers in (1, 2, 4):
        encoded = HGCH(HGCHConfig(layers=layers))(x, graph)
        torch.testing.assert_close(encoded.tangent, layers * x, atol=1e-5, rtol=1e-5)
        assert HGCH().saturated(encoded) == 0.0


@pytest.mark.parametrize("radius", [3.0, 6.0, 9.0, 20.0])
def test_far_points_do_not_overflow(radius: float) -> None:
    """Three layers triple the radius; loss and gradient stay numbers, and nothing is clamped."""
    graph, backbone = small_graph(), HGCH()
    x = features(graph, radius).requires_grad_()
    encoded = backbone(x, graph)
    triplets = Triplets(torch.tensor([0, 1, 2]), torch.tensor([8, 9, 10]), torch.tensor([[11], [12], [13]]))
    (loss,) = backbone.losses(encoded, triplets, margin=8.1).values()
    loss.backward()
    assert x.grad is not None
    assert torch.isfinite(encoded.points).all()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert backbone.saturated(encoded) == 0.0


def test_the_share_beyond_a_clamp_is_reported() -> None:
    graph = small_graph()
    backbone = HGCH(HGCHConfig(radius=1.5))
    encoded = backbone(features(graph, 2.0), graph)
    assert backbone.saturated(encoded) == pytest.approx(float((encoded.tangent.norm(dim=1) > 1.5).float().mean()))
    assert 0 < backbone.saturated(encoded) < 1


def triplets_of(graph: Graph, count: int = 12, q: int = 2) -> Triplets:
    rng = torch.Generator().manual_seed(1)
    other = graph.left + torch.randint(graph.right, (count, q + 1), generator=rng)
    return Triplets(torch.randint(graph.left, (count,), generator=rng), other[:, 0], other[:, 1:])


def test_the_mean_is_over_what_violates_the_margin() -> None:
    graph = small_graph()
    triplets, x = triplets_of(graph), features(graph, 1.0)
    points = HGCH()(x, graph).points
    a, p, n = (points[rows].double().numpy() for rows in (triplets.anchor, triplets.positive, triplets.negative))
    near = equations.lorentz_distance(a, p) ** 2
    far = equations.lorentz_distance(a[:, None], n) ** 2
    hinge = np.maximum(near[:, None] - far + 0.5, 0.0)
    assert 0 < (hinge > 0).sum() < hinge.size
    assert violations(points, triplets, margin=0.5) == (hinge > 0).sum()
    mean = HGCH(HGCHConfig(reduction="mean_active"))
    found = mean.losses(mean(x, graph), triplets, margin=0.5)["rank"]
    assert found.item() == pytest.approx(hinge[hinge > 0].mean(), rel=1e-5)


def test_where_nothing_violates_the_margin_the_mean_and_its_gradient_are_zero() -> None:
    points = lorentz.expmap0(torch.tensor([[0.0, 0.1], [0.0, 0.1], [5.0, 0.0]])).requires_grad_()
    triplets = Triplets(torch.tensor([0]), torch.tensor([1]), torch.tensor([[2]]))
    backbone = HGCH(HGCHConfig(reduction="mean_active"))
    encoded = backbone(torch.zeros(3, 2), Graph.of(1, 2, np.array([[0, 0]])))
    (loss,) = backbone.losses(replace(encoded, points=points), triplets, margin=0.1).values()
    loss.backward()
    assert loss == 0.0
    assert points.grad is not None
    assert (points.grad == 0).all()


def test_counting_violations_needs_no_gradient_and_leaves_none() -> None:
    graph = small_graph()
    points = HGCH()(features(graph, 1.0), graph).points.detach().requires_grad_()
    with torch.no_grad():
        count = violations(points, triplets_of(graph), margin=100.0)
    assert count == 24
    assert not count.requires_grad
    assert points.grad is None
    assert margin_ranking(points, triplets_of(graph), margin=100.0) > 0


@pytest.mark.parametrize("reduction", ["sum", "mean_active"])
def test_one_step_is_that_of_the_float64_transcription(reduction: str) -> None:
    def encode(x: Tensor, operator: Tensor) -> Tensor:
        points, total = stepping.exponential(x), torch.zeros_like(x)
        for _ in range(3):
            points = stepping.centroid(operator, points)
            total = total + stepping.logarithm(points)
        return stepping.exponential(total)

    config = HGCHConfig(reduction=reduction)  # type: ignore[arg-type]
    assert_steps_alike(HGCH(config), encode, mean=reduction == "mean_active")


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ConfigError, match="reduction"):
        build([HGCHConfig], {"reduction": "median"})
