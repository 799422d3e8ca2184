"""One training step of plain HGCF, by hand: the float64 transcription, differentiated by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import equations

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.frameworks import Base, BaseConfig
from hyperllm.frameworks.base import Batch
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.ids import Vocabulary

LR, MOMENTUM, DECAY, MARGIN = 0.05, 0.9, 0.01, 0.8


def world() -> World:
    train = Pairs(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 3]))
    held = Pairs(np.array([0]), np.array([2]))
    return World.of(Split(Vocabulary.of(range(3)), Vocabulary.of(range(4)), train, held, held))


def gradient(x: np.ndarray, framework: Base, batch: Batch) -> np.ndarray:
    """Of Eq. 6 through the propagation, by central differences."""
    operator = framework.world.graph.operator.to_dense().double().numpy()
    t = batch.user_item

    def loss(at: np.ndarray) -> float:
        points = equations.hgcf(at, operator, 3)
        return equations.margin_ranking(points, t.anchor.numpy(), t.positive.numpy(), t.negative.numpy(), MARGIN)

    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        found[place] = (loss(x + step) - loss(x - step)) / 2e-6
    return found


def build(parametrisation: str) -> Base:
    config = BaseConfig(
        dim=2,
        margin=MARGIN,
        learning_rate=LR,
        momentum=MOMENTUM,
        weight_decay=DECAY,
        batch_size=5,
        init_scale=0.5,
        parametrisation=parametrisation,  # type: ignore[arg-type]
    )
    return Base(world(), HGCF(), config, seed=4)


def train_step(framework: Base, batch: Batch) -> None:
    (optimizer,) = framework.optimizers
    optimizer.zero_grad()
    torch.stack(list(framework.losses(batch).values())).sum().backward()
    optimizer.step()


def test_two_steps_of_momentum_on_tangent_tables() -> None:
    framework = build("tangent")
    framework.train()
    x = framework.nodes.weight.detach().double().numpy().copy()
    momentum = np.zeros_like(x)
    for epoch in (1, 2):
        (batch,) = framework.batches(epoch)
        assert len(batch.user_item) == 5
        momentum = MOMENTUM * momentum + gradient(x, framework, batch) + DECAY * x
        x = x - LR * momentum
        train_step(framework, batch)
        np.testing.assert_allclose(framework.nodes.weight.detach().numpy(), x, atol=2e-5)
    assert np.abs(momentum).max() > 0.1


def test_one_riemannian_step_on_points() -> None:
    """The directional derivative along the tangent step is minus what the Riemannian gradient says."""
    framework = build("manifold")
    framework.train()
    points = framework.nodes.weight.detach().double()
    x = lorentz.logmap0(points).numpy()
    (batch,) = framework.batches(1)
    ambient = torch.zeros_like(points)
    jacobian = torch.autograd.functional.jacobian(lorentz.logmap0, points)
    ambient += torch.einsum("nd,ndme->me", torch.from_numpy(gradient(x, framework, batch)), jacobian)
    direction = -LR * lorentz.riemannian_gradient(points, ambient + DECAY * points)
    train_step(framework, batch)
    expected = lorentz.expmap(points, direction)
    np.testing.assert_allclose(framework.nodes.weight.detach().numpy(), expected.numpy(), atol=2e-5)
    assert lorentz.dist(points, expected).max().item() == pytest.approx(
        float(lorentz.inner(direction, direction).sqrt().max()), rel=1e-6
    )
