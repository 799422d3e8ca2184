"""Profiles: what was written about every item and user, in its final format.

Knows one row an item (summary, three levels of tags, edges, cost, raw reply), one row a user, and the artifact they are
kept in. Does not know who wrote them.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from hyperllm import artifacts

KIND = "profiles"
BLOCK = 1024
LEVELS = 3

Tags = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Tag names of level 1 (broad), 2 and 3 (specific)."""

_EDGE = pl.Struct({"parent": pl.String, "child": pl.String})
_COST: dict[str, Any] = {
    "model": pl.String,
    "prompt_version": pl.String,
    "prompt_hash": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "raw": pl.String,
}
ITEM_SCHEMA: dict[str, Any] = {
    "item_id": pl.String,
    "summary": pl.String,
    **{f"tags_level_{level}": pl.List(pl.String) for level in range(1, LEVELS + 1)},
    "edges": pl.List(_EDGE),
    **_COST,
}
USER_SCHEMA: dict[str, Any] = {"user_id": pl.String, "summary": pl.String, **_COST}


@dataclass(frozen=True)
class Origin:
    """Who wrote a profile and at what cost; ``raw`` is the reply as it came, None where no model was asked."""

    model: str
    prompt_version: str | None = None
    prompt_hash: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    raw: str | None = None


@dataclass(frozen=True)
class ItemProfile:
    """An item's preference summary Sᵢ, its tags by level, and (parent, child) edges between them."""

    item_id: str
    summary: str
    tags: Tags
    edges: tuple[tuple[str, str], ...]
    origin: Origin

    def row(self) -> dict[str, Any]:
        """As a row of ``items.parquet``."""
        levels = {f"tags_level_{level}": list(names) for level, names in enumerate(self.tags, start=1)}
        edges = [{"parent": parent, "child": child} for parent, child in self.edges]
        return {"item_id": self.item_id, "summary": self.summary, **levels, "edges": edges, **asdict(self.origin)}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ItemProfile:
        """Read what `row` gave."""
        first, second, third = (tuple(row[f"tags_level_{level}"]) for level in range(1, LEVELS + 1))
        edges = tuple((edge["parent"], edge["child"]) for edge in row["edges"])
        return cls(row["item_id"], row["summary"], (first, second, third), edges, _origin(row))


@dataclass(frozen=True)
class UserProfile:
    """A user's preference summary Sᵤ, written from training interactions only."""

    user_id: str
    summary: str
    origin: Origin

    def row(self) -> dict[str, Any]:
        """As a row of ``users.parquet``."""
        return {"user_id": self.user_id, "summary": self.summary, **asdict(self.origin)}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> UserProfile:
        """Read what `row` gave."""
        return cls(row["user_id"], row["summary"], _origin(row))


def _origin(row: Mapping[str, Any]) -> Origin:
    return Origin(**{name: row[name] for name in _COST})


class Writer:
    """An unfinished profile set: rows go to disk in blocks as they come."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self._folder = folder
        self.facts = facts

    def write_items(self, items: Iterable[ItemProfile]) -> None:
        """Write ``items.parquet``."""
        self.facts["items"] = _stream(self._folder / "items.parquet", (item.row() for item in items), ITEM_SCHEMA)

    def write_users(self, users: Iterable[UserProfile]) -> None:
        """Write ``users.parquet``."""
        self.facts["users"] = _stream(self._folder / "users.parquet", (user.row() for user in users), USER_SCHEMA)

    def write_left_out(self, rows: Iterable[dict[str, str | None]]) -> None:
        """Write ``left_out.parquet``: who was asked about and has no profile, and why."""
        form: dict[str, Any] = dict.fromkeys(("kind", "id", "verdict", "reason"), pl.String)
        self.facts["left_out"] = _stream(self._folder / "left_out.parquet", iter(rows), form)

    def items(self) -> ItemStream:
        """What `write_items` wrote."""
        return ItemStream(self._folder / "items.parquet")


@dataclass(frozen=True)
class ItemStream:
    """Item profiles read from disk block by block, as often as they are wanted; raw replies are left out."""

    path: Path

    def __iter__(self) -> Iterator[ItemProfile]:
        import pyarrow.parquet as pq  # whoever only knows a profile need not wait for it

        columns = [name for name in ITEM_SCHEMA if name != "raw"]
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BLOCK, columns=columns):
                yield from (ItemProfile.of({**row, "raw": None}) for row in batch.to_pylist())


@contextmanager
def writing(folder: Path, *, config: Mapping[str, Any], inputs: Mapping[str, str]) -> Generator[Writer]:
    """Write the artifact ``folder``; ``folder/../items.parquet`` is then a copy of this newest set."""
    facts: dict[str, Any] = {}
    with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
        yield Writer(work, facts)
    for name in ("items.parquet", "users.parquet"):
        _show(folder / name)


def save(
    folder: Path,
    items: Iterable[ItemProfile],
    users: Iterable[UserProfile] | None,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> None:
    """Write a whole set at once; see `writing`."""
    with writing(folder, config=config, inputs=inputs) as made:
        made.write_items(items)
        if users is not None:
            made.write_users(users)


def _stream(path: Path, rows: Iterator[dict[str, Any]], schema: Mapping[str, Any]) -> int:
    """Write rows in blocks; returns how many there were."""
    import pyarrow.parquet as pq

    form = pl.DataFrame(schema=schema).to_arrow().schema
    count = 0
    with pq.ParquetWriter(path, form, compression="zstd") as writer:
        while block := list(islice(rows, BLOCK)):
            writer.write_table(pl.DataFrame(block, schema=schema).to_arrow().cast(form))
            count += len(block)
    return count


def _show(path: Path) -> None:
    """Make ``profiles/NAME.parquet`` a copy of the newest set's, in one atomic step.

    Not a link: whoever writes to the shown file must not change the set.
    """
    if not path.exists():
        return
    shown = path.parent.parent / path.name
    scratch = shown.with_name(f".{shown.name}.new")
    shutil.copyfile(path, scratch)
    scratch.replace(shown)


def load_items(folder: Path) -> list[ItemProfile]:
    """The item profiles of a set."""
    artifacts.read(folder, KIND)
    return [ItemProfile.of(row) for row in pl.read_parquet(folder / "items.parquet").iter_rows(named=True)]


def load_users(folder: Path) -> list[UserProfile]:
    """The user profiles of a set; empty where it has none."""
    artifacts.read(folder, KIND)
    path = folder / "users.parquet"
    return [UserProfile.of(row) for row in pl.read_parquet(path).iter_rows(named=True)] if path.exists() else []
