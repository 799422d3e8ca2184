"""What all routes share.

Knows the live model, the threads that work for it, the counters and the settings. Does not know any route.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyperllm.serving.http.batching import Batcher, Pool
from hyperllm.serving.http.metrics import Metrics
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live


@dataclass(frozen=True, eq=False)
class Desk:
    """One server's parts."""

    live: Live
    settings: Settings
    metrics: Metrics
    batcher: Batcher
    pool: Pool

    @classmethod
    def of(cls, live: Live, settings: Settings) -> Desk:
        """Threads and counters for ``live``."""
        metrics = live.metrics
        batcher = Batcher(waiting=settings.waiting, remember=settings.remember, metrics=metrics)
        return cls(live, settings, metrics, batcher, Pool(workers=settings.workers, waiting=settings.queued))

    def close(self) -> None:
        """Finish what runs."""
        self.live.stop()
        self.batcher.close()
        self.pool.close()
