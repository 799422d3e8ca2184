"""One step of phase 2 written down as the paper's equations read, for the other benchmarks to be compared with.

Distances through arcosh, the softmax of Eq. 16 over a dense items × items matrix with exponentials and logarithms in
turn, gradients by autograd, torch's own kernels, one row-normalised operator in torch's default sparse layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hyperllm.frameworks import Integration
from hyperllm.frameworks.base import Batch
from hyperllm.geometry.manifold import Lorentz, ManifoldParameter
from hyperllm.geometry.optim import RiemannianSGD
from hyperllm.graph import Graph, Triplets


def inner(x: Tensor, y: Tensor) -> Tensor:
    """⟨x,y⟩ of rows (Eq. 2)."""
    return (x[..., 1:] * y[..., 1:]).sum(-1) - x[..., 0] * y[..., 0]


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """arcosh²(−⟨x,y⟩) of rows (Eq. 4)."""
    return torch.acosh((-inner(x, y)).clamp_min(1 + 1e-7)).square()


def to_tangent(x: Tensor) -> Tensor:
    """log₀ of points."""
    length = x[:, 1:].norm(dim=1, keepdim=True).clamp_min(1e-8)
    return torch.acosh(x[:, :1].clamp_min(1 + 1e-7)) * x[:, 1:] / length


def to_points(v: Tensor, radius: float) -> Tensor:
    """exp₀ of vectors no longer than ``radius``."""
    norm = v.norm(dim=1, keepdim=True).clamp_min(1e-8)
    length = norm.clamp_max(radius)
    return torch.cat([torch.cosh(length), torch.sinh(length) * v / norm], dim=1)


def encode(table: Tensor, operator: Tensor, *, layers: int = 3, radius: float = 1.5) -> Tensor:
    """HGCF: the sum of the propagated layers, as points."""
    states = [table]
    for _ in range(layers):
        states.append(torch.sparse.mm(operator, states[-1]))
    return to_points(torch.stack(states[1:]).sum(0), radius)


def ranking(points: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Eq. 6 with squared distances."""
    anchor, positive, negative = points[triplets.anchor], points[triplets.positive], points[triplets.negative[:, 0]]
    return (squared_distance(anchor, positive) - squared_distance(anchor, negative) + margin).clamp_min(0).sum()


def contrast(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Eq. 16 over all items."""
    flipped = torch.cat([-b[:, :1], b[:, 1:]], dim=1)
    distances = torch.acosh((-(a @ flipped.T)).clamp_min(1 + 1e-7)).square()
    likeness = torch.exp(-distances / temperature)
    return -torch.log(likeness.diagonal() / likeness.sum(1)).sum()


def coo(graph: Graph) -> Tensor:
    """A graph's operator in torch's default sparse layout."""
    return graph.operator.to_sparse_coo().coalesce()


def loss(framework: Integration, tables: Sequence[Tensor], operators: Sequence[Tensor], batch: Batch) -> Tensor:
    """Eq. 15 of one batch; ``tables`` are points of users and items, and of tags."""
    config, tags, users = framework.config, framework.tags, framework.world.users
    assert tags is not None
    assert batch.tag is not None
    nodes, tag_nodes = (to_tangent(table) for table in tables)
    one = encode(nodes, operators[0])
    other = encode(torch.cat([tag_nodes, nodes[users:]]), operators[1])
    aligned = contrast(one[users:], other[tags.graph.left :], config.contrast_temperature)
    ranked = ranking(one, batch.user_item, config.margin) + ranking(other, batch.tag, config.tag_margin)
    return ranked + config.contrast_weight * aligned


def step_of(framework: Integration) -> Callable[[], None]:
    """One step of the same model on the same data, written plainly."""
    config, tags = framework.config, framework.tags
    assert tags is not None
    start = (framework.nodes.weight.detach().clone(), tags.nodes.weight.detach().clone())
    tables = [ManifoldParameter(points, Lorentz()) for points in start]
    optimizer = RiemannianSGD(
        tables, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    batch = next(iter(framework.batches(1)))
    operators = [coo(framework.world.graph), coo(tags.graph)]

    def step() -> None:
        optimizer.zero_grad()
        loss(framework, tables, operators, batch).backward()
        optimizer.step()

    return step


def evaluation(users: Tensor, items: Tensor, seen: tuple[Tensor, Tensor], k: int) -> Tensor:
    """The k best items of each user from dense scores and a full sort."""
    flipped = torch.cat([-items[:, :1], items[:, 1:]], dim=1)
    scores = users @ flipped.T
    indptr, indices = seen
    rows = torch.repeat_interleave(torch.arange(len(users)), indptr[1:] - indptr[:-1])
    scores[rows, indices] = -torch.inf
    return torch.argsort(scores, dim=1, descending=True)[:, :k]
