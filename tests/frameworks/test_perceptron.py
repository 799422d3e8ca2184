"""The perceptron's layers and where their numbers come from."""

from __future__ import annotations

import torch
from torch import nn

from hyperllm.frameworks.perceptron import perceptron


def made(seed: int = 0, *, last: bool = False, bias: bool = True) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    return perceptron((5, 4, 2), activation=nn.ReLU(), generator=generator, last=last, bias=bias)


def test_the_activation_stands_between_the_layers_and_after_them_where_asked() -> None:
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    plain, ended = made(), made(last=True)
    first, _, second, _ = plain.parameters()
    torch.testing.assert_close(plain(x), torch.relu(x @ first.T) @ second.T)  # biases start at zero
    torch.testing.assert_close(ended(x), torch.relu(plain(x)))


def test_without_biases_it_has_weights_alone() -> None:
    assert [p.shape for p in made(bias=False).parameters()] == [(4, 5), (2, 4)]
    assert [p.shape for p in made().parameters()] == [(4, 5), (4,), (2, 4), (2,)]


def test_the_start_is_the_generators_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (next(made(seed).parameters()) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_drawn_as_asked() -> None:
    layers = perceptron(
        (3, 2), activation=nn.ReLU(), generator=torch.Generator(), initialise=lambda w, generator: nn.init.ones_(w)
    )
    assert torch.equal(next(layers.parameters()), torch.ones(2, 3))
