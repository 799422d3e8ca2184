"""One step of gradient descent through a backbone against the same step in float64, textbook form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tests.reference import stepping
from torch import Tensor

from hyperllm.backbones.base import Backbone
from hyperllm.graph import Triplets
from hyperllm.testing.backbone import features, small_graph

MARGIN, RATE = 0.8, 0.05


def assert_steps_alike(backbone: Backbone, encode: Callable[[Tensor, Tensor], Tensor], *, mean: bool = False) -> None:
    """``encode(x, operator)`` is the float64 transcription over the dense Â; ``mean`` is over violated margins."""
    graph = small_graph()
    x = features(graph, 0.8).requires_grad_()
    operator = graph.operator.to_dense().double()
    edges = torch.nonzero(operator[: graph.left, graph.left :])
    anchor, positive = edges[:, 0], graph.left + edges[:, 1]
    negative = graph.left + (edges[:, 1:] + torch.tensor([[2, 3]])) % graph.right

    def loss(at: Tensor) -> Tensor:
        points = encode(at, operator)
        total = stepping.loss_of(points, anchor, positive, negative, MARGIN)
        return total / violated(points) if mean else total

    def violated(points: Tensor) -> Tensor:
        one = stepping.loss_of(points, anchor, positive, negative, MARGIN + 1e-9)
        return ((one - stepping.loss_of(points, anchor, positive, negative, MARGIN)) / 1e-9).detach().round()

    expected = stepping.stepped(x.double(), loss, RATE)
    optimizer = torch.optim.SGD([x], lr=RATE)
    terms = backbone.losses(backbone(x, graph, train=True), Triplets(anchor, positive, negative), margin=MARGIN)
    torch.stack(list(terms.values())).sum().backward()
    moved = (expected - x.detach()).abs().max()
    optimizer.step()
    assert moved > 1e-3
    torch.testing.assert_close(x.detach().double(), expected, atol=2e-5 * float(moved) + 1e-6, rtol=1e-6)
