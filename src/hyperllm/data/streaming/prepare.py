"""`hyperllm.data.prepare` for a table of events that does not fit in memory: the same artifacts within a limit.

Knows the order of the work and what must be held at once: a few bytes an event, and per id what stands in
`hyperllm.data.streaming.encode`. Item texts are read whole. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hyperllm import artifacts
from hyperllm.artifacts import file_digest
from hyperllm.data import prepare as whole
from hyperllm.data.card import Card
from hyperllm.data.catalog import Catalog
from hyperllm.data.filters import Dropped
from hyperllm.data.prepare import KIND, PrepareConfig, Prepared
from hyperllm.data.sources.table import ItemNames, Names, check_overlap, described, is_order
from hyperllm.data.split import PARTS, Split
from hyperllm.data.streaming import filters, split
from hyperllm.data.streaming.budget import Budget, Plan
from hyperllm.data.streaming.encode import BYTES, BYTES_IN_ORDER, Codes, Ids, ordered
from hyperllm.data.streaming.events import EventFile, Events
from hyperllm.data.streaming.scratch import Log, scratch
from hyperllm.data.streaming.writing import write_parquet
from hyperllm.errors import ConfigError
from hyperllm.ids import Rows, Vocabulary


@dataclass(frozen=True)
class TableRequest:
    """Files and the columns that were named; see `hyperllm.data.sources.table.read_table`."""

    interactions: Path
    items: Path | None = None
    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    time_column: str | None = None
    id_column: str | None = None
    title_column: str | None = None
    text_columns: Sequence[str] = ()
    category_column: str | None = None

    def names(self) -> Names:
        """Columns of the events."""
        return Names(self.user_column, self.item_column, self.rating_column, self.time_column)

    def item_names(self, like: str) -> ItemNames:
        """Columns of the item table."""
        return ItemNames(self.id_column, self.title_column, tuple(self.text_columns), self.category_column, like)


def prepare_within(
    workspace: Path, request: TableRequest, *, limit: str, config: PrepareConfig | None = None, plan: Plan | None = None
) -> Prepared:
    """What `prepare` does with `read_table`, while the process stays within ``limit``, such as ``2GB``.

    Artifacts and report are the same, bit for bit, so that either finds the other's current. Events wait on disk beside
    the workspace, about 50 bytes each. ``plan`` fixes how many rows are taken at a time. Raises `DataError` where the
    limit is too small for this data, and `ConfigError` for cold items and new users, which are drawn in memory.
    """
    config = config or PrepareConfig()
    if config.cold_items or config.new_users:
        raise ConfigError("cold_items and new_users are drawn in memory; leave out the memory limit, or them")
    budget = Budget.of(limit)
    with scratch(workspace) as folder:
        return _Work(workspace, request, config, budget, plan, folder).run()


@dataclass(frozen=True)
class _Work:
    workspace: Path
    request: TableRequest
    config: PrepareConfig
    budget: Budget
    plan: Plan | None
    folder: Path

    def run(self) -> Prepared:
        request, config = self.request, self.config
        file = EventFile.of(request.interactions, request.names(), self.folder)
        inputs = {"interactions": file_digest(request.interactions)}
        notes: list[str] = []
        catalog, told = None, {}
        if request.items is not None:
            inputs["items"] = file_digest(request.items)
            catalog, told = described(request.items, request.item_names(str(file.reading["item"])), notes)
        recorded = whole.recorded(config, "table", {**file.reading, **told})
        if whole.is_current(self.workspace, recorded, inputs):
            return whole.current(self.workspace)
        events = file.events(self.budget, self._planned(0), time_asked=request.time_column is not None)
        if catalog is not None:
            self._check_overlap(events, catalog, str(file.reading["item"]), told["id"])
        chosen = self._kept(events, file.reading)
        data = self._data(events, chosen)
        found = self._parts(data)
        report = self._report(data, found, chosen.dropped, catalog, (*events.notes, *notes))
        self._write(data, found, report, recorded, inputs)
        return report[0]

    def _planned(self, held: int) -> Plan:
        """Rows at a time beside ``held`` bytes."""
        return self.plan or self.budget.plan(held)

    def _check_overlap(self, events: Events, catalog: Catalog, column: str, key: str | None) -> None:
        clicked = events.items.texts()
        if not clicked.is_in(catalog.frame["item_id"].implode()).any():
            check_overlap(
                clicked.gather(ordered(clicked)).to_list(), catalog, repr(str(self.request.items)), column, key
            )

    def _kept(self, events: Events, reading: Mapping[str, str | None]) -> filters.Kept:
        config = self.config
        ids = len(events.users) + len(events.items)
        plan = self._planned(len(events.log) + filters.BYTES * ids)
        if config.split == "time":
            whole.require_times(reading["time"], is_order(reading["time"]) or events.only_ordered(plan.block))
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

    def _parts(self, data: _Data) -> split.Parts:
        rule, n = self.config.split, len(data.log)
        plan = self._planned(split.bytes_an_event(rule, n) * n + BYTES * (len(data.users) + len(data.items)))
        sizes = {"users": len(data.users), "items": len(data.items)}
        folder = self.folder / "split"
        return split.parts(data.log, rule, **sizes, seed=self.config.seed, plan=plan, folder=folder)

    def _report(
        self,
        data: _Data,
        found: split.Parts,
        dropped: tuple[Dropped, ...],
        catalog: Catalog | None,
        notes: tuple[str, ...],
    ) -> tuple[Prepared, Catalog]:
        counts = np.bincount(found, minlength=len(PARTS) + 1)
        known = Catalog.empty(data.items) if catalog is None else catalog
        kept = known.take(data.items)
        warnings = whole.warnings(known, kept, lost=int(counts[len(PARTS)]))
        parts = {name: int(counts[number]) for number, name in enumerate(PARTS)}
        card = Card.counted(data.of_user, data.of_item, kept)
        return Prepared(card=card, parts=parts, dropped=dropped, warnings=(*notes, *warnings)), kept

    def _write(
        self,
        data: _Data,
        found: split.Parts,
        report: tuple[Prepared, Catalog],
        recorded: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> None:
        told, catalog = report
        common: dict[str, Any] = {"config": recorded, "inputs": inputs}
        rows = self._planned(len(found) + BYTES * (len(data.users) + len(data.items))).block
        with artifacts.writing(self.workspace / "dataset", KIND, **common, facts={"report": told.facts()}) as work:
            write_parquet(work / "interactions.parquet", lambda: data.named(rows), data.schema(), len(data.log))
            whole.write_texts(work, catalog, told)
        with Split.writing(self.workspace / "split", data.users, data.items, told.parts, **common) as work:
            for number, name in enumerate(PARTS):
                frames = lambda number=number: data.pairs(rows, found, number)  # noqa: E731
                write_parquet(work / f"{name}.parquet", frames, _PAIRS, told.parts[name])


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

    def pairs(self, rows: int, found: split.Parts, part: int) -> Iterator[pl.DataFrame]:
        """The pairs of one part."""
        start = 0
        for block in self.log.blocks(rows, "user", "item"):
            chosen = found[start : start + len(block["user"])] == part
            start += len(chosen)
            yield pl.DataFrame({name: values[chosen].astype(np.int64) for name, values in block.items()})


def _in_order(ids: Ids, left: filters.Mask) -> tuple[pl.Series, Codes]:
    """The ids that are left, in order, and for every code its row among them."""
    texts = ids.texts().filter(pl.Series(left))
    order = ordered(texts)
    row = np.zeros(len(left), dtype=np.uint32)
    row[np.flatnonzero(left)[order]] = np.arange(len(order), dtype=np.uint32)
    return texts.gather(order), row
