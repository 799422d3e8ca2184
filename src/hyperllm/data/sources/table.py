"""Any shop's tables: one of events, optionally one of items.

Knows how to find the columns of CSV, TSV, JSON lines, Parquet, polars and pandas tables. Does not know any public
data set.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hyperllm.artifacts import file_digest
from hyperllm.data.catalog import SCHEMA, Catalog, attribute_names
from hyperllm.data.interactions import Interactions
from hyperllm.data.sources import columns
from hyperllm.data.sources.files import read_frame
from hyperllm.data.sources.raw import RawData
from hyperllm.errors import DataError

Table = Any
"""A path (`str` or `Path`), a polars data frame or a pandas data frame."""


def read_table(
    interactions: Table,
    items: Table | None = None,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    time_column: str | None = None,
    id_column: str | None = None,
    title_column: str | None = None,
    text_columns: Sequence[str] = (),
    category_column: str | None = None,
) -> RawData:
    """Events and item texts from two tables, each a file path or a data frame.

    A column not named is found by its usual names (`columns.USUAL`). ``text_columns`` are joined into the description,
    in the order given. Raises `DataError` with the columns found where a needed one is missing.
    """
    chosen = Names(user_column, item_column, rating_column, time_column)
    found, reading, notes = _events(
        load(interactions, "interactions"), describe(interactions, "the interactions"), chosen
    )
    order = found.time is not None and (is_order(reading["time"]) or columns.per_user_order(found))
    inputs = {"interactions": fingerprint(interactions)}
    catalog = Catalog.empty(found.items)
    if items is not None:
        inputs["items"] = fingerprint(items)
        wanted = ItemNames(id_column, title_column, tuple(text_columns), category_column, like=str(reading["item"]))
        catalog, told = described(items, wanted, notes)
        where = describe(items, "the item table")
        check_overlap(found.items.ids, catalog, where, str(reading["item"]), told["id"])
        reading |= told
    return RawData(found, catalog, inputs=inputs, reading=reading, time_is_per_user=order, notes=tuple(notes))


def read_items(
    items: Table,
    *,
    id_column: str | None = None,
    title_column: str | None = None,
    text_columns: Sequence[str] = (),
    category_column: str | None = None,
) -> tuple[Catalog, tuple[str, ...]]:
    """Item texts from one table without events, and notes on what was left out.

    Columns are found as in `read_table`.
    """
    notes: list[str] = []
    wanted = ItemNames(id_column, title_column, tuple(text_columns), category_column, like="item_id")
    catalog, _ = described(items, wanted, notes)
    return catalog, tuple(notes)


def read_histories(table: Table) -> dict[str, list[str]]:
    """User -> items in the order of a table of users and items, whose columns are found as in `read_table`."""
    frame, where = load(table, "histories"), describe(table, "the table of histories")
    user = columns.require(frame, "user", named=None, option="--user-column", where=where)
    item = columns.require(frame, "item", named=None, option="--item-column", where=where)
    people = columns.ids(frame[user], what="user", where=where)
    found: dict[str, list[str]] = {}
    for who, what in zip(people, columns.ids(frame[item], what="item", where=where), strict=True):
        found.setdefault(who, []).append(what)
    return found


@dataclass(frozen=True)
class Names:
    """Columns of the event table that the user named; None means find it."""

    user: str | None
    item: str | None
    rating: str | None
    time: str | None


@dataclass(frozen=True)
class ItemNames:
    """Columns of the item table that the user named; ``like`` is the item column of the events."""

    id: str | None
    title: str | None
    texts: tuple[str, ...]
    category: str | None
    like: str


def _events(frame: pl.DataFrame, where: str, chosen: Names) -> tuple[Interactions, dict[str, str | None], list[str]]:
    """Events, the column each part came from, and notes for the user."""
    reading = event_columns(frame, where, chosen)
    user, item, rating, time = str(reading["user"]), str(reading["item"]), reading["rating"], reading["time"]
    notes: list[str] = []
    found = columns.interactions_of(
        columns.ids(frame[user], what="user", where=where),
        columns.ids(frame[item], what="item", where=where),
        rating=None if rating is None else columns.numbers(frame[rating], what="rating", where=where),
        time=None if time is None else _times(frame[time], where, asked=chosen.time is not None, notes=notes),
    )
    return found, reading, notes


def event_columns(frame: pl.DataFrame, where: str, chosen: Names) -> dict[str, str | None]:
    """The columns that are user, item, rating and time, None where there is none; raises `DataError`."""
    user = columns.require(frame, "user", named=chosen.user, option="--user-column", where=where)
    item = columns.require(frame, "item", named=chosen.item, option="--item-column", where=where)
    rating = columns.find(frame, "rating", named=chosen.rating, option="--rating-column", where=where)
    time = columns.find(frame, "time", named=chosen.time, option="--time-column", where=where)
    time = time or columns.find(frame, "order", named=None, option="--time-column", where=where)
    return {"user": user, "item": item, "rating": rating, "time": time}


def is_order(column: str | None) -> bool:
    """Whether a time column's name says that it only numbers a user's events."""
    return columns.plain(column or "") in columns.USUAL["order"]


def _times(column: pl.Series, where: str, *, asked: bool, notes: list[str]) -> Any:
    """Times, or None with a note where a column that nobody asked for cannot be read as times."""
    try:
        return columns.times(column, where=where)
    except DataError as error:
        if asked:
            raise
        notes.append(left_out(column.name, error))
        return None


def left_out(column: str, error: DataError) -> str:
    """The note on a time column that is not used."""
    return f"the time column {column!r} is left out: {error}"


def described(items: Table, chosen: ItemNames, notes: list[str]) -> tuple[Catalog, dict[str, str | None]]:
    """Item texts of a table, and the column each part came from; ``notes`` get what the user should hear."""
    frame, where = load(items, "items"), describe(items, "the item table")
    found = ItemColumns.of(frame, where, chosen)
    table = found.texts_of(frame, where)
    first = table.unique("item_id", keep="first", maintain_order=True)
    if twice := table.height - first.height:
        notes.append(repeated(twice, where))
    return Catalog.of(first), found.told()


def repeated(rows: int, where: str) -> str:
    """The note on rows of an item table that are not used."""
    return f"{rows:,} rows of {where} repeat an item id; the first of each is used"


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of an item table are what; all but ``id`` may be absent, though not all of them."""

    id: str
    title: str | None
    texts: tuple[str, ...]
    category: str | None
    brand: str | None
    attributes: str | None

    @classmethod
    def of(cls, frame: pl.DataFrame, where: str, chosen: ItemNames) -> ItemColumns:
        """Find them in a table, or in its header alone; raises `DataError` where there is no id or no text."""
        key = _key(frame, where, chosen)
        title = columns.find(frame, "title", named=chosen.title, option="--title-column", where=where)
        category = columns.find(frame, "categories", named=chosen.category, option="--category-column", where=where)
        for name in chosen.texts:
            columns.require(frame, "description", named=name, option="--text-columns", where=where)
        usual, brand, attributes = (
            columns.find(frame, role, named=None, option="", where=where)
            for role in ("description", "brand", "attributes")
        )
        texts = chosen.texts or ((usual,) if usual else ())
        if not (title or category or texts or brand or attributes):
            raise DataError(
                f"{where} has no text: found the columns {', '.join(map(repr, frame.columns))}. "
                "Name them with --title-column, --text-columns or --category-column."
            )
        return cls(key, title, texts, category, brand, attributes)

    def told(self) -> dict[str, str | None]:
        """What is recorded of how the table was read."""
        return {"id": self.id, "title": self.title, "text": ",".join(self.texts) or None, "category": self.category}

    def names(self) -> list[str]:
        """All columns that are read, each once."""
        every = (self.id, self.title, *self.texts, self.category, self.brand, self.attributes)
        return list(dict.fromkeys(name for name in every if name is not None))

    def texts_of(self, frame: pl.DataFrame, where: str) -> pl.DataFrame:
        """The rows of ``frame`` with the columns of a catalogue, ids repeated where they are; raises `DataError`."""
        path = [(columns.paths(v) or [[]])[0] for v in _values(frame, self.category)]
        maker = [_flat(v) for v in _values(frame, self.brand)]
        given = [columns.names(v) for v in _values(frame, self.attributes)]
        return pl.DataFrame(
            {
                "item_id": columns.ids(frame[self.id], what="item", where=where),
                "title": [_flat(v) for v in _values(frame, self.title)],
                "description": [". ".join(t for t in map(_flat, row) if t) for row in _rows(frame, self.texts)],
                "brand": maker,
                "categories": path,
                "attributes": [g or attribute_names(b, p) for g, b, p in zip(given, maker, path, strict=True)],
            },
            schema=SCHEMA,
        )


def _key(frame: pl.DataFrame, where: str, chosen: ItemNames) -> str:
    """The id column: as named, as in the events, by a usual name, or just ``id`` (too common to guess elsewhere)."""
    named = chosen.id or (chosen.like if chosen.like in frame.columns else None)
    found = columns.find(frame, "item", named=named, option="--id-column", where=where)
    found = found or next((name for name in frame.columns if columns.plain(name) == "id"), None)
    return found or columns.require(frame, "item", named=None, option="--id-column", where=where)


def _values(frame: pl.DataFrame, name: str | None) -> list[Any]:
    return [None] * frame.height if name is None else frame[name].to_list()


def _rows(frame: pl.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return frame.select(names).rows() if names else [()] * frame.height


def _flat(value: object) -> str | None:
    """One text of a cell: lists are joined, missing stays missing."""
    if value is None or value != value:
        return None
    if isinstance(value, (list, tuple)):
        return " ".join(text for part in value if (text := _flat(part))) or None
    return str(value).strip() or None


def load(table: Table, what: str) -> pl.DataFrame:
    """A polars table of a path or data frame; raises `DataError` for anything else or an empty one."""
    if isinstance(table, (str, Path)):
        return read_frame(Path(table))
    if type(table).__module__.partition(".")[0] == "pandas":
        table = _from_pandas(table)
    if not isinstance(table, pl.DataFrame):
        raise DataError(f"{what} is a {type(table).__name__}; expected a path, a polars or a pandas data frame.")
    if table.is_empty():
        raise DataError(f"the {what} table has no row; expected at least one.")
    return table


def _from_pandas(table: Any) -> pl.DataFrame:
    """Column by column, because one column that mixes numbers and text must not spoil the others."""
    series: dict[str, pl.Series] = {}
    for name in table.columns:
        column = table[name]
        try:
            series[str(name)] = pl.from_pandas(column, nan_to_null=True)
        except Exception:  # arrow's own tree of conversion errors, by whatever name this version gives them
            texts = [None if v is None or v != v else str(v) for v in column]
            series[str(name)] = pl.Series(texts, dtype=pl.String)
    return pl.DataFrame(series)


def describe(table: Table, otherwise: str) -> str:
    """How messages call a table: its path, or ``otherwise`` where it is a data frame."""
    return repr(str(table)) if isinstance(table, (str, Path)) else otherwise


def fingerprint(table: Table) -> str:
    """SHA-256 of a file's bytes, or of a data frame written as Arrow."""
    if isinstance(table, (str, Path)):
        return file_digest(Path(table))
    stream = io.BytesIO()
    load(table, "input").write_ipc(stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()


def check_overlap(clicked: Sequence[str], catalog: Catalog, where: str, event_key: str, item_key: str | None) -> None:
    """Raise `DataError` where not one clicked item is in the catalog: then one of the two id columns is wrong."""
    if not any(item in catalog.items for item in clicked):
        raise no_overlap(len(clicked), (clicked[0], event_key), (catalog.items.ids[0], item_key), where)


def no_overlap(clicked: int, event: tuple[str, str], item: tuple[str, str | None], where: str) -> DataError:
    """What to say where none of the clicked items is described; ``event`` and ``item`` are an id and its column."""
    return DataError(
        f"none of the {clicked:,} clicked items is in {where}: column {event[1]!r} holds ids like "
        f"{event[0]!r}, column {item[1]!r} ids like {item[0]!r}. "
        "Name the matching columns with --item-column and --id-column."
    )
