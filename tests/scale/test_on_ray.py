"""The stages on a real Ray of this machine: results equal those of the plain path, also where workers are killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from tests.experiments.several import Several

from hyperllm.data.prepare import load_split, prepare
from hyperllm.data.semantics import Semantics
from hyperllm.data.sources.planted import ShopConfig, invent_shop
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, DataError, HyperLLMError
from hyperllm.experiments.search import search
from hyperllm.experiments.train import TrainRequest
from hyperllm.experiments.trial import Training, Trial
from hyperllm.experiments.tune import tune
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.llm.ledger import Ledger
from hyperllm.scale.asking import RayAsking
from hyperllm.scale.blocks import BlockWorker, through, written
from hyperllm.scale.cluster import Cluster, joined
from hyperllm.scale.encoding import RayEncoding
from hyperllm.scale.pool import RayPool
from hyperllm.scale.recommending import Wanted, recommend_all
from hyperllm.serving.recommender import Recommender
from hyperllm.serving.selection import Filter
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'hyperllm[ray]'"),
]
SHORT = {"dim": 4, "batch_size": 512, "epochs": 2, "average": 0.0, "optimizer": "adam", "checkpoint_every_s": 0}
SPACE = {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "margin": {"low": 0.1, "high": 2.0, "step": 0.1}}


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    with joined(cpus=2) as found:
        yield found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared workspace; do not change it."""
    place = tmp_path_factory.mktemp("ray")
    invent_shop(ShopConfig(users=250, items=150, clicks=12)).write(place / "raw")
    prepare(place / "shop", read_table(place / "raw" / "clicks.csv", place / "raw" / "items.csv"), source="table")
    return place / "shop"


@pytest.fixture
def shops(prepared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two equal workspaces."""
    return tuple(Path(shutil.copytree(prepared, tmp_path / name)) for name in ("plain", "spread"))  # type: ignore[return-value]


def profiles(shop: Path) -> dict[str, Any]:
    """Item -> what was written about it."""
    columns = ["summary", "tags_level_1", "tags_level_2", "tags_level_3", "edges", "prompt_hash", "raw"]
    frame = pl.read_parquet(shop / "profiles" / "fake" / "items.parquet")
    return {row["item_id"]: [row[name] for name in columns] for row in frame.iter_rows(named=True)}


def test_extraction_with_faults_and_a_killed_worker_equals_the_plain_one(
    shops: tuple[Path, Path], cluster: Cluster
) -> None:
    plain, spread = shops
    faults = FaultPlan(1, {"server_error": 0.02, "malformed_answer": 0.05, "refusal": 0.02})
    settings: dict[str, Any] = {"llm": "openai:fake", "workers": 8, "only": "items", "price": "1,2"}
    killed: list[int] = []

    def kill(done: int, total: int | None = None, note: str = "") -> None:
        if done > 20 and not killed and (pids := workers()):
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

    with ChatServer(ServerConfig(faults=faults)) as server:
        extract(plain, ExtractConfig(base_url=server.url, **settings))
    with ChatServer(ServerConfig(latency_s=0.15, faults=faults)) as server:
        config = ExtractConfig(base_url=server.url, **settings)
        extract(spread, config, progress=kill, asking=RayAsking(spread, config, replace(cluster, cpus=1)))
        stats = server.stats()
    assert killed, "nobody was killed"
    with Ledger.read(spread / "calls.sqlite") as ledger:
        assert ledger is not None
        (tally,) = ledger.tallies()
        states = dict(ledger._db.execute("SELECT state, COUNT(*) FROM calls GROUP BY state"))
    assert 0 < tally.lost <= 8, "no more than were on their way"
    assert "sent" not in states
    recorded = tally.answered + tally.refused
    assert recorded <= stats.billed <= recorded + tally.lost
    ours, theirs = profiles(spread), profiles(plain)
    assert len(ours.keys() ^ theirs.keys()) <= tally.lost, "only a call that was lost may meet another fault"
    assert all(ours[item] == theirs[item] for item in ours.keys() & theirs.keys())
    assert (tally.wanted, tally.done) == (len(load_split(plain).items), len(ours))


def workers() -> list[int]:
    """The processes in which the Ray of this process, and no other on the machine, runs our worker."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"AskingWorker" in (folder / "cmdline").read_bytes() and os.getpid() in ancestors(int(folder.name)):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def ancestors(pid: int) -> Iterator[int]:
    """The processes that a process comes from, its parent first."""
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        yield pid


def test_vectors_equal_the_plain_ones(shops: tuple[Path, Path], cluster: Cluster) -> None:
    plain, spread = shops
    embed(plain, encoder="hash")
    embed(spread, encoder="hash", encoding=RayEncoding(spread, cluster))
    split = load_split(plain)
    ours, theirs = (
        Semantics.load(shop / "semantics" / "hash", users=split.users, items=split.items) for shop in (spread, plain)
    )
    assert np.array_equal(ours.item_vectors, theirs.item_vectors)
    assert np.array_equal(ours.user_vectors, theirs.user_vectors)


def test_a_row_that_kills_every_worker_is_named_and_all_others_are_done(cluster: Cluster, tmp_path: Path) -> None:
    class Mortal(BlockWorker):
        schema = pa.schema({"number": pa.int64()})

        def made(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            if any(row["number"] == 4 for row in rows):
                os.kill(os.getpid(), signal.SIGKILL)
            return list(rows)

        def name(self, row: dict[str, Any]) -> str:
            return f"number {row['number']}"

    found: list[int] = []
    rows = ({"number": number} for number in range(12))
    told = r"3 processes died, one after the other, with number 4\. What is"
    with written(tmp_path / "numbers", rows, Mortal.schema, 2) as paths, pytest.raises(DataError, match=told):
        found.extend(
            number
            for table in through(paths, Mortal, (), processes=cluster.cpus, num_cpus=1)
            for number in table["number"].to_pylist()
        )
    assert sorted(found) == [n for n in range(12) if n != 4]


def comparable(trials: Sequence[Trial]) -> list[tuple[Any, ...]]:
    return [(t.settings, t.scores, t.ended) for t in trials]


def test_trials_one_at_a_time_equal_the_plain_ones_and_all_users_get_the_plain_lists(
    shops: tuple[Path, Path], cluster: Cluster, tmp_path: Path
) -> None:
    plain, spread = shops
    request = TrainRequest(framework="base", settings=SHORT)
    one = search(plain, request, SPACE, trials=4, prune_at=1)
    other = search(spread, request, SPACE, trials=4, prune_at=1, pool=RayPool.of(spread, cluster, 1))
    assert comparable(one.trials) == comparable(other.trials)
    run = spread / "runs" / "base"
    shop = Recommender.load(run)
    chosen = {"filter_seen": False, "filter": Filter(deny=shop.items.ids[:40])}
    shop.recommend_all(tmp_path / "plain.parquet", 7, **chosen)
    alone = replace(cluster, cpus=1)
    rows = recommend_all(Wanted(run, 7, **chosen), tmp_path / "ray.parquet", alone, block=64)
    ours, theirs = (pl.read_parquet(tmp_path / name) for name in ("ray.parquet", "plain.parquet"))
    assert rows == len(theirs)
    assert ours.equals(theirs)
    assert not [*tmp_path.glob(".ray*"), *spread.glob(".ray*")], "parts are left"


@dataclass(frozen=True)
class Deadly:
    """A pool of which one worker is killed, when the second trial has trained two epochs; it counts epochs."""

    inner: RayPool
    notes: Path

    @property
    def at_once(self) -> int:
        return self.inner.at_once

    def run(self, trainings: Iterator[Training | None], ended: Callable[[Training, Trial], None]) -> None:
        notes, given = self.notes, dict[Training, Training]()

        class Killer:
            def __init__(self, number: int) -> None:
                self.note = notes / str(number)

            def step(self, *_: Any) -> None: ...

            def epoch(self, *_: Any) -> None:
                with self.note.open("a") as stream:
                    stream.write(".")
                if self.note.name == "1" and self.note.read_text() == "..":
                    os.kill(os.getpid(), signal.SIGKILL)

        def watched(training: Training, number: int, *, progress: Any) -> Trial:
            del progress
            return training(progress=Killer(number))

        def told() -> Iterator[Training | None]:
            for training in trainings:
                if training is None:
                    yield None
                else:
                    deadly = partial(watched, training, len(given))
                    given[deadly] = training
                    yield deadly

        self.inner.run(told(), lambda deadly, trial: ended(given[deadly], trial))


def test_two_at_once_of_which_one_is_killed_end_as_two_at_once_that_are_not(
    shops: tuple[Path, Path], cluster: Cluster, tmp_path: Path
) -> None:
    plain, spread = shops
    request = TrainRequest(framework="base", settings={**SHORT, "epochs": 3})
    pool = Deadly(RayPool.of(spread, cluster), tmp_path)
    assert pool.at_once == 2
    one = search(plain, request, SPACE, trials=4, prune_at=1, pool=Several(last=True, at_once=2))
    other = search(spread, request, SPACE, trials=4, prune_at=1, pool=pool)
    assert comparable(one.trials) == comparable(other.trials)
    assert [len((tmp_path / str(number)).read_text()) for number in range(4)] == [3, 3, 3, 3], "epochs trained twice"


def test_candidates_end_as_the_plain_ones(shops: tuple[Path, Path], cluster: Cluster) -> None:
    plain, spread = shops
    request = TrainRequest(framework="base", settings=SHORT)
    candidates = [{"learning_rate": rate} for rate in (0.001, 0.03)]
    one = tune(plain, request, candidates, prune_at=1)
    assert comparable(tune(spread, request, candidates, prune_at=1, pool=RayPool.of(spread, cluster))) == comparable(
        one
    )
    assert [trial.ended for trial in one] == ["epochs", "pruned"]


def test_a_trial_whose_process_always_dies_ends_the_search(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*, progress: Any) -> Trial:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGUSR1)]
    monkeypatch.setattr("hyperllm.scale.pool.RESTARTS", 1)
    with pytest.raises(HyperLLMError, match="died 2 times"):
        RayPool.of(tmp_path, cluster, 1).run(iter([dying]), lambda *_: pytest.fail("it ended"))
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGUSR1)] == before
    assert not list(tmp_path.iterdir())


def test_a_ray_that_was_joined_from_outside_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.client.ray.is_connected", lambda: True)
    with pytest.raises(ConfigError, match="ray://"):
        RayPool.of(tmp_path, cluster).run(iter([]), lambda *_: None)
