"""Profiles: what was written about every item and user, in its final format.

Knows one row an item (summary, three levels of tags, edges, cost, raw reply), one row a user, and the artifact they are
kept in. Does not know who wrote them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hyperllm import artifacts

KIND = "profiles"
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


def save(
    folder: Path,
    items: Iterable[ItemProfile],
    users: Iterable[UserProfile] | None,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> None:
    """Write the artifact ``folder``; ``folder/../items.parquet`` is then a copy of this newest set."""
    table = pl.DataFrame([item.row() for item in items], schema=ITEM_SCHEMA)
    facts: dict[str, Any] = {"items": table.height}
    with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
        table.write_parquet(work / "items.parquet")
        if users is not None:
            people = pl.DataFrame([user.row() for user in users], schema=USER_SCHEMA)
            facts["users"] = people.height
            people.write_parquet(work / "users.parquet")
    for name in ("items.parquet", "users.parquet"):
        _show(folder / name)


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
