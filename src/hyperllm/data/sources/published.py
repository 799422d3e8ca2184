"""A published split: a folder of seven TSV files.

Knows ``train.tsv valid.tsv test.tsv items.tsv`` and the optional ``tags.tsv tag_items.tsv tag_edges.tsv``. Keeps the
split and the tags exactly as they are. Does not know who made them.

Columns: user_id, item_id · item_id, title, and optionally asin, categories (broad > … > specific), attributes (A; B) ·
tag_id, tag · tag_id, item_id · tag_id_a, tag_id_b. Standard CSV quoting.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from hyperllm.artifacts import file_digest
from hyperllm.data.catalog import SCHEMA, Catalog
from hyperllm.data.interactions import Pairs
from hyperllm.data.sources import columns
from hyperllm.data.sources.files import read_frame
from hyperllm.data.sources.raw import RawData
from hyperllm.data.split import PARTS, Split
from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.errors import DataError
from hyperllm.ids import Rows, Vocabulary

TAG_FILES = ("tags.tsv", "tag_items.tsv", "tag_edges.tsv")
EVENTS = ("user_id", "item_id")


def read_published(folder: Path | str) -> RawData:
    """The split, item texts and (where its three files are there) tags of ``folder``.

    Vocabularies hold all ids of items, train, valid and test in ascending numeric order. Raises `DataError` for a
    missing file or column, an unknown id, or a pair that stands in two parts.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{str(folder)!r} is no folder; expected one with train.tsv, valid.tsv, test.tsv and items.tsv."
        )
    parts = {name: _table(folder, f"{name}.tsv", EVENTS) for name in PARTS}
    texts = _table(folder, "items.tsv", ("item_id", "title"))
    _require_unique(texts, ["item_id"], "items.tsv")
    users = Vocabulary.of(pl.concat([part["user_id"] for part in parts.values()]).unique())
    items = Vocabulary.of(pl.concat([texts["item_id"], *(part["item_id"] for part in parts.values())]).unique())
    split = _split(parts, users, items)
    tags = _tags(folder, items)
    read = ["items.tsv", *(f"{name}.tsv" for name in PARTS), *(TAG_FILES if tags else ())]
    return RawData(
        split,
        _catalog(texts).take(items),
        tags,
        inputs={name: file_digest(folder / name) for name in read},
        reading={"layout": "published"},
    )


def _table(folder: Path, name: str, needed: tuple[str, ...]) -> pl.DataFrame:
    """One TSV with every column as text; the ``needed`` ones are there, and ids are not missing."""
    frame = read_frame(folder / name)
    missing = [column for column in needed if column not in frame.columns]
    if missing:
        raise DataError(
            f"{name} of {str(folder)!r} has no column {missing[0]!r}; it has {', '.join(map(repr, frame.columns))}. "
            f"Expected {', '.join(needed)}, divided by tabs."
        )
    checked = [columns.ids(frame[c], what=c.split("_")[0], where=name) for c in needed if "_id" in c]
    return frame.with_columns(checked)


def _require_unique(frame: pl.DataFrame, key: list[str], name: str) -> None:
    twice = frame.select(key).is_duplicated()
    if twice.any():
        row = int(twice.arg_max() or 0)
        raise DataError(
            f"{name} repeats {', '.join(key)} {frame.select(key).row(row)!r} (first in data row {row + 1:,}); "
            "each may stand once. Remove the repeated rows."
        )


def _split(parts: dict[str, pl.DataFrame], users: Vocabulary, items: Vocabulary) -> Split:
    together = pl.concat([part.select(EVENTS) for part in parts.values()])
    for name, part in parts.items():
        _require_unique(part, list(EVENTS), f"{name}.tsv")
    _require_unique(together, list(EVENTS), "the three parts train, valid and test together")
    pairs = {
        name: Pairs(users.rows(part["user_id"].to_list()), items.rows(part["item_id"].to_list()))
        for name, part in parts.items()
    }
    return Split(users, items, **pairs)


def _catalog(texts: pl.DataFrame) -> Catalog:
    rows: list[dict[str, object]] = []
    for row in texts.iter_rows(named=True):
        every = columns.paths(row.get("categories"))
        attributes = columns.names(row.get("attributes"))
        rows.append(
            {
                "item_id": row["item_id"],
                "title": row["title"],
                "description": row.get("description"),
                "brand": row.get("brand") or _brand(attributes, every),
                "categories": every[0] if every else [],
                "attributes": attributes,
            }
        )
    return Catalog.of(pl.DataFrame(rows, schema=SCHEMA))


def _brand(attributes: list[str], every: list[list[str]]) -> str | None:
    """The attributes that stand before the first category name; a brand with ``&`` was published in two pieces."""
    categories = {name for path in every for name in path}
    if not categories.intersection(attributes):
        return None
    first = next(place for place, name in enumerate(attributes) if name in categories)
    return " ".join(attributes[:first]) or None


def _tags(folder: Path, items: Vocabulary) -> TagGraph | None:
    """The tag graph as published: levels unknown, edges undirected; None where its three files are absent."""
    there = [name for name in TAG_FILES if (folder / name).exists()]
    if not there:
        return None
    if len(there) < len(TAG_FILES):
        absent = ", ".join(name for name in TAG_FILES if name not in there)
        raise DataError(f"{str(folder)!r} has {', '.join(there)} but no {absent}; give all three tag files or none.")
    table = _table(folder, "tags.tsv", ("tag_id", "tag"))
    _require_unique(table, ["tag_id"], "tags.tsv")
    tags = Vocabulary.of(table["tag_id"])
    named = dict(zip(table["tag_id"], table["tag"], strict=True))
    tag_items = _table(folder, "tag_items.tsv", ("tag_id", "item_id"))
    tag_edges = _table(folder, "tag_edges.tsv", ("tag_id_a", "tag_id_b"))
    return TagGraph(
        tags=tags,
        items=items,
        names=tuple(named[value] or "" for value in tags.ids),
        level=np.full(len(tags), UNKNOWN_LEVEL, dtype=np.int64),
        tag_items=_edges(tag_items, ("tag_id", "item_id"), tags, items, "tag_items.tsv"),
        tag_edges=_edges(tag_edges, ("tag_id_a", "tag_id_b"), tags, tags, "tag_edges.tsv"),
        directed=False,
    )


def _edges(frame: pl.DataFrame, key: tuple[str, str], left: Vocabulary, right: Vocabulary, name: str) -> Rows:
    ends = [
        vocabulary.rows(frame[column].to_list(), what=f"{column} in {name}")
        for column, vocabulary in zip(key, (left, right), strict=True)
    ]
    return np.stack(ends, axis=1)
