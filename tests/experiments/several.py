"""A pool for tests: several trials under way at once, and a say in which of them ends first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hyperllm.experiments.trial import Training, Trial


@dataclass
class Several:
    """Trains three at once; which of those ends first is ``last``'s to say. Stops after some."""

    last: bool
    stop_after: int | None = None
    at_once: int = 3
    most: int = 0
    """How many were under way at once."""
    epochs: list[int] = field(default_factory=list)

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        under_way: list[Training] = []
        while True:
            while len(under_way) < self.at_once and (training := next(trainings, None)) is not None:
                under_way.append(training)
            if not under_way:
                assert next(trainings, "over") == "over", "it waits for nothing"
                return
            self.most = max(self.most, len(under_way))
            if len(self.epochs) == self.stop_after:
                raise KeyboardInterrupt
            training = under_way.pop(-1 if self.last else 0)
            trial = training()
            self.epochs.append(trial.epochs)
            ended(training, trial)
