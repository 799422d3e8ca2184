"""What a user asks to have prepared: which files, and how to read them.

Knows the name under which each kind is recorded and its reader in memory. Reads nothing until asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hyperllm.data.sources.amazon import read_amazon
from hyperllm.data.sources.published import read_published
from hyperllm.data.sources.raw import RawData
from hyperllm.data.sources.table import read_table


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

    kind = "table"

    def read(self) -> RawData:
        """Everything, in memory."""
        options: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return read_table(**options)


@dataclass(frozen=True)
class AmazonRequest:
    """Reviews and, where there are some, metadata; see `hyperllm.data.sources.amazon.read_amazon`."""

    reviews: Path
    meta: Path | None = None

    kind = "amazon"

    def read(self) -> RawData:
        """Everything, in memory."""
        return read_amazon(self.reviews, self.meta)


@dataclass(frozen=True)
class PublishedRequest:
    """A folder with a split; see `hyperllm.data.sources.published.read_published`."""

    folder: Path

    kind = "published"

    def read(self) -> RawData:
        """Everything, in memory."""
        return read_published(self.folder)


Request = TableRequest | AmazonRequest | PublishedRequest
