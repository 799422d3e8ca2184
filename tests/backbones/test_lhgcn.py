from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.backbones.steps import assert_steps_alike
from tests.reference import midpoints, stepping
from torch import Tensor

from hyperllm.backbones.lhgcn import LHGCN, LHGCNConfig
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph
from hyperllm.testing.backbone import BackboneContract, features, small_graph


def reference(x: np.ndarray, operator: np.ndarray, config: LHGCNConfig) -> np.ndarray:
    weights = (operator > 0).astype(np.float64)
    return midpoints.lhgcn(x, weights, config.layers, config.spread, config.radius)


MORE_EPOCHS = {**BackboneContract.settings, "epochs": 40}


class TestLHGCN(BackboneContract):
    backbone = LHGCN
    lengths = ("radius", "spread")
    reference = staticmethod(reference)
    settings = MORE_EPOCHS


class TestDeepWideClamped(BackboneContract):
    backbone = LHGCN
    lengths = ("radius", "spread")
    reference = staticmethod(reference)
    config = LHGCNConfig(layers=5, spread=1.5, radius=1.5)
    settings = MORE_EPOCHS

    @pytest.mark.parametrize("framework", ["base", "full"])
    def test_it_finds_the_planted_tree(self, framework: str) -> None:
        super().test_it_finds_the_planted_tree(framework)


def test_the_mean_radius_is_the_spread_whatever_comes_in() -> None:
    graph = small_graph()
    for scale in (1e-3, 0.1, 1.0, 3.0):
        for spread in (0.5, 1.0, 2.0):
            tangent = LHGCN(LHGCNConfig(spread=spread))(features(graph, scale), graph).tangent
            assert float(tangent[graph.symmetric.degree > 0].norm(dim=1).mean()) == pytest.approx(spread, rel=1e-3)


def test_the_centroid_of_all_nodes_moves_to_the_origin() -> None:
    """Exactly so before the rescaling, which `spread` equal to the mean radius undoes."""
    graph = small_graph()
    points = lorentz.expmap0(features(graph, 1.0) + 0.5)
    linked = torch.ones(graph.nodes, dtype=torch.bool)
    middle = lorentz.normalise(points.sum(0))
    mean = float(lorentz.dist(points, middle.expand_as(points)).mean())
    tangent = LHGCN(LHGCNConfig(spread=mean)).normalised(points, linked)
    back = lorentz.normalise(lorentz.expmap0(tangent).sum(0))
    torch.testing.assert_close(back, lorentz.origin(points.shape[1] - 1, like=points), atol=1e-5, rtol=0)
    among, moved = (lorentz.pairwise_sqdist(p, p) for p in (points.double(), lorentz.expmap0(tangent).double()))
    torch.testing.assert_close(moved, among, atol=1e-4, rtol=1e-4)


def test_nodes_without_neighbours_lie_at_the_origin_and_move_no_other() -> None:
    edges = np.array([[0, 0], [0, 1], [1, 1]])
    x = torch.tensor([[0.3, 0.1], [-0.2, 0.4], [0.1, -0.5], [0.6, 0.2]])
    few = LHGCN()(x, Graph.of(2, 2, edges)).points
    padded = torch.cat([x[:2], torch.tensor([[9.0, 9.0]]), x[2:], torch.tensor([[-7.0, 1.0]])])
    many = LHGCN()(padded, Graph.of(3, 3, edges)).points
    torch.testing.assert_close(many[[0, 1, 3, 4]], few)
    torch.testing.assert_close(many[[2, 5]], torch.tensor([[1.0, 0.0, 0.0]]).repeat(2, 1))


def test_a_graph_without_edges_is_all_at_the_origin_with_zero_gradient() -> None:
    graph = Graph.of(2, 3, np.empty((0, 2), dtype=np.int64))
    x = torch.rand(5, 3, requires_grad=True)
    encoded = LHGCN()(x, graph)
    (encoded.points[0] - encoded.points[3]).square().sum().backward()
    assert (encoded.tangent == 0).all()
    assert x.grad is not None
    assert (x.grad == 0).all()


def test_weights_of_edges_count() -> None:
    """Tag–tag edges may weigh more than tag–item edges; the operator is D^{-½}AD^{-½} of the weights."""
    cross, among = np.array([[0, 0], [1, 0], [1, 1], [2, 1]]), np.array([[0, 1], [1, 2]])
    graph = Graph.of(3, 2, cross, among_left=among, left_weight=2.0)
    weights = np.zeros((5, 5))
    for a, b in cross + np.array([0, 3]):
        weights[a, b] = weights[b, a] = 1.0
    for a, b in among:
        weights[a, b] = weights[b, a] = 2.0
    np.testing.assert_allclose(graph.symmetric.operator.to_dense().numpy(), midpoints.symmetric(weights), atol=1e-6)
    x = features(graph, 1.0)
    expected = midpoints.lhgcn(x.double().numpy(), weights, 3)
    np.testing.assert_allclose(LHGCN()(x, graph).points.numpy(), expected, atol=2e-5, rtol=2e-5)


def test_the_symmetric_view_is_made_once_and_is_its_own_transpose() -> None:
    graph = small_graph()
    assert graph.symmetric is graph.symmetric
    dense = graph.symmetric.operator.to_dense()
    torch.testing.assert_close(dense, dense.T)
    torch.testing.assert_close(graph.symmetric.transposed.to_dense(), dense)
    assert (dense.diagonal() == 0).all()


@pytest.mark.parametrize("radius", [3.0, 6.0, 20.0])
def test_far_points_do_not_overflow(radius: float) -> None:
    graph = small_graph()
    x = features(graph, radius).requires_grad_()
    encoded = LHGCN()(x, graph)
    lorentz.sqdist(encoded.points[:7], encoded.points[7:14]).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(encoded.points).all()
    assert torch.isfinite(x.grad).all()
    assert LHGCN().saturated(encoded) == 0.0


def test_one_step_is_that_of_the_float64_transcription() -> None:
    """With the gradient through the centroid and through the mean radius."""

    def encode(x: Tensor, operator: Tensor) -> Tensor:
        weights = (operator > 0).double() - torch.eye(len(x), dtype=torch.float64)
        linked = weights.sum(1) > 0
        weights = weights[linked][:, linked]
        scale = weights.sum(1).rsqrt()
        symmetric = scale[:, None] * weights * scale
        tangent = x[linked]
        for _ in range(3):
            points = stepping.centroid(symmetric, stepping.exponential(tangent))
            middle = stepping.centroid(torch.ones(1, len(points), dtype=torch.float64), points)
            along = stepping.minkowski(middle, points).unsqueeze(-1)
            direction = points + along * middle
            length = torch.sqrt(stepping.minkowski(direction, direction)).unsqueeze(-1)
            at = torch.acosh(-along) * direction / length
            origin = torch.eye(middle.shape[1], dtype=torch.float64)[:1]
            turn = stepping.minkowski(origin, at) / (1 - stepping.minkowski(middle, origin))
            centred = (at + turn.unsqueeze(-1) * (middle + origin))[:, 1:]
            tangent = centred / centred.norm(dim=1).mean()
        points = torch.eye(x.shape[1] + 1, dtype=torch.float64)[:1].repeat(len(x), 1)
        return points.index_copy(0, linked.nonzero().squeeze(1), stepping.exponential(tangent))

    assert_steps_alike(LHGCN(), encode)
