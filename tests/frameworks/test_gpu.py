"""A step as a GPU takes it, asked of tensors that have a shape but no numbers and say that they are on a GPU.

An operation that has to read a number back, which on a GPU makes the host wait, cannot be done with them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from hyperllm.backbones import HGCF
from hyperllm.frameworks import Base, BaseConfig, HyperLLMConfig, Integration, SemanticExtraction
from hyperllm.frameworks.base import Batch, Framework
from hyperllm.frameworks.world import World
from hyperllm.geometry.manifold import Lorentz
from hyperllm.geometry.optim import RiemannianAdam, RiemannianSGD
from hyperllm.graph import Graph, Triplets
from hyperllm.losses import contrastive
from hyperllm.testing import tree_world
from hyperllm.training.average import WeightAverage

PLANTED = tree_world(depth=2)
SMALL = {"dim": 4, "batch_size": 50, "parametrisation": "tangent"}


def hyper(**more: object) -> HyperLLMConfig:
    return HyperLLMConfig(**{**SMALL, "experts": 2, "text_dim": None, **more})  # type: ignore[arg-type]


def world() -> World:
    return World.of(PLANTED.split, tags=PLANTED.tags, semantics=PLANTED.semantics)


FRAMEWORKS = {
    "base": lambda: Base(world(), HGCF(), BaseConfig(**SMALL)),  # type: ignore[arg-type]
    "base, adam": lambda: Base(world(), HGCF(), BaseConfig(**SMALL, optimizer="adam")),  # type: ignore[arg-type]
    "phase 1": lambda: SemanticExtraction(world(), HGCF(), hyper()),
    "phase 2, exact": lambda: Integration(world(), HGCF(), hyper(variant="structural", contrast="exact")),
    "phase 2, sampled": lambda: Integration(
        world(), HGCF(), hyper(variant="structural", contrast="sampled", contrast_sample=7)
    ),
}


def emptied(framework: Framework) -> None:
    """Replace every tensor of a framework by one without numbers, graphs by dense matrices."""
    replaced: dict[Tensor, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    def graph(real: Graph) -> Graph:
        n = real.nodes
        return Graph(real.left, real.right, torch.empty(n, n), torch.empty(n, n), torch.empty(n))

    for module in framework.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                replaced[parameter] = module._parameters[name] = torch.nn.Parameter(fake(parameter))
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = fake(buffer)
    framework.world = replace(framework.world, graph=graph(framework.world.graph))
    if isinstance(framework, Integration) and framework.tags is not None:
        framework.tags.graph = graph(framework.tags.graph)
    for optimizer in framework.optimizers:
        for group in optimizer.param_groups:
            group["params"] = [replaced[p] for p in group["params"]]


def without_numbers(batch: Batch) -> Batch:
    def sent(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    def triplets(real: Triplets) -> Triplets:
        return Triplets(sent(real.anchor), sent(real.positive), sent(real.negative))

    return Batch(
        batch.epoch,
        triplets(batch.user_item),
        None if batch.tag is None else triplets(batch.tag),
        None if batch.drawn is None else sent(batch.drawn),
    )


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_step_never_waits_for_the_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTensor, "is_cuda", property(lambda tensor: True))
    monkeypatch.setattr(contrastive, "_suits_gpu_kernels", lambda tensor: False)
    framework = FRAMEWORKS[name]()
    batch = next(iter(framework.batches(1)))
    with FakeTensorMode(allow_non_fake_inputs=True):
        emptied(framework)
        average = WeightAverage(framework, decay=0.9)
        for _ in range(2):
            for optimizer in framework.optimizers:
                optimizer.zero_grad()
            terms = framework.losses(without_numbers(batch))
            total = torch.stack(list(terms.values())).sum()
            total.backward()
            for optimizer in framework.optimizers:
                optimizer.step()
            average.update()
        with pytest.raises(DataDependentOutputException):
            float(total)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_nor_do_points_of_a_manifold(kind: str) -> None:
    point = torch.nn.Parameter(torch.ones(3, 5))
    optimizer = (
        RiemannianSGD([point], lr=0.1, momentum=0.9, weight_decay=0.1)
        if kind == "sgd"
        else RiemannianAdam([point], lr=0.1)
    )
    point.grad = torch.ones(3, 5)
    state = optimizer._start(point, Lorentz(), optimizer.param_groups[0])
    with FakeTensorMode():
        fakes = {name: torch.empty(value.shape) if value.dim() else value + 1 for name, value in state.items()}
        x = torch.empty(3, 5)
        x.add_(Lorentz().logmap0(x).sum())
        optimizer._update(x, torch.empty(3, 5), Lorentz(), optimizer.param_groups[0], fakes)
