"""The sampled softmax against cross-entropy, and over each manifold's closeness."""

from __future__ import annotations

import pytest
import torch

from hyperllm.backbones import HGCF, LightGCN
from hyperllm.backbones.base import BackboneConfig
from hyperllm.geometry import lorentz
from hyperllm.graph import Triplets
from hyperllm.losses.softmax import sampled_softmax

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
