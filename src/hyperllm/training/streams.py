"""Named random streams.

A run's seed is spawned into one generator per (name, epoch), so what one part draws never shifts another, and an epoch
can be replayed without replaying those before it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Streams:
    """All randomness of a run."""

    seed: int

    def numpy(self, name: str, epoch: int = 0) -> np.random.Generator:
        """The generator of this name in this epoch."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), epoch])

    def torch(self, name: str, epoch: int = 0) -> torch.Generator:
        """The same stream for torch, on the CPU."""
        return torch.Generator().manual_seed(int(self.numpy(name, epoch).integers(2**62)))
