from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.reference import differences, equations, hypercl

from hyperllm.backbones import BackboneConfig, HyperCL
from hyperllm.backbones.hypercl import HyperCLConfig
from hyperllm.errors import ConfigError
from hyperllm.frameworks import HyperLLMConfig, train_hyperllm
from hyperllm.geometry import lorentz
from hyperllm.graph import Graph, Triplets
from hyperllm.testing import tree_world
from hyperllm.testing.backbone import LEFT, RIGHT, BackboneContract, features, small_graph
from hyperllm.training.loop import FitConfig

MARGIN = 0.8


def reference(x: np.ndarray, operator: np.ndarray, config: BackboneConfig) -> np.ndarray:
    return equations.hgcf(x, operator, config.layers, config.radius)


class TestHyperCL(BackboneContract):
    backbone = HyperCL
    reference = staticmethod(reference)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def triplets(*, b: int = 12, q: int = 1, seed: int = 0) -> Triplets:
    anchor = torch.randint(LEFT, (b,), generator=stream(seed))
    other = LEFT + torch.randint(RIGHT, (b, q + 1), generator=stream(seed))
    return Triplets(anchor, other[:, 0], other[:, 1:])


def adjacencies(graph: Graph, share: float) -> list[np.ndarray]:
    """The 0/1 matrices of the two views that a stream's first two draws leave."""
    rng = stream()
    return [(graph.dropped(share, rng).operator.to_dense() > 0).double().numpy() for _ in range(2)]


@pytest.mark.parametrize("radius", [0.3, 4.0])
@pytest.mark.parametrize("layers", [1, 3])
def test_both_views_are_those_of_the_equations(radius: float, layers: int) -> None:
    graph, x = small_graph(), features(small_graph(), radius)
    encoded = HyperCL(HyperCLConfig(layers=layers))(x, graph, train=True, rng=stream())
    first, second = (hypercl.symmetric(a) for a in adjacencies(graph, 0.35))
    start = equations.exponential(equations.clamped(x.double().numpy(), 1.5))
    expected = equations.hgcf(x.double().numpy(), first, layers), hypercl.hyperbolic(start, second, layers)
    for found, right in zip(encoded.views, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), right, atol=2e-5, rtol=2e-5)


def test_the_two_views_lack_different_edges_and_the_ranking_lacks_none() -> None:
    graph, x = small_graph(), features(small_graph(), 0.5)
    first, second = adjacencies(graph, 0.35)
    assert (first != second).any()
    backbone = HyperCL()
    encoded = backbone(x, graph, train=True, rng=stream())
    assert torch.equal(encoded.points, backbone(x, graph).points)
    other = backbone(x, graph, train=True, rng=stream(1))
    assert not torch.equal(encoded.views[0], other.views[0])


def test_without_dropout_the_views_are_those_of_the_whole_graph() -> None:
    graph, x = small_graph(), features(small_graph(), 0.5)
    backbone = HyperCL(HyperCLConfig(view_dropout=0.0))
    first, second = (backbone(x, graph, train=True, rng=stream(seed)).views for seed in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    whole = hypercl.symmetric((graph.operator.to_dense() > 0).double().fill_diagonal_(0).numpy())
    np.testing.assert_allclose(first[0].numpy(), equations.hgcf(x.double().numpy(), whole, 3), atol=2e-5)


def test_isolated_nodes_lie_at_the_origin_and_stay_finite() -> None:
    graph, backbone = small_graph(), HyperCL(HyperCLConfig(view_dropout=0.9))
    alone = [np.flatnonzero(a.sum(1) == 0) for a in adjacencies(graph, 0.9)]
    assert min(len(nodes) for nodes in alone) > 2
    x = features(graph, 1.0).requires_grad_()
    encoded = backbone(x, graph, train=True, rng=stream())
    for view, nodes in zip(encoded.views, alone, strict=True):
        expected = lorentz.origin(x.shape[1], like=x).expand(len(nodes), -1)
        torch.testing.assert_close(view[torch.from_numpy(nodes)], expected, rtol=0, atol=0)
    backbone.losses(encoded, triplets(), margin=MARGIN)["views"].backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_a_node_counts_once_however_often_it_is_in_the_batch() -> None:
    graph, backbone, batch = small_graph(), HyperCL(), triplets()
    encoded = backbone(features(graph, 0.5), graph, train=True, rng=stream())
    twice = Triplets(*(torch.cat([part, part.flip(0)]) for part in (batch.anchor, batch.positive, batch.negative)))
    once, doubled = (backbone.losses(encoded, t, margin=MARGIN) for t in (batch, twice))
    assert once["views"] == doubled["views"] > 0
    assert doubled["rank"] == pytest.approx(2 * float(once["rank"]))


def test_an_encoding_that_does_not_train_draws_nothing_and_has_no_views() -> None:
    graph, x, rng = small_graph(), features(small_graph(), 0.5), stream()
    before, everywhere = rng.get_state(), torch.get_rng_state()
    encoded = HyperCL()(x, graph, rng=rng)
    assert encoded.views == ()
    assert torch.equal(rng.get_state(), before)
    assert set(HyperCL().losses(encoded, triplets(), margin=MARGIN)) == {"rank"}
    HyperCL()(x, graph, train=True, rng=rng)
    assert not torch.equal(rng.get_state(), before)
    assert torch.equal(torch.get_rng_state(), everywhere)


def test_training_without_a_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="rng"):
        HyperCL()(features(small_graph(), 0.5), small_graph(), train=True)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_edges_is_a_share(share: float) -> None:
    with pytest.raises(ValidationError):
        HyperCLConfig(view_dropout=share)


@pytest.mark.parametrize(("radius", "temperature"), [(0.4, 0.5), (4.0, 0.5), (4.0, 0.05)])
def test_one_step_is_that_of_the_equations(radius: float, temperature: float) -> None:
    graph, batch = small_graph(), triplets(q=2)
    backbone = HyperCL(HyperCLConfig(view_weight=0.2, view_temperature=temperature))
    whole = graph.operator.to_dense().double().numpy()
    first, second = (hypercl.symmetric(a) for a in adjacencies(graph, 0.35))
    x = features(graph, radius).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.1)
    start = x.detach().double().numpy().copy()
    anchor, positive, negative = batch.anchor.numpy(), batch.positive.numpy(), batch.negative.numpy()

    def loss(at: np.ndarray) -> float:
        ranked = equations.margin_ranking(equations.hgcf(at, whole, 3), anchor, positive, negative, MARGIN)
        one = equations.hgcf(at, first, 3)
        two = hypercl.hyperbolic(equations.exponential(equations.clamped(at, 1.5)), second, 3)
        agreed = sum(hypercl.agreement(one, two, rows, temperature) for rows in (anchor, positive))
        return ranked + 0.2 * agreed

    terms = backbone.losses(backbone(x, graph, train=True, rng=stream()), batch, margin=MARGIN)
    total = torch.stack(list(terms.values())).sum()
    assert total.item() == pytest.approx(loss(start), rel=1e-5)
    total.backward()
    optimizer.step()
    expected = start - 0.1 * differences.gradient(loss, start)
    np.testing.assert_allclose(x.detach().numpy(), expected, atol=1e-4, rtol=1e-4)


def test_a_low_temperature_is_finite_where_an_exponential_is_not() -> None:
    """exp(−d²/0.05) of two points at right angles on the clamp is 0 in float32."""
    graph, backbone = small_graph(), HyperCL(HyperCLConfig(view_temperature=1e-3))
    x = features(graph, 10.0).requires_grad_()
    terms = backbone.losses(backbone(x, graph, train=True, rng=stream()), triplets(), margin=MARGIN)
    terms["views"].backward()
    assert torch.isfinite(terms["views"])
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_tag_graph_gets_views_only_if_asked_for() -> None:
    edges = np.array([[0, 0], [1, 1], [2, 1]])
    tags = Graph.of(3, 2, edges, among_left=np.array([[0, 1]]))
    x = features(tags, 0.5)
    assert HyperCL()(x, tags, train=True).views == ()
    assert len(HyperCL(HyperCLConfig(tag_views=True))(x, tags, train=True, rng=stream()).views) == 2


def test_views_of_the_tag_graph_train() -> None:
    world = tree_world(depth=2)
    config = HyperLLMConfig(variant="structural", dim=3, batch_size=64, optimizer="adam")
    trained = train_hyperllm(
        world.split,
        tags=world.tags,
        backbone=HyperCL(HyperCLConfig(tag_views=True)),
        config=config,
        fit_config=FitConfig(epochs=3),
    )
    assert np.isfinite(trained.items).all()
    assert "tag_views" in trained.reports["phase 2"].epochs[-1].terms
