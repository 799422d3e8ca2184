"""An exponential moving average of the weights that learn.

SGD on sampled triplets leaves the weights jittering around a better point; their average is near it. Knows torch
modules only.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """value ← d·value + (1−d)·weight after step t, d = min(decay, (1+t)/(10+t)); decay 0 follows exactly."""

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self._learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._decay = decay
        self._values = {name: p.detach().clone() for name, p in self._learning.items()}
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, value in self._values.items():
            value.lerp_(self._learning[name].detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Inside, the module holds the averages; afterwards its own weights again."""
        own = {name: p.detach().clone() for name, p in self._learning.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._learning.items():
            parameter.data.copy_(values[name])

    def state(self) -> dict[str, Tensor]:
        """Everything `restore` needs."""
        return {**self._values, "steps": torch.tensor(self._steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._steps = int(state["steps"])
        for name, value in self._values.items():
            value.copy_(state[name])
