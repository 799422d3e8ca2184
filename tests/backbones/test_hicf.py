from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import differences, equations, hicf

from hyperllm.backbones import HICF, BackboneConfig
from hyperllm.backbones.hicf import HICFConfig, hardest, overlap
from hyperllm.geometry import lorentz
from hyperllm.graph import Triplets
from hyperllm.testing.backbone import LEFT, RIGHT, BackboneContract, features, small_graph

MARGIN = 1.6


def reference(x: np.ndarray, operator: np.ndarray, config: BackboneConfig) -> np.ndarray:
    return equations.hgcf(x, operator, config.layers, config.radius)


class TestHICF(BackboneContract):
    backbone = HICF
    reference = staticmethod(reference)
    settings = {**BackboneContract.settings, "margin": 2.0, "meta_margin": 0.2, "negatives": 4}  # noqa: RUF012


def triplets(*, q: int = 4, seed: int = 0) -> Triplets:
    rng = torch.Generator().manual_seed(seed)
    anchor = torch.randint(LEFT, (12,), generator=rng)
    other = LEFT + torch.randint(RIGHT, (12, q + 1), generator=rng)
    return Triplets(anchor, other[:, 0], other[:, 1:])


def arrays(batch: Triplets) -> tuple[Any, Any, Any]:
    return batch.anchor.numpy(), batch.positive.numpy(), batch.negative.numpy()


@given(st.integers(0, 10**6), st.floats(0.1, 3.0))
def test_the_overlap_is_both_formulas_of_it(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    u, i = (equations.exponential(radius * rng.uniform(-1, 1, (20, 5)) / 5**0.5) for _ in range(2))
    np.testing.assert_allclose(hicf.overlap(u, i), hicf.gromov(u, i), atol=1e-12)
    found = overlap(torch.from_numpy(u).float(), torch.from_numpy(i).float())
    np.testing.assert_allclose(found.numpy(), hicf.overlap(u, i), atol=2e-6)
    double = overlap(torch.from_numpy(u), torch.from_numpy(i))
    np.testing.assert_allclose(double.numpy(), hicf.overlap(u, i), atol=1e-12)


@pytest.mark.parametrize("radius", [1e-6, 1e-4, 1e-2])
def test_the_overlap_keeps_its_digits_near_the_origin(radius: float) -> None:
    """The printed formula would lose them all: it takes 1 from numbers that are 1 in float32."""
    rng = torch.Generator().manual_seed(0)
    v, w = (radius * torch.randn(50, 3, generator=rng).abs() for _ in range(2))
    found = overlap(lorentz.expmap0(v), lorentz.expmap0(w))
    torch.testing.assert_close(found, (v * w).sum(1), rtol=20 * radius**2 + 1e-5, atol=0)


def test_the_overlap_at_the_clamp_and_at_the_origin() -> None:
    origin, east, west = lorentz.expmap0(torch.tensor([[0.0, 0.0], [1.5, 0.0], [-1.5, 0.0]]))
    assert overlap(origin, east) == overlap(origin, origin) == 0.0
    assert float(overlap(east, east)) == pytest.approx(0.49, abs=0.01)
    assert float(overlap(east, west)) == pytest.approx(-1.15, abs=0.01)


def test_the_negative_is_the_candidate_nearest_to_the_positive() -> None:
    graph = small_graph()
    for seed in range(20):
        batch = triplets(q=5, seed=seed)
        points = HICF()(features(graph, 1.0), graph).points
        chosen = hardest(points, batch)
        assert chosen.negative.shape == (12, 1)
        assert torch.equal(chosen.anchor, batch.anchor)
        assert torch.equal(chosen.positive, batch.positive)
        for p, candidates, n in zip(batch.positive, batch.negative, chosen.negative[:, 0], strict=True):
            assert n in candidates
            x = points.double().numpy()
            distances = equations.lorentz_distance(x[p], x[candidates])
            assert equations.lorentz_distance(x[p], x[n]) == pytest.approx(distances.min(), abs=1e-6)


def test_one_candidate_is_taken_as_it_is() -> None:
    graph, batch = small_graph(), triplets(q=1)
    assert hardest(HICF()(features(graph, 1.0), graph).points, batch) is batch


def test_candidates_that_are_not_chosen_get_no_gradient() -> None:
    graph, backbone = small_graph(), HICF()
    points = backbone(features(graph, 1.0), graph).points.detach().requires_grad_()
    batch = Triplets(torch.tensor([1]), torch.tensor([LEFT + 1]), torch.tensor([[LEFT + 2, LEFT + 3, LEFT + 4]]))
    kept = int(hardest(points, batch).negative)
    encoded = replace(backbone(features(graph, 1.0), graph), points=points)
    backbone.losses(encoded, batch, margin=20.0)["rank"].backward()
    assert points.grad is not None
    assert set(points.grad.norm(dim=1).nonzero().flatten().tolist()) == {1, LEFT + 1, kept}


def test_at_the_origin_half_the_margin_is_asked_for() -> None:
    graph, batch = small_graph(), triplets(q=1)
    terms = HICF().losses(HICF()(torch.zeros(graph.nodes, 3), graph), batch, margin=MARGIN)
    assert float(terms["rank"]) == pytest.approx(len(batch) * MARGIN / 2)


@pytest.mark.parametrize("radius", [0.4, 4.0])
def test_one_step_is_that_of_the_equations(radius: float) -> None:
    graph, batch, backbone = small_graph(), triplets(), HICF()
    operator = graph.operator.to_dense().double().numpy()
    x = features(graph, radius).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.1)
    start = x.detach().double().numpy().copy()

    def loss(at: np.ndarray) -> float:
        return hicf.loss(equations.hgcf(at, operator, 3), *arrays(batch), MARGIN)

    total = backbone.losses(backbone(x, graph), batch, margin=MARGIN)["rank"]
    assert total.item() == pytest.approx(loss(start), rel=1e-5)
    total.backward()
    optimizer.step()
    expected = start - 0.1 * differences.gradient(loss, start)
    np.testing.assert_allclose(x.detach().numpy(), expected, atol=5e-5, rtol=5e-5)


def test_the_margin_passes_gradient_only_if_asked_to() -> None:
    graph, batch = small_graph(), triplets()
    found: list[torch.Tensor] = []
    for margin_gradient in (True, False):
        x = features(graph, 0.5).requires_grad_()
        backbone = HICF(HICFConfig(margin_gradient=margin_gradient))
        value = backbone.losses(backbone(x, graph), batch, margin=MARGIN)["rank"]
        found += [value.detach(), *torch.autograd.grad(value, x)]
    assert found[0] == found[2]
    assert (found[1] - found[3]).norm() > 0.01
