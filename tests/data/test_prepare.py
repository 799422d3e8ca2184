"""From raw data to artifacts: the report, what is skipped, and that bad input leaves everything as it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import PrepareConfig, Prepared, load_catalog, load_report, load_split, prepare
from hyperllm.data.sources.published import read_published
from hyperllm.data.sources.table import read_table
from hyperllm.data.split import PARTS
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_artifacts_and_report(tmp_path, shop):
    report = prepare(tmp_path / "w", read_table(*shop))
    assert report.text().splitlines() == [
        "6 users, 6 items, 36 interactions, density 100.0000%",
        "train / valid / test: 24 / 6 / 6",
        "5-core: 0 interactions, 0 users, 0 items dropped",
        "repeated pairs (kept the first): 0 interactions, 0 users, 0 items dropped",
    ]
    assert artifacts.read(tmp_path / "w" / "dataset", "dataset").config["core"] == 5
    assert sorted(path.name for path in (tmp_path / "w" / "dataset").iterdir()) == [
        *("card.md", "interactions.parquet", "items.parquet", "manifest.json")
    ]
    assert "| Users | 6 |" in (tmp_path / "w" / "dataset" / "card.md").read_text()


def test_what_was_written_is_read_back(tmp_path, shop):
    report = prepare(tmp_path, read_table(*shop))
    split, catalog = load_split(tmp_path), load_catalog(tmp_path)
    assert catalog.items == split.items
    assert catalog.texts()[0] == "Thing 0. All > Kind 0."
    assert {name: len(split.part(name)) for name in PARTS} == dict(report.parts)
    events = pl.read_parquet(tmp_path / "dataset" / "interactions.parquet")
    assert events.columns == ["user_id", "item_id"]
    assert events.height == 36
    assert load_report(tmp_path) == report


def test_the_same_again_is_skipped_and_says_so(tmp_path, shop):
    first = prepare(tmp_path, read_table(*shop))
    before = state(tmp_path)
    again = prepare(tmp_path, read_table(*shop))
    assert again.skipped
    assert not first.skipped
    assert again == first
    assert again.text().endswith("nothing to do: the workspace is current")
    assert state(tmp_path) == before


@pytest.mark.parametrize("config", [PrepareConfig(seed=1), PrepareConfig(core=2), PrepareConfig(duplicates="last")])
def test_other_settings_are_not_skipped(tmp_path, shop, config):
    prepare(tmp_path, read_table(*shop))
    assert not prepare(tmp_path, read_table(*shop), config=config).skipped


def test_other_files_or_columns_are_not_skipped(tmp_path, shop):
    clicks, items = shop
    prepare(tmp_path, read_table(*shop))
    assert not prepare(tmp_path, read_table(clicks, items, title_column="categories")).skipped
    items.write_text(items.read_text().replace("Thing 0", "Other"))
    assert not prepare(tmp_path, read_table(clicks, items)).skipped
    assert load_catalog(tmp_path).texts()[0].startswith("Other")


def test_a_lost_split_is_made_again(tmp_path, shop):
    prepare(tmp_path, read_table(*shop))
    (tmp_path / "split" / "manifest.json").unlink()
    assert not prepare(tmp_path, read_table(*shop)).skipped
    assert len(load_split(tmp_path).train) == 24


def rated(tmp_path: Path, rating: list[float], name: str = "rated.csv") -> Path:
    path = tmp_path / name
    pairs = [(u, i) for u in range(6) for i in range(6)]
    rows = "".join(f"u{u},i{i},{rating[(u + i) % len(rating)]}\n" for u, i in pairs)
    path.write_text("user_id,item_id,rating\n" + rows)
    return path


def test_four_is_the_threshold_only_where_there_are_ratings(tmp_path):
    report = prepare(tmp_path / "w", read_table(rated(tmp_path, [5, 4, 4, 4, 4, 3])))
    assert str(report.dropped[0]) == "rating >= 4: 6 interactions, 0 users, 0 items dropped"
    assert report.card.interactions == 30
    milder = prepare(
        tmp_path / "w", read_table(rated(tmp_path, [5, 4, 4, 4, 4, 3])), config=PrepareConfig(min_rating=3)
    )
    assert milder.card.interactions == 36


def test_items_without_text_are_kept_and_reported(tmp_path, shop):
    clicks, items = shop
    items.write_text("item_id,title\ni0,Lamp\ni1,\nextra,Chair\n")
    report = prepare(tmp_path / "w", read_table(clicks, items))
    assert report.card.items == 6
    assert report.card.items_without_text == 5
    assert report.warnings == (
        "5 of 6 items have no text; they are kept",
        "1 described items have no interaction left and are not part of the data set",
    )
    assert "warning: 5 of 6 items have no text" in report.text()


def test_hard_ids_survive_the_whole_way(tmp_path):
    users = ["007", "7", 'a "b", c', "two\nlines", "Ünï", " x "]
    frame = pl.DataFrame({"user_id": [u for u in users for _ in range(6)], "item_id": [f"0{i}" for i in range(6)] * 6})
    frame.write_csv(tmp_path / "c.csv")
    prepare(tmp_path / "w", read_table(tmp_path / "c.csv"))
    split = load_split(tmp_path / "w")
    assert set(split.users.ids) == set(users)
    assert split.items.ids == tuple(f"0{i}" for i in range(6))


def test_leave_one_out_takes_a_per_user_order_and_time_does_not(tmp_path):
    frame = pl.DataFrame({"user_id": [u for u in "abcde" for _ in range(5)], "item_id": list("vwxyz") * 5})
    raw = read_table(frame.with_columns(order=pl.Series(list(range(5)) * 5)))
    report = prepare(tmp_path, raw, config=PrepareConfig(split="leave-one-out"))
    assert dict(report.parts) == {"train": 15, "valid": 5, "test": 5}
    assert set(load_split(tmp_path).items.take(load_split(tmp_path).test.item)) == {"z"}
    with pytest.raises(DataError, match=r"'order' only numbers each user's own events.*--time-column"):
        prepare(tmp_path, raw, config=PrepareConfig(split="time"))


def test_time_reports_what_it_leaves_out(tmp_path):
    pairs = [(f"u{u}", f"i{i}") for u in range(5) for i in range(5)]
    frame = pl.DataFrame({"user_id": [u for u, _ in pairs], "item_id": [i for _, i in pairs], "time": range(100, 125)})
    report = prepare(tmp_path, read_table(frame), config=PrepareConfig(split="time"))
    assert report.parts["train"] == 20
    assert "5 held-out interactions of users or items without a training interaction" in report.warnings[-1]


def bad_inputs(folder: Path) -> dict[str, tuple[str, str, PrepareConfig]]:
    """Name -> content of the click file, message, settings."""
    grid = "".join(f"u{u},i{i},{1 + i % 3}\n" for u in range(6) for i in range(6))
    head = "user_id,item_id,rating\n"
    usual = PrepareConfig()
    return {
        "missing column": ("a,b\n1,2\n", "--user-column", usual),
        "no rating reaches the threshold": (head + grid, "run from 1 to 3", usual),
        "empty core": (head + grid, "core of the .* is empty", PrepareConfig(min_rating=1, core=7)),
        "NaN rating": (head + grid + "u1,i1,NaN\n", "data row 37", usual),
        "missing id": (head + ",i1,5\n", "1 user ids", usual),
        "a threshold without ratings": ("user_id,item_id\nu,i\n", "--rating-column", PrepareConfig(min_rating=4)),
        "time without times": ("user_id,item_id\nu,i\n", "--time-column", PrepareConfig(core=1, split="time")),
        "empty file": ("", "is empty", usual),
    }


@pytest.mark.parametrize("case", bad_inputs(Path()))
def test_bad_input_is_one_sentence_and_changes_nothing(tmp_path, shop, case):
    prepare(tmp_path / "w", read_table(*shop))
    before = state(tmp_path / "w")
    content, message, config = bad_inputs(tmp_path)[case]
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        prepare(tmp_path / "w", read_table(tmp_path / "bad.csv"), config=config)
    assert "\n" not in str(caught.value)
    assert state(tmp_path / "w") == before


def test_settings_are_checked_at_construction():
    shares = [{"cold_items": share} for share in (-0.1, 1.0, float("nan"))]
    for wrong in ({"split": "random"}, {"duplicates": "median"}, {"core": -1}, {"seed": -1}, *shares):
        with pytest.raises(ConfigError):
            PrepareConfig(**wrong)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Four items, one never clicked; five pairs in three parts; one tag."""
    source = tmp_path / "p"
    source.mkdir()
    parts = {"train": "0\t0\n0\t1\n1\t0\n", "valid": "0\t2\n", "test": "1\t2\n"}
    for name, rows in parts.items():
        (source / f"{name}.tsv").write_text("user_id\titem_id\n" + rows)
    (source / "items.tsv").write_text("item_id\ttitle\n0\tLamp\n1\tChair\n2\tBed\n3\tnever clicked\n")
    (source / "tags.tsv").write_text("tag_id\ttag\n0\tx\n")
    (source / "tag_items.tsv").write_text("tag_id\titem_id\n0\t3\n")
    (source / "tag_edges.tsv").write_text("tag_id_a\ttag_id_b\n0\t0\n")
    return source


def test_cold_items_are_tested_alone_and_what_is_left_out_is_counted(tmp_path, shop):
    config = PrepareConfig(cold_items=0.3, seed=2)
    report = prepare(tmp_path / "w", read_table(*shop), config=config)
    split = load_split(tmp_path / "w")
    assert len(set(split.test.item.tolist())) == 2
    assert not set(split.test.item.tolist()) & {*split.train.item.tolist(), *split.valid.item.tolist()}
    assert report.cold is not None
    assert (report.cold.items, report.cold.tested) == (2, 12)
    assert report.card.interactions == sum(report.parts.values()) + report.cold.left_out == 36
    assert "cold items: 2, unknown in training; their 12 interactions are the test part; " in report.text()
    assert load_report(tmp_path / "w") == report
    assert prepare(tmp_path / "w", read_table(*shop), config=config).skipped
    assert not prepare(tmp_path / "w", read_table(*shop), config=PrepareConfig(seed=2)).skipped


def test_settings_without_cold_items_are_recorded_as_before_there_were_any(tmp_path, shop, published):
    prepare(tmp_path / "table", read_table(*shop), config=PrepareConfig(seed=3))
    prepare(tmp_path / "kept", read_published(published), config=PrepareConfig(seed=3), source="published")
    told = [artifacts.read(tmp_path / name / "split", "split").config for name in ("table", "kept")]
    usual = {"min_rating": None, "core": 5, "split": "per-user", "duplicates": "first", "seed": 3, "source": "table"}
    assert {name: value for name, value in told[0].items() if name != "reading"} == usual
    assert told[1] == {"source": "published", "reading": {"layout": "published"}}


def test_a_report_from_before_there_were_cold_items_is_read(tmp_path, shop):
    report = prepare(tmp_path, read_table(*shop))
    facts = report.facts()
    assert facts.pop("cold") is None
    assert Prepared.from_facts(facts, skipped=False) == report


def test_items_of_a_published_split_are_made_cold_by_the_seed(tmp_path, published):
    raw, config = read_published(published), PrepareConfig(cold_items=0.25, core=99, seed=1)
    report = prepare(tmp_path / "w", raw, config=config, source="published")
    split = load_split(tmp_path / "w")
    assert report.cold is not None
    assert report.cold.items == 1
    assert len(set(split.test.item.tolist())) == 1
    assert split.items.ids == ("0", "1", "2", "3")
    told = artifacts.read(tmp_path / "w" / "split", "split").config
    assert set(told) == {"cold_items", "seed", "source", "reading"}
    assert prepare(tmp_path / "w", raw, config=PrepareConfig(cold_items=0.25, seed=1), source="published").skipped


def test_a_published_split_is_kept_and_not_filtered(tmp_path, published):
    work = tmp_path / "w"
    report = prepare(work, read_published(published), config=PrepareConfig(core=99), source="published")
    assert dict(report.parts) == {"train": 3, "valid": 1, "test": 1}
    assert report.dropped == ()
    assert report.card.items == 4
    assert "imported 1 tags, 1 tag-item pairs, 1 tag-tag edges" in report.text()
    assert prepare(work, read_published(published), config=PrepareConfig(core=1), source="published").skipped
    assert TagGraph.load(work / "tags" / "published").level.tolist() == [-1]
    assert load_report(work) == report


def test_the_report_is_read_back_from_its_facts(tmp_path, shop):
    report = prepare(tmp_path, read_table(*shop))
    assert Prepared.from_facts(report.facts(), skipped=False) == report


@pytest.mark.data
def test_toys_gives_the_papers_counts(tmp_path, real_data):
    toys = real_data / "amazon-toys"
    report = prepare(tmp_path, read_table(toys / "ratings.tsv", toys / "items.tsv"))
    card = report.card
    assert (card.users, card.items, card.interactions) == (11_268, 7_309, 95_420)
    assert round(card.density * 100, 2) == 0.12
    assert card.items_without_text == 0
    assert sum(report.parts.values()) == 95_420


@pytest.mark.data
def test_published_beauty_gives_the_papers_counts(tmp_path, real_data):
    report = prepare(tmp_path, read_published(real_data / "amazon-beauty"), source="published")
    card = report.card
    assert (card.users, card.items, card.interactions) == (10_553, 6_086, 94_148)
    assert dict(report.parts) == {"train": 70_614, "valid": 11_767, "test": 11_767}
    assert (report.tags.tags, report.tags.tag_item_pairs, report.tags.tag_tag_edges) == (6_418, 51_396, 16_739)
    assert round(card.density * 100, 2) == 0.15


def test_dropped_items_nobody_described_are_no_warning(tmp_path):
    frame = pl.DataFrame({"user_id": list("aabbc"), "item_id": list("xyxyz")})
    report = prepare(tmp_path, read_table(frame), config=PrepareConfig(core=2))
    assert report.card.items == 2
    assert report.warnings == ("2 of 2 items have no text; they are kept",)
