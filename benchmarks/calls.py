"""Calls a second to a language model's server, beside a client that does nothing else: `make bench WHAT=calls`.

A local server answers after 0.5 s (128 at once) and after 0.05 s; our extraction asks it about generated items, and a
bare loop of the same HTTP library sends as many requests of the same size. Then a finished extraction is repeated with
its last items open: how long until the first call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import polars as pl
from worlds import table

from hyperllm.data.prepare import PrepareConfig, load_split, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.interview import Interview
from hyperllm.llm.ledger import NAME, Ledger

WORKERS = 128
WORDS = ("amber", "bronze", "coral", "denim", "ebony", "fern", "glass", "hazel",
         "iron", "jade", "karst", "linen", "maple", "nylon", "olive", "pearl")  # fmt: skip


def shop(folder: Path, items: int) -> Path:
    """A prepared workspace of generated items, each clicked once."""
    ids = [f"i{n}" for n in range(items)]
    titles = [f"{WORDS[n % 16]} {WORDS[n // 16 % 16]} vase number {n}" for n in range(items)]
    told = [" ".join(WORDS[(n * k + k) % 16] for k in range(1, 60)) for n in range(items)]
    clicks = pl.DataFrame({"user_id": [f"u{n % 1000}" for n in range(items)], "item_id": ids})
    prepare(
        folder,
        read_table(clicks, pl.DataFrame({"item_id": ids, "title": titles, "description": told})),
        config=PrepareConfig(core=1),
    )
    return folder


@contextmanager
def server(latency_s: float, slots: int) -> Generator[str]:
    """The local server as a process; yields its URL."""
    command = [sys.executable, "-m", "hyperllm.testing.chat_server", "--port", "0", "--canned"]
    command += ["--latency", str(latency_s), "--slots", str(slots)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def bare(url: str, calls: int) -> None:
    """As many requests as we send, and nothing else."""
    body = json.dumps({"model": "x", "messages": [{"role": "user", "content": "x" * 1800}]}).encode()
    left = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work(number: int) -> None:
            await asyncio.sleep(0.003 * number)
            for _ in left:
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                    await answer.read()

        await asyncio.gather(*(work(number) for number in range(WORKERS)))


def ours(workspace: Path, url: str) -> None:
    """Ask about every item, without what follows."""
    (workspace / NAME).unlink(missing_ok=True)
    config = ExtractConfig(llm="openai:fake", base_url=url, workers=WORKERS, only="items")
    with Ledger.opened(workspace / NAME) as ledger:
        Interview(workspace, config, load_split(workspace), ledger, None).ask()


def timed(work: object) -> tuple[float, float]:
    """(seconds, seconds of this process's processor)."""
    began, used = time.perf_counter(), time.process_time()
    work()  # type: ignore[operator]
    return time.perf_counter() - began, time.process_time() - used


def throughput(workspace: Path, items: int) -> None:
    """Print the table of calls a second."""
    rows: list[list[str]] = []
    for latency_s, slots in ((0.5, WORKERS), (0.05, 4 * WORKERS)):
        with server(latency_s, slots) as url:
            for name, work in (
                ("bare loop", lambda url=url: asyncio.run(bare(url, items))),
                ("extract", lambda url=url: ours(workspace, url)),
            ):
                elapsed_s, cpu_s = timed(work)
                best = WORKERS / latency_s
                rows.append(
                    [name, f"{latency_s * 1000:.0f} ms", f"{items / elapsed_s:,.0f}", f"{best:,.0f}",
                     f"{items / elapsed_s / best:.2f}", f"{1000 * cpu_s / items:.2f}"]
                )  # fmt: skip
    table(["client", "latency", "calls/s", "nominal", "share", "CPU ms a call"], rows)


RESUME = """
import sys, time; began = time.time()
from pathlib import Path
from hyperllm.extraction import ask
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
first = []
settle = ask._settle
def noting(*what):
    first or first.append(time.time() - began)
    return settle(*what)
ask._settle = noting
extract(Path(sys.argv[1]), ExtractConfig(llm="openai:fake", base_url=sys.argv[2], workers=128, only="items"))
status = Path("/proc/self/status").read_text()  # getrusage would count what the parent process had
print(f"{first[0]:.2f},{int(status.partition('VmHWM:')[2].split()[0]) / 1024:.0f}")
"""


def resuming(workspace: Path, items: int, still_open: int = 100) -> None:
    """Print how long a repetition takes to its first call, and the memory it takes in all."""
    with server(0.0, 4 * WORKERS) as url:
        ours(workspace, url)
        with Ledger.opened(workspace / NAME) as ledger:
            db = ledger._db
            for sql in ("DELETE FROM questions WHERE question IN", "DELETE FROM calls WHERE question IN"):
                db.execute(f"{sql} (SELECT question FROM calls ORDER BY id DESC LIMIT ?)", (still_open,))
        command = [sys.executable, "-c", RESUME, str(workspace), url]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    table(["finished", "first call after, s", "peak memory, MB"], [[f"{items:,}", *found.split(",")]])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=12_800)
    parser.add_argument("--finished", type=int, default=100_000)
    options = parser.parse_args()
    os.environ.pop("OPENAI_API_KEY", None)
    folder = Path(tempfile.mkdtemp())
    try:
        throughput(shop(folder / "small", options.items), options.items)
        resuming(shop(folder / "large", options.finished), options.finished)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
