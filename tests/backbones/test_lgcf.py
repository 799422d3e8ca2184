from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.backbones.steps import assert_steps_alike
from tests.reference import midpoints, stepping
from torch import Tensor

from hyperllm.backbones.lgcf import LGCF, LGCFConfig
from hyperllm.config import build
from hyperllm.errors import ConfigError
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph
from hyperllm.testing.backbone import BackboneContract, features, small_graph


def reference(x: np.ndarray, operator: np.ndarray, config: LGCFConfig) -> np.ndarray:
    return midpoints.lgcf(x, operator, config.layers, config.combination, config.radius)


LONGER_STEPS = {**BackboneContract.settings, "learning_rate": 0.1}
"""A mean of the layers is a third of their sum, and so are its gradients."""


class TestLGCF(BackboneContract):
    backbone = LGCF
    reference = staticmethod(reference)
    settings = LONGER_STEPS


class TestLastLayerClamped(BackboneContract):
    backbone = LGCF
    reference = staticmethod(reference)
    config = LGCFConfig(layers=2, combination="last", radius=1.5)
    settings = LONGER_STEPS

    @pytest.mark.parametrize("framework", ["base", "full"])
    def test_it_finds_the_planted_tree(self, framework: str) -> None:
        super().test_it_finds_the_planted_tree(framework)


def test_with_one_layer_both_combinations_are_that_layer() -> None:
    graph = small_graph()
    x = features(graph, 1.0)
    centroid, last = (LGCF(LGCFConfig(layers=1, combination=name))(x, graph).points for name in ("centroid", "last"))
    assert torch.equal(centroid, last)
    deeper = [LGCF(LGCFConfig(combination=name))(x, graph).points for name in ("centroid", "last")]
    assert not torch.allclose(*deeper, atol=1e-3)


def test_a_midpoint_lies_between_its_ends() -> None:
    """One edge, Â all ½: both nodes move to the middle of the geodesic and stay there."""
    graph = Graph.of(1, 1, np.array([[0, 0]]))
    x = torch.tensor([[0.2, 0.0], [1.4, 0.0]])
    for combination in ("centroid", "last"):
        encoded = LGCF(LGCFConfig(combination=combination))(x, graph)
        torch.testing.assert_close(encoded.tangent, torch.tensor([[0.8, 0.0]]).repeat(2, 1), atol=1e-6, rtol=1e-6)


def test_an_isometry_of_the_inputs_is_one_of_the_points() -> None:
    """Nothing but midpoints: the origin is a place like any other, which no tangent-space sum can say."""
    graph = small_graph()
    x = features(graph, 1.0).double()
    base = lorentz.expmap0(torch.full((x.shape[1],), 0.3, dtype=x.dtype))

    def moved(points: Tensor) -> Tensor:
        return lorentz.logmap0(lorentz.to_origin(points, base))

    backbone = LGCF()
    first = backbone(moved(lorentz.expmap0(x)).float(), graph).points.double()
    second = lorentz.expmap0(moved(backbone(x.float(), graph).points.double()))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("radius", [3.0, 6.0, 20.0])
def test_far_points_do_not_overflow(radius: float) -> None:
    graph = small_graph()
    x = features(graph, radius).requires_grad_()
    encoded = LGCF()(x, graph)
    lorentz.sqdist(encoded.points[:7], encoded.points[7:14]).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(encoded.points).all()
    assert torch.isfinite(x.grad).all()
    assert LGCF().saturated(encoded) == 0.0


def test_centroids_never_leave_the_ball_around_their_points() -> None:
    graph = small_graph()
    for radius in (0.1, 1.0, 3.0):
        x = features(graph, radius)
        assert LGCF()(x, graph).tangent.norm(dim=1).max() <= x.norm(dim=1).max() * (1 + 1e-5)


@pytest.mark.parametrize("combination", ["centroid", "last"])
def test_one_step_is_that_of_the_float64_transcription(combination: str) -> None:
    def encode(x: Tensor, operator: Tensor) -> Tensor:
        stack = [stepping.exponential(x)]
        for _ in range(3):
            stack.append(stepping.centroid(operator, stack[-1]))
        if combination == "last":
            return stack[-1]
        total = torch.stack(stack[1:]).sum(0)
        return total / torch.sqrt(-stepping.minkowski(total, total)).unsqueeze(-1)

    assert_steps_alike(LGCF(LGCFConfig(combination=combination)), encode)  # type: ignore[arg-type]


def test_with_a_time_coordinate_points_have_as_many_columns_as_inputs() -> None:
    """It is used up where inputs become points; without its effect the points are the same."""
    graph = small_graph()
    x = features(graph, 0.5)
    with_time = LGCF(LGCFConfig(time_coordinate=True))(torch.nn.functional.pad(x, (1, 0)), graph).points
    torch.testing.assert_close(with_time, LGCF()(x, graph).points, atol=1e-5, rtol=1e-5)


def test_an_unknown_combination_is_refused() -> None:
    with pytest.raises(ConfigError, match="combination"):
        build([LGCFConfig], {"combination": "sum"})
