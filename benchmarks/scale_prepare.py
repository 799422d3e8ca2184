"""More events than memory, from a file to recommendations for everybody: `make bench WHAT=scale_prepare`.

A generated Parquet file of power-law clicks goes through `hyperllm prepare --memory-limit`, a few steps of
`hyperllm train` and `hyperllm recommend --all`, each a process of its own. A watcher adds up what the stage's process
and its children hold, 20 times a second, and kills the stage when that passes the limit; `peak` is the most the kernel
saw, to the page (it also counts what this process holds, which is little). Resident memory counts mapped files as well,
so it is stricter than a limit on what is allocated. Before, the same is tried in memory, which the limit should end.
`--compare N` also prepares the first N events both ways, and says whether the artifacts are the same.

`--amazon` instead generates JSON lines of reviews with texts and of metadata, five times as many products as reviewed,
and prepares them both ways: in memory without a limit, and within `--limit`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hyperllm import artifacts
from hyperllm.data.prepare import load_report
from hyperllm.data.streaming.budget import shown, size

COMMAND = (sys.executable, "-c", "from hyperllm.cli.app import entry; entry()")
RATINGS = (0.1, 0.15, 0.35, 0.25, 0.15)
AT_ONCE = 1_000_000
BATCH = 2**17
COLUMNS = 4
"""User, item, rating and time: what a table of events holds, eight bytes each."""


@dataclass(frozen=True)
class Stage:
    """One command, what it took, and whether it had to be killed."""

    name: str
    elapsed_s: float
    peak: int
    killed: bool

    def __str__(self) -> str:
        end = "killed" if self.killed else "done"
        return f"{self.name:24}{self.elapsed_s:6.0f} s   peak {shown(self.peak):>8}   {end}"


def generate(path: Path, events: int, *, seed: int = 0) -> None:
    """Power-law clicks with ratings and times, a million at a time."""
    from worlds import power_law  # brings torch, which the process that starts the stages must not hold

    rng = np.random.default_rng(seed)
    users, items = max(1, events // 20), max(1, events // 600)
    shuffled = rng.permutation(users)
    schema = pa.schema([("user_id", pa.int64()), ("item_id", pa.int64()), ("rating", pa.int8()), ("time", pa.int64())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, events, AT_ONCE):
            rows = min(AT_ONCE, events - start)
            columns = (
                shuffled[power_law(users, rows, rng)],
                power_law(items, rows, rng),
                rng.choice(np.arange(1, 6, dtype=np.int8), size=rows, p=RATINGS),
                1_500_000_000 + start + rng.integers(86_400, size=rows),
            )
            writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))


def generate_amazon(folder: Path, reviews: int, *, seed: int = 0) -> None:
    """Reviews of some 450 characters in the layout of 2014, and metadata of some 1,000."""
    from worlds import power_law

    rng = np.random.default_rng(seed)
    users, items = max(1, reviews // 6), max(1, reviews // 100)
    words = np.array([f"word{number:04}" for number in range(2_000)])
    texts = [json.dumps(" ".join(rng.choice(words, size=size))) for size in rng.integers(8, 64, size=5_000)]
    with (folder / "reviews.json").open("w", encoding="utf-8") as stream:
        for start in range(0, reviews, AT_ONCE // 10):
            rows = min(AT_ONCE // 10, reviews - start)
            drawn = power_law(users, rows, rng), power_law(items, rows, rng), rng.integers(len(texts), size=rows)
            ratings, days = rng.choice(np.arange(1, 6), size=rows, p=RATINGS), rng.integers(4_000, size=rows)
            stream.writelines(
                f'{{"reviewerID": "A{user:013}", "asin": "B{item:09}", "reviewerName": "somebody", "helpful": [0, 0], '
                f'"reviewText": {texts[text]}, "overall": {rating}.0, "summary": "a summary", '
                f'"unixReviewTime": {1_000_000_000 + 86_400 * day}}}\n'
                for user, item, text, rating, day in zip(*drawn, ratings, days, strict=True)
            )
    with (folder / "meta.json").open("w", encoding="utf-8") as stream:
        for item in range(5 * items):
            two = " ".join(json.loads(texts[place]) for place in rng.integers(len(texts), size=3))
            row = {"asin": f"B{item:09}", "title": f"Thing {item}", "categories": [["All", f"Kind {item % 97}"]]}
            stream.write(f"{row | {'description': two, 'brand': f'Maker {item % 997}'}}\n")


def watched(name: str, arguments: Sequence[str], limit: int | None) -> Stage:
    """Run a command of ours; it is killed where it and its children hold more than ``limit`` bytes."""
    began, over = time.perf_counter(), threading.Event()
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**17)}  # training gives back what its tensors free
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, env=environment, start_new_session=True
    )
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if limit is not None and resident(process.pid) > limit:
                over.set()
                os.killpg(process.pid, signal.SIGKILL)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    done.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not over.is_set():
        raise SystemExit(f"{name} failed with {process.returncode}: {' '.join(arguments)}")
    stage = Stage(name, time.perf_counter() - began, used.ru_maxrss * 1024, over.is_set())
    print(stage, flush=True)
    return stage


def resident(group: int) -> int:
    """Bytes that the processes of a group hold now."""
    return sum(
        pages * resource.getpagesize() for member, pages in map(held, Path("/proc").glob("[0-9]*")) if member == group
    )


def held(process: Path) -> tuple[int, int]:
    """The group of a process and the pages it holds; zeros once it is gone."""
    try:
        after_name = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(after_name[2]), int(after_name[21])
    except (OSError, IndexError):
        return 0, 0


def same(folder: Path, clicks: Path, events: int) -> bool:
    """Whether the first ``events`` make the same artifacts, prepared in memory and within a limit."""
    some = folder / "some.parquet"
    with parquet.ParquetFile(clicks) as source, parquet.ParquetWriter(some, source.schema_arrow) as writer:
        for group in range(-(-events // AT_ONCE)):
            writer.write_table(source.read_row_group(group))
    made: list[list[artifacts.Manifest | None]] = []
    for name, more in (("in memory", ()), ("within 1GB", ("--memory-limit", "1GB"))):
        place = folder / name
        if place.exists():
            shutil.rmtree(place)
        watched(f"prepare some {name}", ("prepare", str(place), "--interactions", str(some), *more), None)
        made.append([artifacts.peek(place / part) for part in ("dataset", "split")])
    return made[0] == made[1]


def both_ways(folder: Path, options: Sequence[str], limit: str) -> bool:
    """Prepare in memory and within a limit; whether neither was killed and the artifacts are the same."""
    ways = {"in memory": ((), None), f"within {limit}": (("--memory-limit", limit), size(limit))}
    made: list[list[artifacts.Manifest | None]] = []
    for name, (more, most) in ways.items():
        place = folder / name
        if watched(f"prepare {name}", ("prepare", str(place), *options, *more), most).killed:
            return False
        made.append([artifacts.peek(place / part) for part in ("dataset", "split")])
    print(replace(load_report(folder / "in memory"), skipped=False).text(), flush=True)
    return made[0] == made[1]


def main() -> None:
    """Print a line a stage; exit with 1 where one passed the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e8)
    parser.add_argument("--limit", default="1.5GB")
    parser.add_argument("--core", type=int, default=40)
    parser.add_argument("--compare", type=float, default=0)
    parser.add_argument("--folder", type=Path, default=Path("scale-prepare"))
    parser.add_argument("--amazon", action="store_true")
    parser.add_argument("--cold-items", type=float, default=0)
    parser.add_argument("--new-users", type=float, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.generate:
        (generate_amazon if chosen.amazon else generate)(chosen.generate, int(chosen.events))
        return
    events, limit, folder = int(chosen.events), size(chosen.limit), chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    options = ("--core", str(chosen.core), "--cold-items", str(chosen.cold_items), "--new-users", str(chosen.new_users))
    if chosen.amazon:
        amazon = folder / "reviews.json", folder / "meta.json"
        if not amazon[1].exists():
            command = (sys.executable, __file__, "--events", str(events), "--amazon", "--generate", str(folder))
            subprocess.run(command, check=True)
        print(f"{events:,} reviews: {shown(amazon[0].stat().st_size)}; metadata {shown(amazon[1].stat().st_size)}")
        equal = both_ways(folder, ("--amazon", *map(str, amazon), *options), chosen.limit)
        print(f"the artifacts are {'the same' if equal else 'NOT the same'}")
        if not chosen.keep:
            shutil.rmtree(folder)
        raise SystemExit(not equal)
    clicks, shop = folder / "clicks.parquet", folder / "shop"
    if not clicks.exists() or parquet.read_metadata(clicks).num_rows != events:
        subprocess.run([sys.executable, __file__, "--events", str(events), "--generate", str(clicks)], check=True)
    if shop.exists():
        shutil.rmtree(shop)
    disk, memory = clicks.stat().st_size, 8 * COLUMNS * events
    print(f"{events:,} events: {shown(disk)} of Parquet, {shown(memory)} as a table; limit {shown(limit)}", flush=True)
    prepare = ("prepare", str(shop), "--interactions", str(clicks), *options)
    watched("prepare, in memory", prepare, limit)
    if shop.exists():
        shutil.rmtree(shop)
    stages = [watched("prepare", (*prepare, "--memory-limit", chosen.limit), limit)]
    if not stages[-1].killed:
        report = load_report(shop)
        print(replace(report, skipped=False).text(), flush=True)
        steps = ("--set", f"batch_size={BATCH}", "--set", "epochs=1", "--set", "dim=32")
        train = ("train", str(shop), "--framework", "base", "--preset", "plain", "--device", "cpu", *steps)
        stages.append(watched(f"train, {-(-report.parts['train'] // BATCH)} steps", train, limit))
    if not stages[-1].killed:
        out = str(folder / "recommendations.parquet")
        stages.append(watched("recommend --all", ("recommend", str(shop), "base", "--all", "--out", out), limit))
    equal = not chosen.compare or same(folder, clicks, int(chosen.compare))
    if chosen.compare:
        print(f"artifacts of the first {int(chosen.compare):,} events are {'the same' if equal else 'NOT the same'}")
    if not chosen.keep:
        shutil.rmtree(folder)
    if not equal or any(stage.killed for stage in stages):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
