"""A task small enough to see through: one vector, a quadratic, scripted validation numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hyperllm.training.streams import Streams


class Toy:
    """Pulls a vector towards seeded targets, three steps an epoch."""

    def __init__(self, scores: Sequence[float] = (), *, lr: float = 0.1, poison: tuple[int, str] | None = None) -> None:
        self.module = nn.Linear(3, 1)
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.zero_()
        self.optimizers: Sequence[Optimizer] = [
            torch.optim.Adam([self.module.weight], lr=lr),
            torch.optim.SGD([self.module.bias], lr=lr, momentum=0.9),
        ]
        self.scores, self.poison = scores, poison
        self.validated: list[Tensor] = []
        self.gradients_at_start: list[bool] = []
        self._epoch = 0

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Three targets."""
        self._epoch = epoch
        yield from torch.randn(3, 3, generator=Streams(0).torch("toy", epoch))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        """Two named terms."""
        self.gradients_at_start.append(any(p.grad is not None for p in self.module.parameters()))
        terms = {"pull": (self.module.weight - batch).square().sum(), "bias": (self.module.bias - 1).square().sum()}
        if self.poison is not None and self._epoch == self.poison[0]:
            terms[self.poison[1]] = terms[self.poison[1]] * float("nan")
        return terms

    def validate(self) -> dict[str, float]:
        """The scripted number of this epoch, or one that depends on the weights."""
        self.validated.append(self.module.weight.detach().clone())
        if self.scores:
            return {"recall@10": self.scores[(self._epoch - 1) % len(self.scores)]}
        return {"recall@10": float(self.module.weight.detach().sum()), "ndcg@20": 0.1}
