"""Stages on Ray beside the plain path, and what killed workers cost: `make bench WHAT=scale_data`.

`kill`: a slow local server is asked about generated items by Ray's workers, which are killed at random; printed are the
items in the result, the calls billed by the server, those in the ledger, and how many were repeated. `overhead`: the
same extraction and the same encoding with and without Ray, for a few sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable
from threading import Event, Thread
from typing import Any

import polars as pl
from calls import shop
from worlds import below, table

from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.llm.ledger import NAME, Ledger


@contextmanager
def server(latency_s: float, slots: int) -> Iterator[str]:
    """The local server as a process, which answers each prompt from its own words; yields its URL."""
    command = [executable, "-m", "hyperllm.testing.chat_server", "--latency", str(latency_s), "--slots", str(slots)]
    with Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def killing(every_s: float, seed: int, kills: list[float], most: int) -> Iterator[None]:
    """Kill one of our workers now and then, at random moments."""
    stop, rng = Event(), random.Random(seed)

    def work() -> None:
        while len(kills) < most and not stop.wait(every_s * rng.uniform(0.5, 1.5)):
            if workers := below(os.getpid(), "MapWorker"):
                os.kill(rng.choice(workers), signal.SIGKILL)
                kills.append(time.monotonic())

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def kill(folder: Path, options: argparse.Namespace) -> None:
    """Print what came of an extraction whose workers died."""
    from hyperllm.scale.asking import RayAsking
    from hyperllm.scale.cluster import joined

    workspace = shop(folder / "shop", options.items)
    kills: list[float] = []
    with server(options.latency, options.workers) as url:
        config = ExtractConfig(llm="openai:fake", base_url=url, workers=options.workers, only="items", price="1,2")
        began = time.monotonic()
        with joined(cpus=options.processes) as cluster:
            asking = RayAsking(workspace, config, cluster)
            with killing(options.every, options.seed, kills, options.kills):
                done = extract(workspace, config, asking=asking)
        elapsed_s = time.monotonic() - began
        stats = json.loads(urllib.request.urlopen(url.removesuffix("/v1") + "/stats").read())
    found = pl.read_parquet(workspace / "profiles" / "fake" / "items.parquet")["item_id"]
    with Ledger.read(workspace / NAME) as ledger:
        assert ledger is not None
        (tally,) = ledger.tallies()
    attempts = Counter(stats["attempts"].values())
    table(
        ["what", "count"],
        [
            ["items", f"{options.items:,}"],
            ["items in the result", f"{len(found):,}"],
            ["different ones", f"{found.n_unique():,}"],
            ["seconds", f"{elapsed_s:.1f}"],
            ["seconds without any overhead", f"{options.items * options.latency / options.workers:.1f}"],
            ["workers killed", f"{len(kills)}"],
            ["calls in the ledger", f"{tally.calls:,}"],
            ["answered", f"{tally.answered:,}"],
            ["lost with a worker", f"{tally.lost:,}"],
            ["calls on their way at once, at most", f"{options.workers}"],
            ["prompts that reached the server", f"{sum(stats['attempts'].values()):,}"],
            ["prompts that reached it n times", str(dict(sorted(attempts.items())))],
            ["billed by the server", f"{stats['billed']:,}"],
            ["left before the answer", f"{stats['abandoned']:,}"],
            ["dollars in the ledger", f"{tally.price_usd:.4f}"],
        ],
    )
    print(done.text().splitlines()[0])


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def overhead(folder: Path, options: argparse.Namespace) -> None:
    """Print seconds with and without Ray, on workspaces that are equal."""
    rows: list[list[str]] = []
    with server(options.latency, options.workers) as url:
        config = ExtractConfig(llm="openai:fake", base_url=url, workers=options.workers, only="items")
        for items in options.sizes:
            plain = shop(folder / f"plain{items}", items)
            spread = Path(shutil.copytree(plain, folder / f"ray{items}"))
            for name in options.stages:
                work = asking if name == "extract" else encoding
                rows.append([name, f"{items:,}", *work(plain, spread, config, options)])
    table(["stage", "items", "plain, s", "on Ray, s", "and to start Ray, s", "ratio"], rows)


def asking(plain: Path, spread: Path, config: ExtractConfig, options: argparse.Namespace) -> list[str]:
    """Seconds of one extraction without and with Ray."""
    from hyperllm.scale.asking import RayAsking

    return compared(
        lambda: extract(plain, config),
        lambda cluster: extract(spread, config, asking=RayAsking(spread, config, cluster)),
        options.processes,
    )


def encoding(plain: Path, spread: Path, config: ExtractConfig, options: argparse.Namespace) -> list[str]:
    """The same for one encoding of all item texts."""
    from hyperllm.scale.encoding import RayEncoding

    del config
    how = {"encoder": options.encoder, "tags": "none"}
    return compared(
        lambda: embed(plain, **how),
        lambda cluster: embed(spread, **how, encoding=RayEncoding(spread, cluster)),
        options.processes,
    )


def compared(plain: Callable[[], object], spread: Callable[[Any], object], processes: int) -> list[str]:
    """Seconds without Ray, with it, and until it has started."""
    from hyperllm.scale.cluster import joined

    ours = timed(plain)
    began = time.perf_counter()
    with joined(cpus=processes) as cluster:
        joining_s = time.perf_counter() - began
        theirs = timed(lambda: spread(cluster))
    return [f"{ours:.1f}", f"{theirs:.1f}", f"{joining_s:.1f}", f"{ours / (theirs + joining_s):.2f}x"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["kill", "overhead"], help="kill, overhead")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.25, help="seconds a model takes for an answer")
    parser.add_argument("--workers", type=int, default=64, help="calls on their way at once")
    parser.add_argument("--processes", type=int, default=2, help="Ray's workers")
    parser.add_argument("--kills", type=int, default=12, help="workers killed, at most")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two kills, on average")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--sizes", type=int, nargs="*", default=[500, 2000, 8000])
    parser.add_argument("--stages", nargs="*", default=["extract", "embed"], help="extract, embed")
    parser.add_argument("--encoder", default="hash")
    options = parser.parse_args()
    os.environ.pop("OPENAI_API_KEY", None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = {"kill": kill, "overhead": overhead}
    for what in options.what:
        folder = Path(tempfile.mkdtemp())
        try:
            work[what](folder, options)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
