"""Trials of a search as tasks of Ray.

Plain tasks, not Ray Tune. Tune's Optuna searcher proposes from one sampler whose state lives in its process and is
saved as a pickle beside Tune's own results; here a trial is proposed from what is on record alone, and the record is
one SQLite file. With Tune around them the same seed would give other trials, and two books would have to agree. What
Tune has besides, placing trials and starting those again whose process died, a task of Ray has too, and a training that
is started again goes on from its checkpoint. Knows functions and what they need. Does not know what is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hyperllm.errors import HyperLLMError
from hyperllm.scale.cluster import Cluster

T = TypeVar("T")
AT_ONCE = 4
"""Trials that train at the same time where nobody says how many: more of them learn less from each other."""


@dataclass(frozen=True)
class RayPool:
    """Runs ``at_once`` functions at the same time, each on its share of the cluster; see `experiments.search.Pool`."""

    at_once: int
    cpus: int
    gpus: float = 0.0

    @classmethod
    def of(cls, cluster: Cluster, at_once: int | None = None, *, gpus: bool = True) -> RayPool:
        """At most one a processor, or one a GPU where the cluster has some and they are wanted."""
        slots = cluster.gpus if gpus and cluster.gpus else cluster.cpus
        chosen = max(1, min(at_once or AT_ONCE, slots))
        return cls(chosen, max(1, cluster.cpus // chosen), 1.0 if gpus and cluster.gpus else 0.0)

    def start(self, work: Callable[..., T], *values: Any) -> Hashable:
        """Begin one."""
        import ray

        task: Any = ray.remote(work)
        return task.options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=-1).remote(*values)

    def first(self, started: Sequence[Hashable]) -> tuple[Hashable, Any]:
        """Wait for one of those, and what it returned."""
        import ray
        from ray.exceptions import RayTaskError

        (done,), _ = ray.wait(list(started), num_returns=1)
        try:
            return done, ray.get(done)
        except RayTaskError as error:
            if isinstance(error.cause, HyperLLMError):
                raise error.cause from None
            raise
