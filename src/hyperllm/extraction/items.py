"""What is asked about items: one question each, from the catalogue's text alone.

Reads the catalogue's file in blocks, so that memory does not grow with it. Knows no user and no click.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from hyperllm.data.catalog import TEXT_LIMIT, says_something, text_parts
from hyperllm.errors import Incomplete
from hyperllm.extraction.untrusted import as_data, without_brackets
from hyperllm.ids import Vocabulary

KIND = "item"
BLOCK = 1024


def item_texts(workspace: Path, items: Vocabulary, *, join: str = "\n") -> Iterator[tuple[str, str]]:
    """(id, text) of those of ``items`` that have a text, in the order of the catalogue's file.

    Title, category path, brand, attributes and description, each cleaned, at most `TEXT_LIMIT` characters together.
    """
    for row in catalog_rows(workspace):
        if row["item_id"] in items and (text := item_text(row, join)):
            yield row["item_id"], text


def item_text(row: dict[str, Any], join: str) -> str:
    """The text of one row of the catalogue, as it stands in a prompt."""
    found = list(filter(None, text_parts(row)))
    whole = join.join(found)
    if len(whole) <= TEXT_LIMIT and whole.replace("\n", "").isprintable():  # the usual case, and the fast one
        return without_brackets(whole)
    parts = [plain for part in found if (plain := as_data(part, TEXT_LIMIT))]
    return as_data(join.join(parts), TEXT_LIMIT) if "\n" not in join else _cut_lines(parts, join)


def _cut_lines(parts: list[str], join: str) -> str:
    """Like `as_data` over the joined parts, but the lines stay lines."""
    left, lines = TEXT_LIMIT, list[str]()
    for part in parts:
        if left <= 0:
            break
        lines.append(as_data(part, left))
        left -= len(lines[-1]) + len(join)
    return join.join(lines)


def catalog_rows(workspace: Path) -> Iterator[dict[str, Any]]:
    """The rows of ``dataset/items.parquet``, a block at a time."""
    path = workspace / "dataset" / "items.parquet"
    if not path.exists():
        raise Incomplete(f"{str(path)!r} does not exist; run `hyperllm prepare` first")
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BLOCK):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield from frame.iter_rows(named=True)


def described(workspace: Path, items: Vocabulary) -> int:
    """How many of ``items`` have a text."""
    rows = pl.scan_parquet(workspace / "dataset" / "items.parquet").filter(says_something())
    return sum(item in items for item in rows.select("item_id").collect()["item_id"])
