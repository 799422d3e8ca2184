"""Training in processes that something else has started: torchrun, or Ray Train.

Knows how a process joins the others and leaves them. Does not know how it came to be.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hyperllm.errors import ConfigError
from hyperllm.experiments.train import TrainedRun, TrainRequest, chosen_device, configured
from hyperllm.experiments.train import train as work
from hyperllm.frameworks.train import Progress
from hyperllm.scale.columns import Grid, crew_size
from hyperllm.scale.crew import SpreadCrew

SHARED = ("base", "hyperllm")
PATIENCE = timedelta(minutes=30)
"""How long a process waits for another one, which may be writing a checkpoint."""


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def first() -> bool:
    """Whether this is the first of the processes that were started: it alone speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str, replicas: int) -> Generator[Grid]:
    """The grid of all processes, which torch.distributed joins by NCCL on GPUs and by gloo elsewhere."""
    where, begun = torch.device(device), dist.is_initialized()
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(where)
    if not begun:
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Grid.of(replicas, where)
    finally:
        if not begun:
            dist.destroy_process_group()


@dataclass(frozen=True)
class Division:
    """How processes share out a training: in how many ``replicas`` (`scale.columns.Grid`), and the graph, too?"""

    replicas: int = 1
    share_graph: bool = False

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise ConfigError(f"there is at least one replica; {self.replicas} were asked for")
        if self.share_graph and self.replicas == 1:
            raise ConfigError("replicas share out the graph: give --share-graph a number of --replicas")

    def check(self, request: TrainRequest, processes: int) -> None:
        """Raise `ConfigError` where so many processes cannot do what is asked, before any is started."""
        if request.baseline is not None:
            raise ConfigError(f"--baseline {request.baseline} is no matter for several processes; start it in one.")
        crew = crew_size(processes, self.replicas)
        found = configured(request)
        if crew > 1 and found is not None and (found.framework not in SHARED or found.framework_config.compat):
            raise ConfigError(
                f"columns are shared out of {' and '.join(SHARED)}, without --compat; for others let every process be "
                f"a replica, --replicas {processes} --share-graph, or start one process."
            )


def train(
    workspace: Path, request: TrainRequest, *, division: Division | None = None, progress: Progress | None = None
) -> TrainedRun:
    """`experiments.train.train` in each of the processes; what is trained is written once."""
    how = division or Division()
    with joined(chosen_device(request.device), how.replicas) as grid:
        how.check(request, grid.world.size)
        crew = SpreadCrew(grid, share_graph=how.share_graph)
        return work(workspace, request, progress=progress if crew.leads else None, crew=crew)
