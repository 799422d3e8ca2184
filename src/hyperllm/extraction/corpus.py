"""What is encoded: the text of every item, and of every user who has one, made anew each time it is read.

A text is made of its row of the catalogue, which comes from its file in blocks; held are summaries, as a column, and
numbers of tags. Knows texts. Does not know encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from hyperllm import artifacts
from hyperllm.data import prepare
from hyperllm.data.catalog import sentence
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError
from hyperllm.extraction import profiles
from hyperllm.extraction.items import catalog_rows
from hyperllm.extraction.tagged import TEXT_CHARACTERS, tagged_text
from hyperllm.ids import Vocabulary

Rows = Callable[[], Iterator[Mapping[str, Any]]]


class Texts(Protocol):
    """Texts that may be made anew whenever they are iterated."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Corpus:
    """Texts of items, then of users: `Texts`.

    ``rows`` reads the items' rows of the catalogue, ``summaries`` holds one an item, null or empty where there is none,
    and ``people`` the users' texts.
    """

    items: Vocabulary
    rows: Rows
    tags: TagGraph | None = None
    summaries: pl.Series | None = None
    people: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))

    def __len__(self) -> int:
        return len(self.items) + len(self.people)

    def __iter__(self) -> Iterator[str]:
        yield from self.of_items()
        yield from self.people

    def of_items(self) -> Iterator[str]:
        """An item's summary, else its catalogue text, and its tags."""
        texts = (sentence(row, TEXT_CHARACTERS) for row in self.rows())
        if self.summaries is not None:
            texts = (summary or text for summary, text in zip(self.summaries, texts, strict=True))
        return with_tags(texts, self.tags)

    @property
    def digest(self) -> str:
        """Equal for equal texts."""
        return artifacts.digest_of_texts(self.of_items(), self.people)


def rows_in_order(workspace: Path, items: Vocabulary) -> Rows:
    """Reads the rows of ``items``: from the catalogue's file, where that has their order, else from memory."""
    artifacts.read(workspace / "dataset", prepare.KIND)
    path = workspace / "dataset" / "items.parquet"
    if pl.read_parquet(path, columns=["item_id"])["item_id"].equals(items.texts):
        return lambda: catalog_rows(workspace)
    frame = prepare.load_catalog(workspace).take(items).frame
    return lambda: frame.iter_rows(named=True)


def with_summaries(corpus: Corpus, folder: Path, users: Vocabulary | None) -> Corpus:
    """The same with the summaries of a profile set; also those of ``users``, if wanted. Raises `ConfigError`."""
    artifacts.read(folder, profiles.KIND)
    told = _summaries(folder / "items.parquet", "item_id", corpus.items)
    people = corpus.people
    if users is not None:
        people = _summaries(folder / "users.parquet", "user_id", users)
        if not len(people.drop_nulls()):
            raise ConfigError(f"the profile set {folder.name!r} has no user summaries; use users=mean")
        people = people.fill_null("")
    return replace(corpus, summaries=told, people=people)


def _summaries(path: Path, key: str, ids: Vocabulary) -> pl.Series:
    """One a row of ``ids``, null where there is none."""
    if not path.exists():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(ids))
    told = pl.read_parquet(path, columns=[key, "summary"]).unique(key, keep="last")
    return pl.DataFrame({key: ids.texts}).join(told, on=key, how="left", maintain_order="left")["summary"]


def with_tags(texts: Iterable[str], tags: TagGraph | None) -> Iterator[str]:
    """Each text, then ``Tags: a, b, …``; an item without either gives an empty string."""
    if tags is None:
        yield from texts
        return
    spread = np.bincount(tags.tag_items[:, 0], minlength=len(tags.tags))
    order = np.argsort(tags.tag_items[:, 1], kind="stable")
    ends = np.bincount(tags.tag_items[:, 1], minlength=len(tags.items)).cumsum()
    start = 0
    for text, end in zip(texts, ends.tolist(), strict=True):
        yield tagged_text(text, tags.tag_items[order[start:end], 0].tolist(), tags.names, spread)
        start = end


def in_blocks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """So many texts at a time."""
    waiting = iter(texts)
    while block := list(islice(waiting, size)):
        yield block
