"""What a fit did, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

CLOSED_FORM = "phase 3"
"""The phase of a run that trains nothing: its epochs are the shares of a linear expert that were tried."""
SELECTION = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")

Phase = TypeVar("Phase")


def that_trained(phases: Mapping[str, Phase]) -> dict[str, Phase]:
    """The phases of a run without the one that trains nothing."""
    return {name: phase for name, phase in phases.items() if name != CLOSED_FORM}


@dataclass(frozen=True)
class Epoch:
    """One epoch: 1-based ``number``, mean loss ``terms`` a step, validation ``metrics``, ``elapsed_s`` in all."""

    number: int
    terms: dict[str, float]
    metrics: dict[str, float]
    elapsed_s: float

    @property
    def selection(self) -> float:
        """The number model selection maximises: R@10 + R@20 + N@10 + N@20 on validation."""
        return sum(self.metrics.get(name, 0.0) for name in SELECTION)


@dataclass
class FitReport:
    """The epochs so far and why it ended: ``patience`` or ``epochs``."""

    epochs: list[Epoch] = field(default_factory=list)
    ended: str = ""

    @property
    def best(self) -> Epoch | None:
        """The epoch with the highest selection number; the later one wins a tie."""
        return max(self.epochs, key=lambda e: (e.selection, e.number), default=None)

    def reached(self, selection: float) -> int:
        """The first epoch with a selection number this high: patience counts from there, so a tie does not renew it."""
        return next(e.number for e in self.epochs if e.selection >= selection)

    @property
    def elapsed_s(self) -> float:
        """Seconds over all epochs."""
        return sum(e.elapsed_s for e in self.epochs)

    def rows(self) -> list[dict[str, float]]:
        """One flat dict an epoch."""
        return [
            {"epoch": e.number, **{f"loss/{k}": v for k, v in e.terms.items()}, **e.metrics, "elapsed_s": e.elapsed_s}
            for e in self.epochs
        ]

    def write(self, path: Path) -> None:
        """As a Parquet table."""
        pl.DataFrame(self.rows()).write_parquet(path)
