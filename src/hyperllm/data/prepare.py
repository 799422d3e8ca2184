"""Raw data -> the artifacts ``dataset/``, ``split/`` and, where tags were imported, ``tags/published``.

Knows the order of the filters, what is written where, and when nothing needs doing. Does not know any file format
that users bring, and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from hyperllm import artifacts
from hyperllm.data import split as splitting
from hyperllm.data.card import Card
from hyperllm.data.catalog import Catalog
from hyperllm.data.filters import KEEPS, Dropped, Keep, core, deduplicate, minimum_rating
from hyperllm.data.interactions import Interactions
from hyperllm.data.sets import IMPORTED
from hyperllm.data.sources.raw import RawData
from hyperllm.data.split import PARTS, Rule, Split
from hyperllm.data.tags import KIND as TAGS
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError
from hyperllm.ids import Vocabulary

KIND = "dataset"
USUAL_THRESHOLD = 4.0


HELD_OUT = ("cold_items", "new_users")
"""Settings that take whole items or users out of training; 0 where a split is an ordinary one."""


@dataclass(frozen=True)
class PrepareConfig:
    """How events become a data set; only ``cold_items``, ``new_users`` and their seed apply to a published split."""

    min_rating: float | None = None
    """Least rating that counts; None means 4 where there are ratings, and no threshold where there are none."""
    core: int = 5
    """Each user and item keeps at least this many distinct partners; 1 or 0 keeps all."""
    split: Rule = "per-user"
    """How events are divided into train, valid and test; see `hyperllm.data.split`."""
    duplicates: Keep = "first"
    """Which event of a repeated pair stays."""
    seed: int = 0
    """Seed of the ``per-user`` split, and of the cold items or new users."""
    cold_items: float = 0.0
    """Share of the items, from 0 to below 1, that no model shall know; see `hyperllm.data.split.without_items`."""
    new_users: float = 0.0
    """Share of the users, from 0 to below 1, that no model shall know; see `hyperllm.data.split.without_users`."""

    def __post_init__(self) -> None:
        for name, value, choices in (("split", self.split, get_args(Rule)), ("duplicates", self.duplicates, KEEPS)):
            if value not in choices:
                raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(choices)}.")
        if self.core < 0 or self.seed < 0:
            raise ConfigError(f"core is {self.core} and seed is {self.seed}; neither may be negative.")
        for name in HELD_OUT:
            if not 0 <= (share := getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {share}; expected a share, from 0 to below 1.")
        if self.cold_items and self.new_users:
            raise ConfigError("cold_items and new_users are tested apart; make a workspace of each.")


@dataclass(frozen=True)
class TagCounts:
    """Size of a tag graph."""

    tags: int
    tag_item_pairs: int
    tag_tag_edges: int


@dataclass(frozen=True)
class ColdCounts:
    """What making items cold did: their number, their interactions in test, and the interactions in no part."""

    items: int
    tested: int
    left_out: int

    @classmethod
    def of(cls, whole: Split, cold: Split, *, items: int) -> ColdCounts:
        """Compare a split with the one that ``items`` cold items made of it."""
        before, after = (sum(len(split.part(name)) for name in PARTS) for split in (whole, cold))
        return cls(items=items, tested=len(cold.test), left_out=before - after)

    def __str__(self) -> str:
        return (
            f"cold items: {self.items:,}, unknown in training; their {self.tested:,} interactions are the test part; "
            f"{self.left_out:,} interactions left out: other items' in test, and of users without any in training"
        )


@dataclass(frozen=True)
class NewUserCounts:
    """What making users new did: their number, the interactions given and tested, and those in no part."""

    users: int
    given: int
    tested: int
    left_out: int

    @classmethod
    def of(cls, whole: Split, split: Split) -> NewUserCounts:
        """Compare a split with the one that new users made of it."""
        before, after = (sum(len(part.part(name)) for name in PARTS) for part in (whole, split))
        left_out = before - after - len(split.given)
        return cls(len(np.unique(split.given.user)), len(split.given), len(split.test), left_out)

    def __str__(self) -> str:
        return (
            f"new users: {self.users:,}, unknown in training; {self.given:,} of their interactions are given to the "
            f"finished model, {self.tested:,} are the test part; {self.left_out:,} of others in test left out"
        )


@dataclass(frozen=True)
class Prepared:
    """The report of `prepare`: what stands in the workspace now, and what was left out on the way."""

    card: Card
    parts: Mapping[str, int]
    """Pairs in train, valid and test."""
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[str, ...] = ()
    tags: TagCounts | None = None
    """Size of an imported tag set."""
    cold: ColdCounts | None = None
    """What was made cold, where anything was."""
    new: NewUserCounts | None = None
    """Who was made new, where anybody was."""
    skipped: bool = field(default=False, compare=False)
    """True where all of it was there already, made from the same files and settings."""

    def text(self) -> str:
        """The report as plain lines."""
        card = self.card
        parts = " / ".join(f"{self.parts[name]:,}" for name in PARTS)
        lines = [
            f"{card.users:,} users, {card.items:,} items, {card.interactions:,} interactions, "
            f"density {card.density:.4%}",
            f"{' / '.join(PARTS)}: {parts}",
            *(str(dropped) for dropped in self.dropped),
            *(str(counts) for counts in (self.cold, self.new) if counts is not None),
        ]
        if self.tags:
            lines.append(
                f"imported {self.tags.tags:,} tags, {self.tags.tag_item_pairs:,} tag-item pairs, "
                f"{self.tags.tag_tag_edges:,} tag-tag edges"
            )
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines + (["nothing to do: the workspace is current"] if self.skipped else []))

    def facts(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "skipped"}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], *, skipped: bool) -> Prepared:
        """Read what `facts` gave."""
        return cls(
            card=Card.from_facts(facts["card"]),
            parts=facts["parts"],
            dropped=tuple(Dropped(**entry) for entry in facts["dropped"]),
            warnings=tuple(facts["warnings"]),
            tags=None if facts["tags"] is None else TagCounts(**facts["tags"]),
            cold=None if facts.get("cold") is None else ColdCounts(**facts["cold"]),
            new=None if facts.get("new") is None else NewUserCounts(**facts["new"]),
            skipped=skipped,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, (Card, ColdCounts, Dropped, NewUserCounts, TagCounts)):
        return asdict(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def prepare(workspace: Path, raw: RawData, *, config: PrepareConfig | None = None, source: str = "table") -> Prepared:
    """Filter and split ``raw``, write the artifacts into ``workspace``, and say what happened.

    A raw split is kept, and no filter applies to it; items are made cold or users new in any. Nothing is written where
    the artifacts are already made from the same inputs and settings, nor when anything is wrong with the data
    (`DataError`): then what was there stays.
    """
    config = config or PrepareConfig()
    settings = recorded(config, source, raw.reading, filtered=not isinstance(raw.interactions, Split))
    if is_current(workspace, settings, raw.inputs, tags=raw.tags is not None):
        return current(workspace)
    kept, whole, dropped = _kept(raw) if isinstance(raw.interactions, Split) else _filtered(raw, config)
    catalog = raw.catalog.take(kept.items)
    split, cold = _cooled(whole, config)
    split, new = _renewed(split, config)
    report = Prepared(
        card=Card.of(kept, catalog),
        parts={name: len(split.part(name)) for name in PARTS},
        dropped=dropped,
        warnings=(
            *raw.notes,
            *warnings(catalog, unclicked=_unclicked(raw.catalog, kept.items), lost=_lost(kept, whole)),
        ),
        tags=_tag_counts(raw.tags),
        cold=cold,
        new=new,
    )
    _write(workspace, raw, kept, catalog, split, report, settings)
    return report


def load_catalog(workspace: Path) -> Catalog:
    """Item texts of a prepared workspace, rows in the order of its item vocabulary."""
    artifacts.read(workspace / "dataset", KIND)
    frame = pl.read_parquet(workspace / "dataset" / "items.parquet")
    return Catalog(Vocabulary(frame["item_id"]), frame)


def load_split(workspace: Path) -> Split:
    """Train, validation and test of a prepared workspace."""
    return Split.load(workspace / "split")


def load_report(workspace: Path) -> Prepared:
    """The report of the `prepare` that made this workspace."""
    return Prepared.from_facts(artifacts.read(workspace / "dataset", KIND).facts["report"], skipped=True)


def recorded(
    config: PrepareConfig, source: str, reading: Mapping[str, str | None], *, filtered: bool = True
) -> dict[str, Any]:
    """The settings that matter, as a JSON object; of `HELD_OUT` only what is above 0, of filters all or none."""
    filters = asdict(config) if filtered else {}
    held = {name: share for name in HELD_OUT if (share := getattr(config, name))}
    filters = {name: value for name, value in filters.items() if name not in HELD_OUT}
    seed = {"seed": config.seed} if held else {}
    return {**filters, **held, **seed, "source": source, "reading": dict(reading)}


def is_current(workspace: Path, settings: Mapping[str, Any], inputs: Mapping[str, str], *, tags: bool = False) -> bool:
    """Whether the workspace holds what would be made of these settings and inputs."""
    kinds = {"dataset": KIND, "split": splitting.KIND} | ({f"tags/{IMPORTED}": TAGS} if tags else {})
    return bool(inputs) and all(
        artifacts.is_current(workspace / name, kind, config=settings, inputs=inputs) for name, kind in kinds.items()
    )


def current(workspace: Path) -> Prepared:
    """The report of what is there already."""
    return Prepared.from_facts(artifacts.read(workspace / "dataset", KIND).facts["report"], skipped=True)


def _kept(raw: RawData) -> tuple[Interactions, Split, tuple[Dropped, ...]]:
    split = raw.interactions
    assert isinstance(split, Split)
    pairs = [split.part(name) for name in PARTS]
    user, item = (np.concatenate([getattr(p, side) for p in pairs]) for side in ("user", "item"))
    return Interactions(split.users, split.items, user, item), split, ()


def _filtered(raw: RawData, config: PrepareConfig) -> tuple[Interactions, Split, tuple[Dropped, ...]]:
    events = raw.interactions
    assert isinstance(events, Interactions)
    if config.split == "time":
        require_times(raw.reading.get("time"), raw.time_is_per_user)
    dropped: list[Dropped] = []
    least = threshold(config, events.rating is not None)
    if least is not None:
        events, lost = minimum_rating(events, least)
        dropped.append(lost)
    events, lost = core(events, config.core)
    dropped.append(lost)
    events, lost = deduplicate(events, config.duplicates)
    dropped.append(lost)
    return events, splitting.split(events, config.split, seed=config.seed), tuple(dropped)


def threshold(config: PrepareConfig, rated: bool) -> float | None:
    """The least rating that counts: as asked, else the usual one where there are ratings."""
    return USUAL_THRESHOLD if config.min_rating is None and rated else config.min_rating


def require_times(column: str | None, per_user: bool) -> None:
    """Raise `DataError` where a time column only orders each user's own events."""
    if per_user:
        raise DataError(
            f"the column {column!r} only numbers each user's own events, so it cannot order the "
            "events of different users; the split 'time' needs real times. Name them with --time-column, or use "
            "leave-one-out."
        )


def _cooled(whole: Split, config: PrepareConfig) -> tuple[Split, ColdCounts | None]:
    """The split without the items that shall be cold, and what that did."""
    if not config.cold_items:
        return whole, None
    split = splitting.without_items(whole, config.cold_items, seed=config.seed)
    items = len(splitting.cold_items(whole, config.cold_items, seed=config.seed))
    return split, ColdCounts.of(whole, split, items=items)


def _renewed(whole: Split, config: PrepareConfig) -> tuple[Split, NewUserCounts | None]:
    """The split without the users that shall be new, and what that did."""
    if not config.new_users:
        return whole, None
    split = splitting.without_users(whole, config.new_users, seed=config.seed)
    return split, NewUserCounts.of(whole, split)


def _lost(kept: Interactions, split: Split) -> int:
    """Interactions in no part."""
    return len(kept) - sum(len(split.part(name)) for name in PARTS)


def _unclicked(described: Catalog, kept: Vocabulary) -> int:
    """Items with text that are not kept."""
    told = described.items.take(np.flatnonzero(described.has_text()))
    return sum(item not in kept for item in told)


def warnings(kept: Catalog, *, unclicked: int, lost: int) -> list[str]:
    """What the user should hear of the items ``kept``, ``unclicked`` ones with text, and ``lost`` held-out events."""
    found: list[str] = []
    empty = int((~kept.has_text()).sum())
    if empty:
        found.append(f"{empty:,} of {len(kept.items):,} items have no text; they are kept")
    if unclicked:
        found.append(f"{unclicked:,} described items have no interaction left and are not part of the data set")
    if lost:
        found.append(f"{lost:,} held-out interactions of users or items without a training interaction are left out")
    return found


def _tag_counts(tags: TagGraph | None) -> TagCounts | None:
    return None if tags is None else TagCounts(len(tags.tags), len(tags.tag_items), len(tags.tag_edges))


def _write(
    workspace: Path,
    raw: RawData,
    kept: Interactions,
    catalog: Catalog,
    split: Split,
    report: Prepared,
    settings: dict[str, Any],
) -> None:
    inputs = dict(raw.inputs)
    facts = {"report": report.facts()}
    with artifacts.writing(workspace / "dataset", KIND, config=settings, inputs=inputs, facts=facts) as work:
        _events(kept).write_parquet(work / "interactions.parquet")
        write_texts(work, catalog, report)
    split.save(workspace / "split", config=settings, inputs=inputs)
    if raw.tags is not None:
        raw.tags.save(workspace / "tags" / IMPORTED, config=settings, inputs=inputs)


def write_texts(work: Path, catalog: Catalog, report: Prepared) -> None:
    """What the artifact ``dataset/`` holds beside the interactions."""
    catalog.frame.write_parquet(work / "items.parquet")
    (work / "card.md").write_text(report.card.markdown(), encoding="utf-8")


def _events(kept: Interactions) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "user_id": kept.users.texts.gather(kept.user),
        "item_id": kept.items.texts.gather(kept.item),
    }
    if kept.rating is not None:
        columns["rating"] = kept.rating
    if kept.time is not None:
        columns["time"] = kept.time
    return pl.DataFrame(columns)
