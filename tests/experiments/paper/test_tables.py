"""The four tables: what a small workspace counts, and which rows there are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hyperllm.data.card import TOKENIZER
from hyperllm.data.catalog import SCHEMA, Catalog
from hyperllm.data.prepare import load_report, prepare
from hyperllm.data.sources.raw import RawData
from hyperllm.errors import ConfigError, Incomplete
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.sheet import UNTRAINED, Measured, Sheet
from hyperllm.experiments.paper.tables import PLAIN, dataset, table1_sheet, table2_sheet, table3_sheet, table4_sheet
from hyperllm.extraction import profiles
from hyperllm.extraction.profiles import ItemProfile, Origin, UserProfile
from hyperllm.testing import tree_world

WORLD = tree_world(depth=2, seed=3)
SOME = {"recall@20": Measured(0.1)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with tags ``published`` and ``mine``; the latter come with two items' and one user's summaries."""
    folder = tmp_path_factory.mktemp("paper") / "shop"
    rows = [{"item_id": v, "title": f"thing {v}", "categories": [], "attributes": []} for v in WORLD.split.items.ids]
    catalog = Catalog.of(pl.DataFrame(rows, schema=SCHEMA))
    prepare(folder, RawData(WORLD.split, catalog, WORLD.tags), source="published")
    WORLD.tags.save(folder / "tags" / "mine", config={}, inputs={})
    items = [ItemProfile(name, text, ((), (), ()), (), Origin("m")) for name, text in (("a", "one two."), ("b", "one"))]
    users = [UserProfile("u", "one two three four five", Origin("m"))]
    profiles.save(folder / "profiles" / "mine", items, users, config={}, inputs={})
    return folder


def values(sheet: Sheet) -> dict[str, float | None]:
    return {row.name: row.cells["value"].value for row in sheet.rows}


def keys(sheet: Sheet) -> list[tuple[str, str]]:
    return [(row.group, row.name) for row in sheet.rows if not row.derived]


def test_table_1_is_the_data_card(shop: Path) -> None:
    sheet, card = table1_sheet(shop), load_report(shop).card
    assert values(sheet) == {
        "users": card.users,
        "items": card.items,
        "interactions": card.interactions,
        "density": card.density,
        "features": card.items,
        "mean_tokens": card.mean_tokens,
    }
    assert any(TOKENIZER in note for note in sheet.notes)
    assert sheet.columns[0].title == "Here"


def test_table_2_counts_tags_and_the_words_of_all_summaries(shop: Path) -> None:
    sheet, tags = table2_sheet(shop, "mine"), WORLD.tags
    assert values(sheet) == {
        "tags": len(tags.tags),
        "tag_item_pairs": len(tags.tag_items),
        "tag_tag_edges": len(tags.tag_edges),
        "summary_tokens": pytest.approx((3 + 1 + 5) / 3),
    }
    assert any("items 2, users 5" in note for note in sheet.notes)


def test_table_2_says_what_is_missing(shop: Path) -> None:
    imported = table2_sheet(shop)  # an import is what no name means
    assert [row.missing for row in imported.rows] == ["", "", "", "no summaries with 'published'"]
    without = table2_sheet(shop, "none")
    assert {row.missing for row in without.rows} == {"no tags"}
    assert set(values(without).values()) == {None}


def test_nothing_is_published_of_a_users_own_data(shop: Path) -> None:
    assert dataset(shop) == ""
    for sheet in (table1_sheet(shop), table2_sheet(shop), table3_sheet("", {("hgcf", "base"): SOME})):
        assert not any(sheet.is_published(column.name) for column in sheet.columns)
        assert not any("paper prints" in note for note in sheet.notes)


def test_a_folder_that_is_no_workspace_is_refused(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(Incomplete):
        table1_sheet(tmp_path)
    with pytest.raises(ConfigError, match="no set 'mime'"):
        table2_sheet(shop, "mime")


def test_tables_3_and_4_have_the_papers_rows_before_anything_is_trained() -> None:
    third, fourth = table3_sheet("toys", {}), table4_sheet("toys", {})
    assert keys(third) == [(b, v) for b in facts.BACKBONES for v in facts.VARIANTS]
    assert keys(fourth) == [(b, f) for b in facts.BACKBONES for f in facts.FRAMEWORKS]
    assert {row.missing for row in third.rows if not row.derived} == {UNTRAINED}
    assert third.numbers("recall@20")[0].published == 0.1211


def test_each_table_takes_its_own_rows_and_plain_ones_come_last() -> None:
    measured = {
        (PLAIN, "ease"): SOME,
        ("hgcf", "structural"): SOME,
        ("hgcf", "alpharec"): SOME,
        ("lgcf", "base"): SOME,
        (PLAIN, "popularity"): SOME,
    }
    missing = {("hicf", "herec"): "diverged in epoch 1"}
    third, fourth = (make("beauty", measured, missing=missing) for make in (table3_sheet, table4_sheet))
    assert keys(third)[20:] == [("lgcf", "base"), (PLAIN, "ease"), (PLAIN, "popularity")]
    assert keys(fourth)[4:6] == [("hgcf", "alpharec"), ("hgcf", "hyperllm")]
    assert keys(fourth)[-3:] == [("lgcf", "base"), (PLAIN, "ease"), (PLAIN, "popularity")]
    assert ("hicf", "herec") in keys(fourth)
    assert ("hgcf", "structural") not in keys(fourth)


def test_table_3_ends_with_the_gains_of_section_5_2() -> None:
    measured = {key: {m: Measured(v) for m, v in row.items()} for key, row in facts.table3("toys").items()}
    summary = table3_sheet("toys", measured).summary
    assert summary is not None
    cells = {row.name: row.cells for row in summary.rows}
    assert cells["hgcf"]["maximum"].value == pytest.approx(0.3526, abs=0.0001)
    assert cells["hgcf"]["stated_mean"].value == 0.255
    own = table3_sheet("shop", measured).summary
    assert own is not None
    assert [column.name for column in own.columns] == ["mean", "maximum"]


@pytest.mark.data
def test_beauty_is_recognised_by_its_size(real_data: Path, tmp_path: Path) -> None:
    from hyperllm.data.sources.published import read_published

    prepare(tmp_path / "shop", read_published(real_data / "amazon-beauty"), source="published")
    assert dataset(tmp_path / "shop") == "beauty"
    for sheet in (table1_sheet(tmp_path / "shop"), table2_sheet(tmp_path / "shop")):
        agree = [row.name for row in sheet.rows if row.cells["value"].value == row.cells["value"].published]
        assert agree == ["users", "items", "interactions"] or agree == ["tags", "tag_item_pairs", "tag_tag_edges"]
