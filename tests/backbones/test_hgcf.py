from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import equations

from hyperllm.backbones import BACKBONES, HGCF, BackboneConfig
from hyperllm.frameworks.train import served
from hyperllm.geometry import lorentz
from hyperllm.testing.backbone import BackboneContract, features, small_graph


def reference(x: np.ndarray, operator: np.ndarray, config: BackboneConfig) -> np.ndarray:
    return equations.hgcf(x, operator, config.layers, config.radius)


class TestHGCF(BackboneContract):
    backbone = HGCF
    reference = staticmethod(reference)


class TestShallowWithoutClamp(BackboneContract):
    backbone = HGCF
    reference = staticmethod(reference)
    config = BackboneConfig(layers=1, radius=None)
    found = 0.8


def test_the_input_itself_is_not_summed() -> None:
    """One edge, Â all ½: every layer is the mean, so L layers give L means."""
    from hyperllm.graph import Graph

    graph = Graph.of(1, 1, np.array([[0, 0]]))
    x = torch.tensor([[0.2], [0.4]])
    for layers in (1, 2, 3):
        encoded = HGCF(BackboneConfig(layers=layers))(x, graph)
        torch.testing.assert_close(encoded.tangent, torch.full((2, 1), 0.3 * layers))


def test_the_soft_clamp_stays_below_the_radius_and_keeps_a_radial_gradient() -> None:
    graph = small_graph()
    x = features(graph, 4.0).requires_grad_()
    encoded = HGCF(BackboneConfig(soft_radius=True))(x, graph)
    radius = lorentz.logmap0(encoded.points).norm(dim=1)
    assert (radius < 1.5).all()
    radius.sum().backward()
    assert x.grad is not None
    assert (x.grad.norm(dim=1) > 0).all()


def test_the_saturated_share_counts_what_the_clamp_shortened() -> None:
    graph = small_graph()
    x = features(graph, 2.0)
    encoded = HGCF()(x, graph)
    expected = (encoded.tangent.norm(dim=1) > 1.5).float().mean()
    assert 0 < expected < 1
    assert HGCF().saturated(encoded) == pytest.approx(float(expected))
    free = HGCF(BackboneConfig(radius=None))
    assert free.saturated(free(x, graph)) == 0.0


def test_with_a_time_coordinate_points_have_as_many_columns_as_inputs() -> None:
    graph = small_graph()
    x = torch.nn.functional.pad(features(graph, 0.5), (1, 0))
    with_time = HGCF(BackboneConfig(time_coordinate=True))(x, graph).points
    torch.testing.assert_close(with_time, HGCF()(x[:, 1:], graph).points, atol=1e-5, rtol=1e-5)


def test_without_a_clamp_nothing_is_saturated_whatever_the_inputs_columns() -> None:
    graph = small_graph()
    x = torch.nn.functional.pad(features(graph, 0.5), (1, 0), value=0.3)
    backbone = HGCF(BackboneConfig(radius=None, time_coordinate=True))
    assert backbone.saturated(backbone(x, graph)) == 0.0


def test_served_points_lie_on_the_unit_hyperboloid_whatever_the_curvature() -> None:
    graph, backbone = small_graph(), HGCF(BackboneConfig(curvature=0.25))
    points, geometry = served(backbone, backbone(features(graph, 2.0), graph).points)
    assert geometry == "lorentz"
    np.testing.assert_allclose(points[:, 0] ** 2 - (points[:, 1:] ** 2).sum(axis=1), 1.0, atol=1e-4)


def test_reconfigured_is_another_of_the_same_kind() -> None:
    first = HGCF(BackboneConfig(layers=2))
    other = first.reconfigured(radius=None)
    assert type(other) is HGCF
    assert (other.config.layers, other.config.radius, first.config.radius) == (2, None, 1.5)


def test_every_registered_backbone_has_settings_of_its_own_class() -> None:
    for name, backbone in BACKBONES.items():
        assert name == name.lower()
        assert backbone().config == backbone.config_class()
