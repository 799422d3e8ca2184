"""The invented shop: repeatable, readable by `prepare`, as described, and silent about clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hyperllm.data.prepare import PrepareConfig, load_catalog, prepare
from hyperllm.data.sources import planted_words as words
from hyperllm.data.sources.planted import Kinds, Shop, ShopConfig, invent_shop
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError

SMALL = ShopConfig(users=300, items=200, clicks=10)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return invent_shop(SMALL)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_shop(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in invent_shop(SMALL).write(tmp_path / "a")]
    again = [path.read_bytes() for path in invent_shop(SMALL).write(tmp_path / "b")]
    other = [path.read_bytes() for path in invent_shop(ShopConfig(users=300, items=200, seed=1)).write(tmp_path / "c")]
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_each_user_clicks_an_item_once_and_at_least_five_items(shop: Shop) -> None:
    assert shop.clicks.select("user_id", "item_id").is_unique().all()
    counts = shop.clicks.group_by("user_id").len()
    assert len(counts) == SMALL.users
    assert counts["len"].min() == 5
    assert counts["len"].max() > 2 * SMALL.clicks


def test_mean_clicks_and_dislikes_are_those_asked_for(shop: Shop) -> None:
    assert len(shop.clicks) / SMALL.users == pytest.approx(SMALL.clicks, rel=0.15)
    assert (shop.clicks["rating"] < 4).mean() == pytest.approx(SMALL.disliked, abs=0.03)
    assert set(shop.clicks["rating"]) == {1, 2, 3, 4, 5}


def test_every_kind_has_items_and_stands_once_in_the_tree(shop: Shop) -> None:
    kinds = Kinds.of()
    assert len(set(kinds.names)) == len(kinds.names)
    leaves = [name[2] for name in kinds.names]
    assert len(set(leaves)) == len(leaves)
    assert set(shop.kind) == set(range(len(kinds.names)))


def test_tastes_are_places_in_the_tree(shop: Shop) -> None:
    """A user's clicks share departments far more often than chance has it."""
    department = Kinds.of().department[shop.kind]
    rows = [int(item[1:]) - 1 for item in shop.clicks["item_id"]]
    found = shop.clicks.with_columns(pl.Series("department", department[rows]))
    top = (
        found.group_by("user_id", "department").len().group_by("user_id").agg(pl.col("len").max() / pl.col("len").sum())
    )
    assert top["len"].mean() > 0.65
    assert shop.chance.sum(axis=1) == pytest.approx(np.ones(SMALL.users))


def test_clicks_follow_the_planted_chances(shop: Shop) -> None:
    users = [int(user[1:]) - 1 for user in shop.clicks["user_id"]]
    items = [int(item[1:]) - 1 for item in shop.clicks["item_id"]]
    assert shop.chance[users, items].mean() > 5 / SMALL.items


def test_descriptions_betray_the_purpose_that_no_category_names(shop: Shop) -> None:
    purposes = list(words.PURPOSES)
    told = 0
    for row, purpose in zip(shop.items.iter_rows(named=True), shop.purpose.tolist(), strict=True):
        assert not any(name.lower() in row["categories"].lower() for name in purposes)
        if row["description"] is not None:
            told += 1
            assert sum(phrase in row["description"] for phrase in words.PURPOSES[purposes[purpose]]) == 2
    assert 0.8 * SMALL.items < told < SMALL.items


def test_texts_do_not_depend_on_clicks() -> None:
    """Other users, other clicks: not a letter of the catalogue changes."""
    few = invent_shop(ShopConfig(users=50, items=200, clicks=6))
    assert few.items.equals(invent_shop(SMALL).items)
    assert not few.clicks.equals(invent_shop(SMALL).clicks)


def test_some_paths_are_cut_short_or_wrong_but_most_are_right(shop: Shop) -> None:
    names = Kinds.of().names
    right = [" > ".join(names[k]) == path for k, path in zip(shop.kind.tolist(), shop.items["categories"], strict=True)]
    assert 1 - SMALL.bad_paths - 0.08 < np.mean(right) < 1


def test_prepare_finds_all_columns_by_itself(shop: Shop, tmp_path: Path) -> None:
    clicks, items = shop.write(tmp_path / "raw")
    raw = read_table(clicks, items)
    assert not raw.notes
    assert dict(raw.reading) == {
        "user": "user_id",
        "item": "item_id",
        "rating": "rating",
        "time": "timestamp",
        "id": "item_id",
        "title": "title",
        "text": "description",
        "category": "categories",
    }
    report = prepare(tmp_path / "work", raw, config=PrepareConfig(core=3))
    assert report.card.users > 0.9 * SMALL.users
    catalog = load_catalog(tmp_path / "work")
    assert set(catalog.frame["categories"].list.len()) <= {1, 2, 3}
    assert catalog.has_text().all()


@pytest.mark.parametrize(
    ("settings", "found"), [({"items": 5}, "5 items"), ({"users": 0}, "0 users"), ({"clicks": 2.0}, "clicks is 2.0")]
)
def test_a_shop_that_cannot_be_says_why(settings: dict[str, float], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        ShopConfig(**settings)  # type: ignore[arg-type]
