"""A shop that our own code invents: a planted tree of tastes, so that there is a right answer to look for.

Knows how to draw items with texts and users with clicks from a seed, and how to write them as two CSV files. Does not
know any model, and puts nothing into a text that depends on a click.

The world. Items hang from the kinds (leaves) of `planted_words.TREE`; each also serves a purpose that no category
names, only two phrases of its description. A user's taste is a place in the tree, spread more or less widely: so much
for one kind, so much for its category, its department, the whole shop; some users have a second place, mostly near the
first. A user also leans towards one purpose. Within a kind, popular items and items of the favoured purpose get more
clicks. As in real shops some category paths are cut short or wrong, some descriptions are missing, brands overlap, and
ratings are mostly but not always good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.data.sources import planted_words as words
from hyperllm.errors import ConfigError
from hyperllm.ids import Rows

FIRST_SECOND = 1_640_995_200  # 2022-01-01, UTC
SPAN_S = 2 * 365 * 86_400


@dataclass(frozen=True)
class ShopConfig:
    """Size and temper of the shop."""

    users: int = 2400
    items: int = 1800
    clicks: float = 9.0
    """Mean clicks a user, before ratings and 5-core thin them out; at least 5, with a long tail."""
    spread: tuple[float, float, float, float] = (2.0, 2.0, 1.0, 0.3)
    """How a taste spreads, on average, over its kind, category, department and the shop (Dirichlet weights)."""
    two_tastes: float = 0.4
    """Share of users with a second place in the tree."""
    purpose_pull: float = 4.0
    """How many times likelier an item of the favoured purpose is within its kind."""
    popularity: float = 0.7
    """Standard deviation of the logarithm of an item's appeal."""
    bad_paths: float = 0.15
    """Share of items whose category path is cut short or wrong."""
    no_description: float = 0.08
    """Share of items without a description."""
    disliked: float = 0.1
    """Share of events rated below 4."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.users < 1 or self.items < len(Kinds.of().names):
            raise ConfigError(
                f"the shop has {self.users:,} users and {self.items:,} items; expected at least one user, and an item "
                f"for each of its {len(Kinds.of().names)} kinds"
            )
        if self.clicks < 5:
            raise ConfigError(f"clicks is {self.clicks!r}; expected at least 5")


@dataclass(frozen=True)
class Kinds:
    """The leaves of the tree: ``names[k]`` is (department, category, kind), ``things[k]`` what is sold there.

    ``category`` (k,) and ``department`` (k,) number the nodes above.
    """

    names: tuple[tuple[str, str, str], ...]
    things: tuple[tuple[str, ...], ...]
    category: Rows
    department: Rows

    @classmethod
    def of(cls) -> Kinds:
        """The leaves of `planted_words.TREE`, in its order."""
        leaves = [
            (department, category, kind, things)
            for department, categories in words.TREE.items()
            for category, kinds in categories.items()
            for kind, things in kinds.items()
        ]
        names = tuple(leaf[:3] for leaf in leaves)
        return cls(
            names,
            tuple(tuple(leaf[3].split(", ")) for leaf in leaves),
            _numbered([name[:2] for name in names]),
            _numbered([name[:1] for name in names]),
        )


@dataclass(frozen=True)
class Shop:
    """Tables ``clicks`` (user_id, item_id, rating, timestamp) and ``items`` (item_id, title, brand, categories,
    description), and the hidden truth: ``kind`` (items,) and ``purpose`` (items,) of items, ``chance`` (users, items)
    of users: how likely a first click is, rows add up to one.
    """

    clicks: pl.DataFrame
    items: pl.DataFrame
    kind: Rows
    purpose: Rows
    chance: npt.NDArray[np.float64]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``clicks.csv`` and ``items.csv`` into ``folder``; equal tables give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        clicks, items = folder / "clicks.csv", folder / "items.csv"
        self.clicks.write_csv(clicks)
        self.items.write_csv(items)
        return clicks, items


def invent_shop(config: ShopConfig | None = None) -> Shop:
    """Draw a shop; the same settings give the same shop."""
    config = config or ShopConfig()
    kinds = Kinds.of()
    shelf, text, people, events = (np.random.default_rng([config.seed, stream]) for stream in range(4))
    kind = shelf.permutation(np.arange(config.items) % len(kinds.names)).astype(np.int64)
    purpose = shelf.integers(len(words.PURPOSES), size=config.items)
    appeal = np.exp(config.popularity * shelf.standard_normal(config.items))
    leaning = people.integers(len(words.PURPOSES), size=config.users)
    chance = _tastes(kinds, config, people)[:, kind] / np.bincount(kind)[kind]
    chance *= appeal * np.where(purpose == leaning[:, None], config.purpose_pull, 1.0)
    chance /= chance.sum(axis=1, keepdims=True)
    clicks = _events(_drawn(chance, config, events), config, events)
    return Shop(clicks, _texts(kinds, kind, purpose, config, text), kind, purpose, chance)


def _numbered(values: list[Any]) -> Rows:
    order = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return np.array([order[value] for value in values], dtype=np.int64)


def _tastes(kinds: Kinds, config: ShopConfig, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(users, kinds): the share of each kind in a user's taste."""
    liking = np.exp(0.5 * rng.standard_normal(len(kinds.names)))
    first = rng.choice(len(liking), size=config.users, p=liking / liking.sum())
    second = np.array([_second(kinds, int(place), rng) for place in first])
    two = (rng.random(config.users) < config.two_tastes)[:, None]
    share = rng.uniform(0.3, 0.7, size=(config.users, 1))
    spread = rng.dirichlet(config.spread, size=config.users)
    main, other = _around(kinds, first, spread), _around(kinds, second, spread)
    return np.where(two, share * main + (1 - share) * other, main)


def _second(kinds: Kinds, first: int, rng: np.random.Generator) -> int:
    """Another kind: half of the time of the same category, then of the same department, seldom from elsewhere."""
    how = rng.random()
    above = kinds.category if how < 0.5 else kinds.department
    near = above == above[first] if how < 0.85 else np.ones(len(above), dtype=bool)
    near[first] = False
    return int(rng.choice(np.flatnonzero(near)))


def _around(kinds: Kinds, place: Rows, spread: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(users, kinds): ``spread`` (users, 4) over the kind ``place`` (users,) and all above it."""
    found = np.full((len(place), len(kinds.names)), 1.0 / len(kinds.names)) * spread[:, 3:]
    for column, above in enumerate((np.arange(len(kinds.names)), kinds.category, kinds.department)):
        inside = above[place][:, None] == above
        found += spread[:, column : column + 1] * inside / inside.sum(axis=1, keepdims=True)
    return found


def _drawn(chance: npt.NDArray[np.float64], config: ShopConfig, rng: np.random.Generator) -> Rows:
    """(clicks, 2) of user and item, each pair at most once: one after the other by ``chance`` (Gumbel's trick)."""
    counts = 5 + np.round(rng.exponential(config.clicks - 5, size=len(chance))).astype(np.int64)
    order = np.argsort(-(np.log(chance) + rng.gumbel(size=chance.shape)), axis=1, kind="stable")
    return np.array([(user, item) for user, row in enumerate(order) for item in row[: counts[user]]], dtype=np.int64)


def _events(pairs: Rows, config: ShopConfig, rng: np.random.Generator) -> pl.DataFrame:
    """Ratings, and times in which a user's clicks come as a few visits."""
    rating = np.where(
        rng.random(len(pairs)) < config.disliked, rng.integers(1, 4, len(pairs)), rng.integers(4, 6, len(pairs))
    )
    joined = rng.integers(0, SPAN_S // 2, size=config.users)
    gap = rng.exponential(SPAN_S / 4, size=len(pairs)).astype(np.int64)
    time = FIRST_SECOND + np.minimum(joined[pairs[:, 0]] + gap, SPAN_S)
    table = {
        "user_id": [f"u{user + 1:04d}" for user in pairs[:, 0]],
        "item_id": [f"i{item + 1:04d}" for item in pairs[:, 1]],
        "rating": rating.astype(np.int64),
        "timestamp": time,
    }
    return pl.DataFrame(table).sort("timestamp", "user_id", "item_id")


def _texts(kinds: Kinds, kind: Rows, purpose: Rows, config: ShopConfig, rng: np.random.Generator) -> pl.DataFrame:
    brands = _brands(kinds, rng)
    phrases = tuple(words.PURPOSES.values())
    rows: list[dict[str, str | None]] = []
    for number, (k, p) in enumerate(zip(kind.tolist(), purpose.tolist(), strict=True)):
        noun, quality = _one(kinds.things[k], rng), _one(words.QUALITIES, rng)
        brand = _one(brands[k], rng)
        about = _one(words.ABOUT, rng).format(
            noun=noun, quality=quality, kind=kinds.names[k][2].lower(), category=kinds.names[k][1].lower(), brand=brand
        )
        pleas = [f"{phrase}." for phrase in rng.permutation(phrases[p])[:2]]
        told = [about, *pleas, _one(words.SMALL_TALK, rng)]
        path = _path(kinds, k, config, rng)
        silent = rng.random() < config.no_description
        rows.append(
            {
                "item_id": f"i{number + 1:04d}",
                "title": f"{brand} {quality} {noun}",
                "brand": brand,
                "categories": " > ".join(path),
                "description": None if silent else " ".join(told),
            }
        )
    return pl.DataFrame(rows)


def _path(kinds: Kinds, kind: int, config: ShopConfig, rng: np.random.Generator) -> tuple[str, ...]:
    """The category path, cut short or of a neighbouring kind now and then."""
    if rng.random() >= config.bad_paths:
        return kinds.names[kind]
    if rng.random() < 0.7:
        return kinds.names[kind][: int(rng.integers(1, 3))]
    return kinds.names[int(rng.choice(np.flatnonzero(kinds.category == kinds.category[kind])))]


def _brands(kinds: Kinds, rng: np.random.Generator) -> list[list[str]]:
    """Per kind: two brands of its category, two of its department and one of another."""
    names = [head + tail for head in words.BRAND_HEADS for tail in words.BRAND_TAILS]
    order = rng.permutation(len(names)).tolist()
    departments = int(kinds.department.max()) + 1

    def brand(place: int) -> str:
        return names[order[place % len(order)]]

    found: list[list[str]] = []
    for category, department in zip(kinds.category.tolist(), kinds.department.tolist(), strict=True):
        own = [brand(2 * departments + 2 * category + offset) for offset in range(2)]
        house = [brand(2 * department + offset) for offset in range(2)]
        found.append([*own, *house, brand(2 * int(rng.integers(departments)))])
    return found


def _one(choices: Any, rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]
