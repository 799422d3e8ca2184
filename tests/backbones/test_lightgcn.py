"""LightGCN: the Euclidean backbone on the same contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import flat, stepping

from hyperllm.backbones import LightGCN
from hyperllm.backbones.lightgcn import LightGCNConfig
from hyperllm.graph import Graph, Triplets
from hyperllm.losses import contrastive
from hyperllm.serving.model import ScoreModel
from hyperllm.testing.backbone import BackboneContract, features, small_graph
from hyperllm.testing.worlds import tree_world


def reference(x: np.ndarray, operator: np.ndarray, config: LightGCNConfig) -> np.ndarray:
    return flat.lightgcn(x, operator, config.layers, config.radius)


WIDER = {**BackboneContract.settings, "dim": 8, "margin": 0.0, "user_radius": None, "item_radius": None}
"""Inner products of two-dimensional vectors cannot tell 27 tastes apart; distances can."""


class TestLightGCN(BackboneContract):
    backbone = LightGCN
    reference = staticmethod(reference)
    settings = WIDER


class TestClampedAndShallow(BackboneContract):
    backbone = LightGCN
    reference = staticmethod(reference)
    config = LightGCNConfig(layers=1, radius=1.5)
    settings = WIDER

    @pytest.mark.parametrize("framework", ["base", "full"])
    def test_it_finds_the_planted_tree(self, framework: str) -> None:
        super().test_it_finds_the_planted_tree(framework)


def test_one_edge_by_hand() -> None:
    """Ã swaps the two ends: layers 0 to 3 are x, the other's x, x and the other's x."""
    x = torch.tensor([[0.2, 0.0], [0.0, 0.6]])
    points = LightGCN()(x, Graph.of(1, 1, np.array([[0, 0]]))).points
    torch.testing.assert_close(points, torch.tensor([[0.1, 0.3], [0.1, 0.3]]))


def test_bpr_by_hand() -> None:
    points = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    triplets = Triplets(torch.tensor([0]), torch.tensor([1]), torch.tensor([[2, 3]]))
    backbone = LightGCN()
    encoded = backbone(points, Graph.of(1, 3, np.empty((0, 2), dtype=np.int64)))
    encoded = type(encoded)(points, points)
    (loss,) = backbone.losses(encoded, triplets, margin=0.0).values()
    assert float(loss) == pytest.approx(np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0)))


def test_one_step_is_that_of_the_float64_transcription() -> None:
    graph = small_graph()
    x = features(graph, 0.8).requires_grad_()
    operator = graph.operator.to_dense().double().numpy()
    mixing = torch.from_numpy(flat.mixing(operator, 3))
    anchor, positive = torch.tensor([1, 2, 3]), torch.tensor([9, 10, 11])
    negative = torch.tensor([[12, 13], [9, 14], [15, 8]])

    def loss(at: torch.Tensor) -> torch.Tensor:
        out = mixing @ at
        gap = (out[anchor] * out[positive]).sum(1, keepdim=True) - (out[anchor].unsqueeze(1) * out[negative]).sum(-1)
        return -torch.log(1 / (1 + torch.exp(0.3 - gap))).sum()

    expected = stepping.stepped(x.double(), loss, 0.05)
    optimizer = torch.optim.SGD([x], lr=0.05)
    backbone = LightGCN()
    terms = backbone.losses(backbone(x, graph, train=True), Triplets(anchor, positive, negative), margin=0.3)
    torch.stack(list(terms.values())).sum().backward()
    assert (expected - x.detach()).abs().max() > 1e-3
    optimizer.step()
    torch.testing.assert_close(x.detach().double(), expected, atol=1e-6, rtol=1e-6)


def test_the_contrastive_term_is_that_of_squared_euclidean_distances() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 4))
    expected = flat.contrastive(a, b, 0.5)
    found = LightGCN().contrast(torch.from_numpy(a), torch.from_numpy(b), temperature=0.5)
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("population", [None, 40])
def test_blocks_of_rows_change_neither_value_nor_gradients(
    monkeypatch: pytest.MonkeyPatch, population: int | None
) -> None:
    found = []
    for held in (contrastive.HELD_PAIRS, 3 * 11):
        monkeypatch.setattr(contrastive, "HELD_PAIRS", held)
        rng = torch.Generator().manual_seed(0)
        a, b = (torch.randn(11, 4, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2))
        value = contrastive.contrastive_flat(a, b, temperature=0.7, population=population)
        value.backward()
        found.append((value.detach(), a.grad, b.grad))
    for whole, blocks in zip(*found, strict=True):
        torch.testing.assert_close(whole, blocks)


def test_served_scores_are_inner_products() -> None:
    """What is trained is what is served: a model of the kind ``inner``, without a curvature."""
    from hyperllm.frameworks import BaseConfig, train_base
    from hyperllm.training.loop import FitConfig

    world = tree_world(seed=1)
    trained = train_base(
        world.split, backbone=LightGCN(), config=BaseConfig(dim=4), fit_config=FitConfig(epochs=1, average=0.0)
    )
    assert trained.geometry == "inner"
    assert trained.users.shape == (len(world.split.users), 4)
    model = ScoreModel.of_points(world.split, users=trained.users, items=trained.items, geometry=trained.geometry)
    found = model.topk(np.array([0]), 3)
    scores = trained.users[0] @ trained.items.T
    np.testing.assert_allclose(found.scores[0], np.sort(scores)[::-1][:3], atol=1e-6)
