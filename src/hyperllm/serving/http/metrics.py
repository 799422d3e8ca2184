"""What the server counts, as Prometheus text.

Knows names, labels and buckets. Does not know what happens in a request.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One registry a server, so that two servers in a process do not mix.

    Labels are routes as they are declared, never paths as they were asked for: their number stays small.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "hyperllm_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "hyperllm_request_seconds",
            "From the first byte understood to the last byte handed over.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch = Histogram("hyperllm_batch_size", "Users ranked together.", buckets=_SIZES, registry=self.registry)
        self._remembered = Counter("hyperllm_lists_remembered", "Lists that were made before.", registry=self.registry)
        self._model = Gauge("hyperllm_model_info", "Always 1.", ("version", "run"), registry=self.registry)
        self._swaps = Counter("hyperllm_swaps", "Models that took the place of another.", registry=self.registry)
        self._refused = Counter("hyperllm_models_refused", "New models that did not load.", registry=self.registry)
        self._added = Gauge("hyperllm_added_items", "Items added since training.", registry=self.registry)

    def answered(self, method: str, route: str, status: int, elapsed_s: float) -> None:
        """One request was answered."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(elapsed_s)

    def ranked(self, users: int) -> None:
        """One batch was ranked."""
        self._batch.observe(users)

    def remembered(self) -> None:
        """A list was there already."""
        self._remembered.inc()

    def serves(self, version: str, run: str, added: int) -> None:
        """This is now the model that answers."""
        self._model.clear()
        self._model.labels(version, run).set(1)
        self._added.set(added)

    def swapped(self) -> None:
        """A new model took over."""
        self._swaps.inc()

    def refused(self) -> None:
        """A new model could not be used."""
        self._refused.inc()

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return generate_latest(self.registry)
