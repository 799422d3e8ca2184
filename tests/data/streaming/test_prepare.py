"""Prepared a block at a time is prepared in memory: the same files, manifests, reports and complaints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.data.prepare import PrepareConfig, Prepared, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.data.streaming.budget import Plan
from hyperllm.data.streaming.prepare import TableRequest, prepare_within
from hyperllm.errors import ConfigError, DataError, HyperLLMError

TINY = Plan(block=3, bucket=4)
IDS = st.sampled_from(["7", "07", "007", "10", "9", "a", "B", "-1", "é", "10x", "a name longer than twelve letters"])
NUMBERS = st.integers(-2, 12)


def files(folder: Path) -> dict[str, Any]:
    """Digests of the payload, and manifests as JSON."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        if path.name == artifacts.MANIFEST
        else artifacts.file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def outcome(workspace: Path, work: Any) -> Prepared | str:
    """The report, or the complaint."""
    try:
        return work(workspace)
    except HyperLLMError as error:
        return str(error)


def both(folder: Path, plan: Plan, config: Mapping[str, Any], **request: Any) -> Prepared | str:
    """Prepare both ways, check that nothing differs, and return what came out."""
    chosen = PrepareConfig(**config)
    in_memory = outcome(folder / "a", lambda place: prepare(place, read_table(**request), config=chosen))
    within = outcome(
        folder / "b",
        lambda place: prepare_within(place, TableRequest(**request), limit="4GB", config=chosen, plan=plan),
    )
    assert within == in_memory
    assert files(folder / "b") == files(folder / "a")
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == set()
    return within


@st.composite
def worlds(draw: st.DrawFn) -> pl.DataFrame:
    """A few events with repeats, ties in rating and time, and ids that are numbers, text or both."""
    ids = draw(st.sampled_from([IDS, NUMBERS]))
    rows = draw(st.lists(st.tuples(ids, ids, st.integers(1, 5), st.integers(-3, 6)), min_size=1, max_size=60))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    columns = ["user_id", "item_id", *draw(st.sampled_from([["rating"], ["timestamp"], ["rating", "timestamp"], []]))]
    return frame.select(columns)


@settings(max_examples=80, deadline=None)
@given(
    frame=worlds(),
    ending=st.sampled_from(["csv", "parquet", "jsonl"]),
    core=st.integers(0, 4),
    min_rating=st.sampled_from([None, 1.0, 3.0, 5.0]),
    duplicates=st.sampled_from(["first", "last", "max"]),
    rule=st.sampled_from(["per-user", "leave-one-out", "time"]),
    seed=st.integers(0, 3),
    plan=st.builds(Plan, block=st.integers(1, 20), bucket=st.integers(1, 20)),
)
def test_every_rule_gives_the_same_files(frame, ending, core, min_rating, duplicates, rule, seed, plan):
    config = {"core": core, "min_rating": min_rating, "duplicates": duplicates, "split": rule, "seed": seed}
    with TemporaryDirectory() as made:
        folder = Path(made)
        both(folder, plan, config, interactions=saved(frame, folder / f"clicks.{ending}"))


def saved(frame: pl.DataFrame, path: Path) -> Path:
    """The table in the format that the name asks for."""
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix]
    write(path)
    return path
