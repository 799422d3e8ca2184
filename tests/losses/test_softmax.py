"""The sampled softmax against cross-entropy, and over each manifold's closeness."""

from __future__ import annotations

import pytest
import torch

from hyperllm.backbones import HGCF, LightGCN
from hyperllm.backbones.base import BackboneConfig
from hyperllm.geometry import lorentz
from hyperllm.graph import Triplets
from hyperllm.losses import softmax
from hyperllm.losses.softmax import distance_softmax, sampled_softmax

RNG = torch.Generator().manual_seed(3)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_it_is_cross_entropy_times_the_temperature(temperature: float) -> None:
    near = torch.randn(6, generator=RNG, dtype=torch.float64)
    far = torch.randn(6, 9, generator=RNG, dtype=torch.float64)
    logits = torch.cat([near[:, None], far], dim=1) / temperature
    wanted = torch.nn.functional.cross_entropy(logits, torch.zeros(6, dtype=torch.long), reduction="sum")
    torch.testing.assert_close(sampled_softmax(near, far, temperature=temperature), temperature * wanted)


def test_its_slope_in_a_lost_positive_is_that_of_a_hinge() -> None:
    near = torch.tensor([-50.0], requires_grad=True)
    (slope,) = torch.autograd.grad(sampled_softmax(near, torch.zeros(1, 3), temperature=0.5), near)
    torch.testing.assert_close(slope, torch.tensor([-1.0]))


def triplets() -> Triplets:
    return Triplets(torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5]), torch.tensor([[6, 7], [8, 9], [3, 4]]))


@pytest.mark.parametrize("curvature", [1.0, 0.5])
def test_hyperbolic_backbones_rank_by_squared_distance_against_shared_negatives(curvature: float) -> None:
    points = lorentz.expmap0(torch.randn(10, 4, generator=RNG, dtype=torch.float64), curvature)
    backbone = HGCF(BackboneConfig(curvature=curvature))
    for count, shared in ((2, [6, 7]), (4, [6, 7, 8, 9]), (99, [6, 7, 8, 9, 3, 4])):
        found = backbone.softmax(points, triplets(), temperature=0.7, negatives=count)
        wanted = 0.0
        for a, p in ((0, 3), (1, 4), (2, 5)):
            logits = torch.stack([-lorentz.sqdist(points[a], points[j], curvature) for j in [p, *shared]]) / 0.7
            wanted -= 0.7 * float(torch.log_softmax(logits, 0)[0])
        assert float(found) == pytest.approx(wanted, rel=1e-6)


def test_the_flat_backbone_ranks_by_inner_product() -> None:
    points = torch.randn(10, 4, generator=RNG, dtype=torch.float64)
    found = LightGCN().softmax(points, triplets(), temperature=0.7, negatives=2)
    logits = torch.stack([points[[0, 1, 2]].mul(points[[3, 4, 5]]).sum(1), *(points[:3] @ points[[6, 7]].T).T], dim=1)
    wanted = torch.nn.functional.cross_entropy(logits / 0.7, torch.zeros(3, dtype=torch.long), reduction="sum")
    torch.testing.assert_close(found, 0.7 * wanted)


@pytest.mark.parametrize("curvature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("rows", [1, 5, 256])
def test_the_fused_form_has_the_value_and_the_gradients_of_the_plain_one(
    curvature: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "ROWS", rows)
    rng = torch.Generator().manual_seed(1)
    tangent = [torch.randn(n, 3, generator=rng, dtype=torch.float64).requires_grad_() for n in (7, 7, 4)]
    a, p, n = (lorentz.expmap0(t, curvature) for t in tangent)
    far = -lorentz.pairwise_sqdist(a, n, curvature)
    wanted = sampled_softmax(-lorentz.sqdist(a, p, curvature), far, temperature=0.3)
    found = distance_softmax(a, p, n, temperature=0.3, c=curvature)
    torch.testing.assert_close(found, wanted)
    expected = torch.autograd.grad(2 * wanted, tangent, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(2 * found, tangent), expected)


def test_a_negative_that_is_the_anchor_gives_finite_gradients() -> None:
    points = lorentz.expmap0(torch.tensor([[0.0, 0.0], [0.4, 0.1], [0.4, 0.1]])).requires_grad_()
    value = distance_softmax(points[:2], points[1:], points, temperature=0.5)
    (gradient,) = torch.autograd.grad(value, points)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
