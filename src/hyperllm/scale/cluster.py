"""Joining Ray: a small one made for this process on this machine, or a cluster that runs already.

Knows how Ray is started, kept quiet and left, and what to say where it is not installed. Does not know what is done on
it.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError, HyperLLMError

HERE = "local"
"""The address that means: start one on this machine."""
STORE_BYTES = 200_000_000
"""Shared memory of a Ray that is started here; what passes through it are blocks of a few hundred rows."""
PATIENCE_S = 10.0
"""How long an address may take to answer."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray that this process has joined: its processors, GPUs and memory, and the node that this process is on."""

    cpus: int
    gpus: int
    node: str
    memory_bytes: int | None = None
    """Of all machines together, for what runs there; None where Ray does not say."""
    machines: tuple[tuple[int, int], ...] = ()
    """Processors and GPUs of each, which are what a single process can have; empty is one machine with all of them."""

    def workers(self, most: int, *, bytes_each: int = 0) -> int:
        """How many processes share the work: one a processor, at most ``most`` and as many as fit, at least one."""
        fit = most if not bytes_each or self.memory_bytes is None else self.memory_bytes // bytes_each
        return max(1, min(self.cpus, most, fit))

    def share(self, count: int, *, gpus: int = 0) -> int:
        """The processors that each of ``count`` processes can have, with so many ``gpus`` beside them, at least one."""
        machines = self.machines or ((self.cpus, self.gpus),)

        def fit(cpus: int) -> int:
            return sum(min(have // cpus, there // gpus if gpus else have) for have, there in machines)

        return next((cpus for cpus in range(self.cpus // count, 1, -1) if fit(cpus) >= count), 1)


@contextmanager
def joined(address: str | None = None, *, cpus: int | None = None) -> Generator[Cluster]:
    """Ray for the length of the block: at ``address`` (``auto``, HOST:PORT), or one of ``cpus`` processors made here.

    None means ``$RAY_ADDRESS`` where it is set, else here. One that this process has joined already is used and kept.
    Raises `ConfigError` where Ray is not installed or the address does not answer, `HyperLLMError` where it does not
    start here.
    """
    ray = _imported()
    if ray.is_initialized():
        yield _cluster(ray)
        return
    address = address or os.environ.get("RAY_ADDRESS") or HERE
    folder = tempfile.mkdtemp(prefix="hyperllm-ray-") if address == HERE else None
    try:
        with _hushed():
            _start(ray, address, folder, cpus)
        yield _cluster(ray)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(workspace: Path) -> Generator[Path]:
    """A hidden folder of a workspace, for what Ray writes down of a run and nobody reads; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".ray-", dir=workspace.resolve()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def data_of_ray() -> Any:
    """The module ``ray.data``, without its bars and its remarks on itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it has to say is raised too
    return ray.data


def _imported() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
    except ImportError:
        raise ConfigError("--ray needs Ray, which is not installed: pip install 'hyperllm[ray]'") from None
    return ray


def _start(ray: Any, address: str, folder: str | None, cpus: int | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if folder is not None:
        options |= {"num_cpus": cpus or _processors(), "include_dashboard": False, "object_store_memory": STORE_BYTES}
        _begin(ray, folder, options)
        return
    try:
        _knock(address)
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"no Ray answers at {address!r} ({_first_line(error)}); start one with `ray start --head`, or say --ray "
            "alone to start one on this machine"
        ) from None


@contextmanager
def _hushed() -> Generator[None]:
    """What is written to standard error meanwhile is lost: Ray's core says there what level of logging it was told."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _begin(ray: Any, folder: str, options: dict[str, Any]) -> None:
    """Start one here; Ray gives its processes half a minute, which is short where all processors are taken."""
    for last in (False, True):
        try:
            ray.init(address=HERE, _temp_dir=folder, **options)
            return
        except Exception as error:  # Ray has no class of its own for this
            ray.shutdown()
            if last:
                raise HyperLLMError(
                    f"Ray did not start on this machine ({_first_line(error)}); if it was busy, repeat the command"
                ) from error


def _knock(address: str) -> None:
    """Raise an `OSError` where nobody listens: Ray itself would try again for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S):
            pass


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cluster(ray: Any) -> Cluster:
    there = ray.cluster_resources()
    cpus, gpus = (int(there.get(kind, 0)) for kind in ("CPU", "GPU"))
    memory = int(there["memory"]) if "memory" in there else None
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = tuple((int(have.get("CPU", 0)), int(have.get("GPU", 0))) for have in alive)
    return Cluster(max(1, cpus), gpus, ray.get_runtime_context().get_node_id(), memory, machines)
