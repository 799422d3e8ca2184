"""`hyperllm.data.prepare` for events and item texts that do not fit in memory: the same artifacts within a limit.

Knows the order of the work and what must be held at once: a few bytes an event, per id what stands in
`hyperllm.data.streaming.encode`, and the texts of items that are kept. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hyperllm import artifacts
from hyperllm.data import prepare as whole
from hyperllm.data.card import Card
from hyperllm.data.catalog import Catalog
from hyperllm.data.prepare import KIND, ColdCounts, NewUserCounts, PrepareConfig, Prepared
from hyperllm.data.sources.requests import AmazonRequest, PublishedRequest, Request, TableRequest
from hyperllm.data.sources.table import is_order
from hyperllm.data.split import PARTS, Split
from hyperllm.data.streaming import filters, split
from hyperllm.data.streaming.budget import Budget, Plan
from hyperllm.data.streaming.encode import BYTES, BYTES_IN_ORDER, Codes, Ids, ordered
from hyperllm.data.streaming.events import Events
from hyperllm.data.streaming.held_out import without_items, without_users
from hyperllm.data.streaming.scratch import Block, Log, scratch
from hyperllm.data.streaming.sources import opened
from hyperllm.data.streaming.writing import write_parquet
from hyperllm.ids import Rows, Vocabulary

PUBLISHED = 30
"""Bytes in memory a byte of a published split's files, while it is read and written."""


def prepare_within(
    workspace: Path, request: Request, *, limit: str, config: PrepareConfig | None = None, plan: Plan | None = None
) -> Prepared:
    """What `prepare` does with what is read, while the process stays within ``limit``, such as ``2GB``.

    Artifacts and report are the same, bit for bit, so that either finds the other's current. Events wait on disk beside
    the workspace, about 50 bytes each, and so do the texts of clicked items. A published split is read whole where the
    limit has room for it. ``plan`` fixes how many rows are taken at a time. Raises `DataError` where the limit is too
    small for this data.
    """
    config, budget = config or PrepareConfig(), Budget.of(limit)
    if isinstance(request, PublishedRequest):
        budget.require(PUBLISHED * sum(path.stat().st_size for path in request.folder.glob("*.tsv")))
        return whole.prepare(workspace, request.read(), config=config, source=request.kind)
    with scratch(workspace) as folder:
        return _Work(workspace, request, config, budget, plan, folder).run()


@dataclass(frozen=True)
class _Work:
    workspace: Path
    request: TableRequest | AmazonRequest
    config: PrepareConfig
    budget: Budget
    plan: Plan | None
    folder: Path

    def run(self) -> Prepared:
        source = opened(self.request, self.folder)
        recorded = whole.recorded(self.config, self.request.kind, source.reading)
        if whole.is_current(self.workspace, recorded, source.inputs):
            return whole.current(self.workspace)
        events = source.events(self.budget, self._planned)
        texts, notes = source.texts(events.items, self.budget, self._planned) or (None, [])
        chosen = self._kept(events, source.reading.get("time"))
        data, kept_items, dropped = self._data(events, chosen), chosen.items, chosen.dropped
        del chosen  # a byte an event
        parted = self._parts(data)
        lost = int(np.count_nonzero(parted.part == split.NONE))
        parted, cold, new = self._held_out(data, parted)
        catalog, unclicked = (Catalog.empty(data.items), 0) if texts is None else texts.catalog(data.items, kept_items)
        report = Prepared(
            card=Card.counted(data.of_user, data.of_item, catalog),
            parts={name: parted.counts()[name] for name in PARTS},
            dropped=dropped,
            warnings=(*events.notes, *notes, *whole.warnings(catalog, unclicked=unclicked, lost=lost)),
            cold=cold,
            new=new,
        )
        self._write(data, parted, catalog, report, config=recorded, inputs=source.inputs)
        return report

    def _planned(self, held: int) -> Plan:
        """Rows at a time beside ``held`` bytes."""
        return self.plan or self.budget.plan(held)

    def _kept(self, events: Events, time: str | None) -> filters.Kept:
        config = self.config
        ids = len(events.users) + len(events.items)
        plan = self._planned(len(events.log) + filters.BYTES * ids)
        if config.split == "time" and time is not None and "time" in events.log:
            whole.require_times(time, is_order(time) or events.only_ordered(plan.block))
        threshold = whole.threshold(config, "rating" in events.log)
        rated = filters.rated(events, threshold, config.duplicates, plan, self.folder / "rated")
        found = filters.kept(rated, len(events.log), config.core, config.duplicates, plan, self.folder)
        rated.buckets.remove()
        return found

    def _data(self, events: Events, chosen: filters.Kept) -> _Data:
        """Put the ids that are left in order, and write the events that are left with row numbers."""
        ids = int(chosen.users.sum() + chosen.items.sum())
        plan = self._planned(len(events.log) + BYTES * (len(events.users) + len(events.items)) + BYTES_IN_ORDER * ids)
        users, user_row = _in_order(events.users, chosen.users)
        items, item_row = _in_order(events.items, chosen.items)
        log = Log(self.folder / "kept", events.log.dtypes)
        counts = np.zeros(len(users), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
        start = 0
        for block in events.log.blocks(plan.block):
            stays = chosen.stays[start : start + len(block["user"])]
            start += len(stays)
            block = {name: values[stays] for name, values in block.items()}
            block |= {"user": user_row[block["user"]], "item": item_row[block["item"]]}
            log.append(**block)
            for count, side in zip(counts, ("user", "item"), strict=True):
                count += np.bincount(block[side], minlength=len(count))
        events.log.remove()
        return _Data(users, Vocabulary(items), log, *counts)

    def _parts(self, data: _Data) -> split.Parted:
        rule, n = self.config.split, len(data.log)
        plan = self._planned(split.bytes_an_event(rule, n) * n + BYTES * (len(data.users) + len(data.items)))
        sizes = {"users": len(data.users), "items": len(data.items)}
        folder = self.folder / "split"
        found = split.parts(data.log, rule, **sizes, seed=self.config.seed, plan=plan, folder=folder)
        return split.Parted(data.log, found)

    def _held_out(
        self, data: _Data, parted: split.Parted
    ) -> tuple[split.Parted, ColdCounts | None, NewUserCounts | None]:
        """The split without the items that shall be cold or the users that shall be new, and what that did."""
        cold, new = self.config.cold_items, self.config.new_users
        drawn = split.place_type(len(data.log)).itemsize * int(new * len(data.log))
        plan = self._planned(len(data.log) + drawn + BYTES * (len(data.users) + len(data.items)))
        common: dict[str, Any] = {"seed": self.config.seed, "plan": plan, "folder": self.folder}
        if cold:
            return *without_items(parted, cold, users=len(data.users), items=len(data.items), **common), None
        if new:
            parted, counts = without_users(parted, new, users=len(data.users), **common)
            return parted, None, counts
        return parted, None, None

    def _write(
        self, data: _Data, parted: split.Parted, catalog: Catalog, report: Prepared, **made: Mapping[str, Any]
    ) -> None:
        """The artifacts, ``made`` from a config and inputs."""
        common: dict[str, Any] = made
        held = len(data.log) + BYTES * (len(data.users) + len(data.items)) + int(catalog.frame.estimated_size())
        rows, counts = self._planned(held).block, parted.counts()
        with artifacts.writing(self.workspace / "dataset", KIND, **common, facts={"report": report.facts()}) as work:
            write_parquet(work / "interactions.parquet", lambda: data.named(rows), data.schema(), len(data.log))
            whole.write_texts(work, catalog, report)
        with Split.writing(self.workspace / "split", data.users, data.items, report.parts, **common) as work:
            for name, count in counts.items():
                frames = lambda name=name: map(_numbers, parted.pairs(name, rows))  # noqa: E731
                write_parquet(work / f"{name}.parquet", frames, _PAIRS, count)


_PAIRS = {"user": pl.Int64, "item": pl.Int64}


@dataclass(frozen=True)
class _Data:
    """Users and items in order, the kept events as row numbers, and how many each user and item has."""

    users: pl.Series
    items: Vocabulary
    log: Log
    of_user: Rows
    of_item: Rows

    def schema(self) -> dict[str, Any]:
        """Columns of the table of events."""
        more = {name: pl.Float64 for name in ("rating", "time") if name in self.log}
        return {"user_id": pl.String, "item_id": pl.String, **more}

    def named(self, rows: int) -> Iterator[pl.DataFrame]:
        """The events with their ids."""
        for block in self.log.blocks(rows):
            ids = {
                "user_id": self.users.gather(block.pop("user")),
                "item_id": self.items.texts.gather(block.pop("item")),
            }
            yield pl.DataFrame({**ids, **block})


def _numbers(block: Block) -> pl.DataFrame:
    """Pairs as a part's table holds them."""
    return pl.DataFrame({name: values.astype(np.int64) for name, values in block.items()})


def _in_order(ids: Ids, left: filters.Mask) -> tuple[pl.Series, Codes]:
    """The ids that are left, in order, and for every code its row among them."""
    texts = ids.texts().filter(pl.Series(left))
    order = ordered(texts)
    row = np.zeros(len(left), dtype=np.uint32)
    row[np.flatnonzero(left)[order]] = np.arange(len(order), dtype=np.uint32)
    return texts.gather(order), row
