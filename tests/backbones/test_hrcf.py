from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import differences, equations, hrcf

from hyperllm.backbones import HGCF, HRCF, BackboneConfig
from hyperllm.backbones.hrcf import HRCFConfig
from hyperllm.errors import ConfigError
from hyperllm.geometry import lorentz
from hyperllm.graph import Triplets
from hyperllm.testing.backbone import LEFT, RIGHT, BackboneContract, features, small_graph

ALPHA, MARGIN = 3.0, 0.8


def reference(x: np.ndarray, operator: np.ndarray, config: BackboneConfig) -> np.ndarray:
    return hrcf.points(x, operator, config.layers, config.radius)


class TestHRCF(BackboneContract):
    backbone = HRCF
    reference = staticmethod(reference)


def triplets(*, q: int = 2, seed: int = 0) -> Triplets:
    rng = torch.Generator().manual_seed(seed)
    anchor = torch.randint(LEFT, (12,), generator=rng)
    other = LEFT + torch.randint(RIGHT, (12, q + 1), generator=rng)
    return Triplets(anchor, other[:, 0], other[:, 1:])


@pytest.mark.parametrize("radius", [1e-6, 0.5, 4.0])
def test_the_mean_over_all_nodes_is_the_root(radius: float) -> None:
    graph = small_graph()
    x = features(graph, radius) + 0.3 * radius
    assert HGCF()(x, graph).tangent.mean(0).norm() > 0.1 * radius
    tangent = HRCF()(x, graph).tangent
    assert tangent.mean(0).norm() < 1e-6 * radius
    torch.testing.assert_close(HRCF()(x + 1.0, graph).tangent, tangent, atol=2e-6, rtol=1e-5)


def test_the_regulariser_reads_the_right_hand_nodes_before_the_clamp() -> None:
    graph, backbone = small_graph(), HRCF(HRCFConfig(root_weight=ALPHA))
    for scale in (0.1, 4.0):
        x = features(graph, scale)
        operator = graph.operator.to_dense().double().numpy()
        items = hrcf.tangent(x.double().numpy(), operator, 3)[LEFT:]
        found = backbone.losses(backbone(x, graph), triplets(), margin=MARGIN)["root"]
        assert float(found) == pytest.approx(ALPHA * hrcf.root(items), rel=1e-5)


def test_the_regulariser_pushes_items_outwards_where_the_clamp_binds_for_all() -> None:
    graph, backbone = small_graph(), HRCF()
    x = (10.0 * features(graph, 5.0)).requires_grad_()
    encoded = backbone(x, graph)
    assert backbone.saturated(encoded) == 1.0
    (grad,) = torch.autograd.grad(backbone.losses(encoded, triplets(), margin=MARGIN)["root"], encoded.tangent)
    along = -(grad * encoded.tangent).sum(1)
    assert (along[:LEFT] == 0).all()
    assert (along[LEFT:] > 0).all()
    clamped = lorentz.logmap0(backbone(x, graph).points)[LEFT:]
    after = torch.rsqrt(1e-6 + clamped.square().sum(1).mean())
    (dead,) = torch.autograd.grad(after, x)
    (live,) = torch.autograd.grad(backbone.losses(backbone(x, graph), triplets(), margin=MARGIN)["root"], x)
    assert live.norm() > 100 * dead.norm()


def test_without_weight_it_is_aligned_hgcf() -> None:
    graph, x = small_graph(), features(small_graph(), 0.5)
    backbone = HRCF(HRCFConfig(root_weight=0.0))
    terms = backbone.losses(backbone(x, graph), triplets(), margin=MARGIN)
    assert terms["root"] == 0.0


@pytest.mark.parametrize("radius", [0.4, 4.0])
def test_one_step_is_that_of_the_equations(radius: float) -> None:
    graph, batch = small_graph(), triplets()
    operator = graph.operator.to_dense().double().numpy()
    backbone = HRCF(HRCFConfig(root_weight=ALPHA))
    x = features(graph, radius).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.1)
    start = x.detach().double().numpy().copy()

    def loss(at: np.ndarray) -> float:
        points = hrcf.points(at, operator, 3, 1.5)
        ranked = equations.margin_ranking(
            points, batch.anchor.numpy(), batch.positive.numpy(), batch.negative.numpy(), MARGIN
        )
        return ranked + ALPHA * hrcf.root(hrcf.tangent(at, operator, 3)[LEFT:])

    terms = backbone.losses(backbone(x, graph), batch, margin=MARGIN)
    total = torch.stack(list(terms.values())).sum()
    assert total.item() == pytest.approx(loss(start), rel=1e-5)
    total.backward()
    optimizer.step()
    expected = start - 0.1 * differences.gradient(loss, start)
    np.testing.assert_allclose(x.detach().numpy(), expected, atol=2e-5, rtol=2e-5)


def test_a_time_coordinate_is_no_spread() -> None:
    graph = small_graph()
    x = torch.nn.functional.pad(features(graph, 0.5), (1, 0))
    with_time, without = HRCF(HRCFConfig(time_coordinate=True)), HRCF()
    first, second = with_time(x, graph), without(x[:, 1:], graph)
    torch.testing.assert_close(first.points, second.points, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first.views[0], second.views[0])
    x[:, 0] = torch.linspace(-1, 1, graph.nodes)
    torch.testing.assert_close(with_time(x, graph).views[0], second.views[0])


def test_settings_of_another_backbone_are_refused() -> None:
    with pytest.raises(ConfigError, match="HRCFConfig"):
        HRCF(BackboneConfig())
    assert HRCF(HRCFConfig(root_weight=2.0)).reconfigured(layers=2).config == HRCFConfig(root_weight=2.0, layers=2)
