"""What a user asks to have prepared within a limit, opened: fingerprints first, then events, then item texts.

Knows tables and Amazon dumps, and that reading them a block at a time complains as `hyperllm.data.sources` does. Does
not know filters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from hyperllm.artifacts import file_digest
from hyperllm.data.sources import amazon
from hyperllm.data.sources.columns import Refused
from hyperllm.data.sources.files import read_ahead, read_blocks, read_header, row_bytes
from hyperllm.data.sources.requests import AmazonRequest, TableRequest
from hyperllm.data.sources.table import ItemColumns, ItemNames, Names, no_overlap, repeated
from hyperllm.data.streaming.budget import Budget
from hyperllm.data.streaming.encode import BYTES, Ids, ordered, settled
from hyperllm.data.streaming.events import EventFile, Events, Planned, read_reviews
from hyperllm.data.streaming.texts import Texts


class Source(Protocol):
    """Files that look as they should; what is wrong further on is said when it is read, as a `DataError`."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name -> SHA-256 of a file."""
        ...

    @property
    def reading(self) -> Mapping[str, str | None]:
        """How the files are read; ``time`` is a column that might only number each user's events."""
        ...

    def events(self, budget: Budget, planned: Planned) -> Events:
        """All events, ``planned`` for what is held beside a block."""
        ...

    def texts(self, clicked: Ids, budget: Budget, planned: Planned) -> tuple[Texts, list[str]] | None:
        """What is said of the items that were clicked, and notes; None where nothing was given that says anything."""
        ...


def opened(request: TableRequest | AmazonRequest, folder: Path) -> Source:
    """Find out what the files are; ``folder`` takes what is unpacked or written on the way."""
    return _Tables.of(request, folder) if isinstance(request, TableRequest) else _Amazon.of(request, folder)


@dataclass(frozen=True)
class _Tables:
    """A table of events and perhaps one of items."""

    inputs: Mapping[str, str]
    reading: Mapping[str, str | None]
    file: EventFile
    time_asked: bool
    items: Path | None
    columns: ItemColumns | None

    @classmethod
    def of(cls, request: TableRequest, folder: Path) -> _Tables:
        names = Names(request.user_column, request.item_column, request.rating_column, request.time_column)
        file = EventFile.of(request.interactions, names, folder)
        asked = request.time_column is not None
        inputs = {"interactions": file_digest(file.path)}
        if request.items is None:
            return cls(inputs, file.reading, file, asked, None, None)
        like, texts = str(file.reading["item"]), tuple(request.text_columns)
        wanted = ItemNames(request.id_column, request.title_column, texts, request.category_column, like)
        (folder / "items").mkdir()  # both tables may have the same name
        header = read_header(request.items, folder=folder / "items")
        columns = ItemColumns.of(header, repr(str(request.items)), wanted)
        inputs["items"] = file_digest(request.items)
        return cls(inputs, {**file.reading, **columns.told()}, file, asked, request.items, columns)

    def events(self, budget: Budget, planned: Planned) -> Events:
        return self.file.events(budget, planned, time_asked=self.time_asked)

    def texts(self, clicked: Ids, budget: Budget, planned: Planned) -> tuple[Texts, list[str]] | None:
        if self.items is None or self.columns is None:
            return None
        path, columns, where, folder = self.items, self.columns, repr(str(self.items)), self.file.folder / "items"

        def blocks(known: Texts) -> Iterator[pl.DataFrame]:
            del known  # which items are described counts, clicked or not
            names = columns.names()
            plan = planned(BYTES * len(clicked) + read_ahead(path, names, folder=folder))
            rows = plan.texts(row_bytes(path, names, folder=folder))
            refused, before = None, 0
            for block in read_blocks(path, names, rows=rows, folder=folder):
                try:
                    yield columns.texts_of(block, where)
                except Refused as error:
                    refused = error.behind(before, refused)
                before += block.height
            if refused is not None:
                raise refused

        found = _collected(blocks, clicked, budget, folder)
        if found.nothing:
            item = str(self.reading["item"])
            raise no_overlap(len(clicked), (_first(clicked), item), (found.example(), columns.id), where)
        return found, [repeated(found.repeated, where)] if found.repeated else []


@dataclass(frozen=True)
class _Amazon:
    """Reviews, as lines or as a table, and perhaps metadata."""

    inputs: Mapping[str, str]
    reading: Mapping[str, str | None]
    reviews: Path
    meta: Path | None
    folder: Path

    @classmethod
    def of(cls, request: AmazonRequest, folder: Path) -> _Amazon:
        reading = {"reviews": amazon.year(request.reviews)}
        there = {"reviews": request.reviews} | ({} if request.meta is None else {"meta": request.meta})
        inputs = {name: file_digest(path) for name, path in there.items()}
        return cls(inputs, reading, request.reviews, request.meta, folder)

    def events(self, budget: Budget, planned: Planned) -> Events:
        if not amazon.is_csv(self.reviews):
            return read_reviews(self.reviews, self.folder, budget, planned(0).block)
        file = EventFile.of(self.reviews, Names(*amazon.NEW), self.folder)
        return file.events(budget, planned, time_asked=True)

    def texts(self, clicked: Ids, budget: Budget, planned: Planned) -> tuple[Texts, list[str]] | None:
        del planned  # lines of metadata are always looked at by the thousand
        if self.meta is None:
            return None
        path = self.meta
        found = _collected(lambda texts: amazon.products(path, texts.known), clicked, budget, self.folder)
        if found.nothing:
            raise amazon.no_product(path, len(clicked), _first(clicked))
        return found, [amazon.repeated(found.repeated, path)] if found.repeated else []


def _collected(blocks: Callable[[Texts], Iterable[pl.DataFrame]], clicked: Ids, budget: Budget, folder: Path) -> Texts:
    """The texts of all ``blocks``, which may ask what is known."""

    def read(seed: int) -> Texts:
        texts = Texts(folder / f"texts-{seed}", clicked, budget, seed=seed)
        for block in blocks(texts):
            texts.add(block)
        texts.forget()
        return texts

    return settled(read)


def _first(ids: Ids) -> str:
    texts = ids.texts()
    return texts[int(ordered(texts)[0])]
