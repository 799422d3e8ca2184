"""What a list over HTTP costs beside an endpoint that does nothing: `make bench WHAT=serve`.

The real server, as its own process, answers `wrk` (https://github.com/wg/wrk): random users of all, twenty items each,
and an empty endpoint behind the same guard, in turns, so that both meet the same machine. Lists are made anew each time
(``made``), or remembered as they are by default (``again``). With a run's folder as the argument that run is served,
else a generated catalogue of Beauty's size. `serve.py RUN --soak OTHER` keeps the load up for minutes while the two
models replace each other every minute, counts errors and watches the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from worlds import BEAUTY, shop, table

from hyperllm.data.catalog import Catalog
from hyperllm.serving.folding import expmap0
from hyperllm.serving.http.opening import place
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.model import ScoreModel

K = 20
REMEMBER = Settings().remember
SERVER = """
import sys
from pathlib import Path
from hyperllm.serving.http.run import Address, serve
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live
settings = Settings(empty_route=True, remember=int(sys.argv[2]))
serve(Live(Path(sys.argv[1])), Address(port=0), settings, say=lambda url: print(url, flush=True))
"""
SCRIPT = """
local paths = {}
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  math.randomseed(os.time() + tonumber(tostring({}):sub(8)))
end
function request() return wrk.format("GET", paths[math.random(#paths)]) end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "max_ms": %f, '
    .. '"bad": %d, "lost": %d, "late": %d}\\n', summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, e.status, e.connect + e.read + e.write, e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What `wrk` saw: ``bad`` statuses, ``lost`` connections, ``late`` answers."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bad: int
    lost: int
    late: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        return self.bad + self.lost + self.late


class Wrk:
    """The load generator, over a file of paths from which it picks at random."""

    def __init__(self, folder: Path, url: str) -> None:
        found = shutil.which("wrk")
        if found is None:
            raise SystemExit("this benchmark needs the load generator wrk: apt-get install wrk, or brew install wrk")
        self._wrk, self._folder, self._url = found, folder, url
        (folder / "load.lua").write_text(SCRIPT, encoding="utf-8")

    def command(self, paths: Sequence[str], *, connections: int, seconds: int) -> list[str]:
        listed = self._folder / f"paths-{abs(hash(tuple(paths)))}"
        listed.write_text("\n".join(paths), encoding="utf-8")
        options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s"]
        return [self._wrk, *options, "-s", str(self._folder / "load.lua"), self._url, "--", str(listed)]

    def run(self, paths: Sequence[str], *, connections: int, seconds: int) -> Load:
        command = self.command(paths, connections=connections, seconds=seconds)
        return told(subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout)


def told(output: str) -> Load:
    """What our script printed at the end."""
    (line,) = (line for line in output.splitlines() if line.startswith("RESULT "))
    return Load(**json.loads(line.removeprefix("RESULT ")))


@contextmanager
def server(folder: Path, *, remember: int = REMEMBER) -> Generator[tuple[str, int]]:
    """The real server of ``folder``; yields its URL and process id."""
    command = [sys.executable, "-c", SERVER, str(folder), str(remember)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().rstrip("/"), process.pid
        finally:
            process.terminate()
    if process.returncode:
        raise SystemExit(f"the server ended with {process.returncode}")


def generated(folder: Path) -> Path:
    """A random model of Beauty's size, 51 columns."""
    split, tags = shop(**BEAUTY)
    rng = np.random.default_rng(0)
    users, items = (expmap0(0.2 * rng.standard_normal((n, 50))) for n in (len(split.users), len(split.items)))
    model = ScoreModel.of_points(split, users=users.astype(np.float32), items=items.astype(np.float32))
    frame = Catalog.empty(split.items).frame
    titles = [f"A thing of some length for everyday use, number {n}" for n in range(len(frame))]
    catalog = Catalog(split.items, frame.with_columns(title=np.array(titles)))
    ScoreModel(**{**vars(model), "catalog": catalog, "tags": tags}).save(folder)
    return folder


def compare(folder: Path, connections: Sequence[int], seconds: int, rounds: int) -> None:
    """Print requests a second and latencies, by how many clients ask at once.

    ``made`` is a server that makes each list anew, ``again`` one as it is by default, where a list that was asked for
    before is remembered; its share is that of the empty endpoint of the same server.
    """
    model = ScoreModel.load(place(folder))
    lists = [f"/recommend?user={user}&k={K}" for user in model.users.ids]
    with (
        tempfile.TemporaryDirectory() as own,
        server(folder, remember=0) as (bare, _),
        server(folder) as (full, _),
    ):
        wrks = {"made": Wrk(Path(own), bare), "again": Wrk(Path(own), full)}
        for wrk in wrks.values():
            wrk.run(lists, connections=32, seconds=2 * seconds)
        rows: list[list[str]] = []
        for many in connections:
            for name, wrk in wrks.items():
                pairs = [
                    [wrk.run(paths, connections=many, seconds=seconds) for paths in (["/empty"], lists)]
                    for _ in range(rounds)
                ]
                share = statistics.median(ours.rate / empty.rate for empty, ours in pairs)
                empty, ours = zip(*pairs, strict=True)
                rows.append([f"{many} empty", *_figures(empty), ""])
                rows.append([f"{many} {name}", *_figures(ours), f"{share:.0%}"])
    columns = model.item_vectors.shape[1]
    print(f"{len(model.users):,} users x {len(model.items):,} items, {columns} columns, k = {K}, "
          f"{os.cpu_count()} processors, median of {rounds} rounds of {seconds} s")  # fmt: skip
    table(["clients", "requests/s", "p50, ms", "p99, ms", "errors", "share"], rows)


def _figures(loads: Sequence[Load]) -> list[str]:
    middle = {name: statistics.median(getattr(load, name) for load in loads) for name in ("rate", "p50_ms", "p99_ms")}
    errors = sum(load.errors for load in loads)
    return [f"{middle['rate']:,.0f}", f"{middle['p50_ms']:.1f}", f"{middle['p99_ms']:.1f}", f"{errors}"]


def soak(first: Path, second: Path, *, minutes: float, every_s: float, connections: int) -> None:
    """Print errors, swaps and memory of a server under load whose model is replaced again and again."""
    models = [ScoreModel.load(place(folder)) for folder in (first, second)]
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own) / "model"
        models[0].save(folder)
        with server(folder) as (url, pid):
            wrk = Wrk(Path(own), url)
            seconds = round(60 * minutes)
            command = wrk.command(_mixed(models), connections=connections, seconds=seconds)
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
                memory, written = _swapping(folder, models, pid, seconds, every_s)
                output, _ = load.communicate(timeout=120)
            found, health = told(output), _health(url)
    print(f"{found.requests:,} requests in {found.seconds / 60:.1f} minutes, {found.rate:,.0f}/s from {connections} "
          f"clients; p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms, longest {found.max_ms:.0f} ms")  # fmt: skip
    print(f"{found.errors} errors: {found.bad} statuses, {found.lost} connections, {found.late} late answers")
    print(f"{health['swaps']} swaps of {written} models written")
    print(_resident(memory, every_s))


def _mixed(models: Sequence[ScoreModel]) -> list[str]:
    """Paths of which nine in ten ask for a list and the rest for everything else."""
    users = [user for user in models[0].users.ids if user in models[1].users]
    items = [item for item in models[0].items.ids if item in models[1].items]
    rng = random.Random(0)
    others = (
        lambda: f"/similar?item={rng.choice(items)}&k={K}",
        lambda: f"/items/{rng.choice(items)}",
        lambda: f"/explain?user={rng.choice(users)}&item={rng.choice(items)}",
        lambda: f"/recommend?user={rng.choice(users)}&k={K}&diversity=0.3",
        lambda: f"/users/{rng.choice(users)}",
        lambda: "/health",
    )
    return [
        rng.choice(others)() if number % 10 == 0 else f"/recommend?user={rng.choice(users)}&k={K}"
        for number in range(20_000)
    ]


def _swapping(
    folder: Path, models: Sequence[ScoreModel], pid: int, seconds: int, every_s: float
) -> tuple[list[tuple[float, float]], int]:
    """Write the other model every ``every_s``; returns (seconds, resident MB) all along, and how many were written."""
    began, written, memory = time.monotonic(), 0, list[tuple[float, float]]()
    while (now := time.monotonic() - began) < seconds:
        memory.append((now, _resident_mb(pid)))
        if now > every_s * (written + 1) and now < seconds - 10:
            written += 1
            models[written % 2].save(folder)
        time.sleep(2)
    return memory, written


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _resident(memory: Sequence[tuple[float, float]], every_s: float) -> str:
    """Resident memory at the end of each model's turn; slopes compare turns of the same model, without the first."""
    turns: dict[int, float] = {int(when // every_s): mb for when, mb in memory}  # the last of each turn
    ends = [turns[turn] for turn in sorted(turns)]
    slopes = [
        float(np.polyfit(np.arange(start, len(ends), 2) * every_s / 60, same, 1)[0])
        for start in (2, 1)
        if len(same := ends[start::2]) > 1
    ]
    told = ", ".join(f"{slope:+.1f}" for slope in slopes)
    return (
        f"resident MB at the end of each turn: {' '.join(f'{mb:.0f}' for mb in ends)}; at most "
        f"{max(mb for _, mb in memory):.0f} while one loads; {told} MB a minute between turns of the same model"
    )


def _health(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        return json.load(answer)


def main() -> None:
    """Print the table, or what the soak found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run or of an exported model")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=Path, metavar="OTHER", help="replace RUN by OTHER and back, under load")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two models of the soak")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        run = options.run or generated(Path(own) / "generated")
        if options.soak is not None:
            many = options.connections[1] if len(options.connections) > 1 else options.connections[0]
            soak(run, options.soak, minutes=options.minutes, every_s=options.every, connections=many)
        else:
            compare(run, options.connections, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
