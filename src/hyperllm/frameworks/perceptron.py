"""A multi-layer perceptron whose start is drawn from a given generator.

Knows layer widths and an activation. Does not know what goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Initialise = Callable[..., Tensor]


def perceptron(
    widths: Sequence[int],
    *,
    activation: nn.Module,
    generator: torch.Generator,
    last: bool = False,
    bias: bool = True,
    initialise: Initialise = nn.init.xavier_uniform_,
) -> nn.Sequential:
    """Linear layers from each of ``widths`` to the next, ``activation`` between them and, with ``last``, after them.

    Biases start at zero.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)  # pyright: ignore[reportAssignmentType]
        initialise(layer.weight, generator=generator)
        if bias:
            nn.init.zeros_(layer.bias)
        layers += [layer, activation]
    return nn.Sequential(*(layers if last else layers[:-1]))
