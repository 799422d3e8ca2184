"""The published layout: kept exactly, and refused where it contradicts itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hyperllm.data.sources.published import read_published
from hyperllm.errors import DataError, UnknownId

FILES = {
    "train.tsv": "user_id\titem_id\n0\t0\n0\t1\n10\t0\n",
    "valid.tsv": "user_id\titem_id\n0\t2\n",
    "test.tsv": "user_id\titem_id\n2\t9\n",
    "items.tsv": (
        "item_id\tasin\ttitle\tcategories\tattributes\n"
        '0\tB0\t"5"" ""lamp"""\tHome > Light | Toys > Dolls\tClean &; Clear; Light\n'
        "10\tB1\tChair\t\t\n"
        "2\tB2\tTable\tHome\tHome\n"
    ),
    "tags.tsv": "tag_id\ttag\n10\tlamp\n9\tlight\n",
    "tag_items.tsv": "tag_id\titem_id\n10\t0\n9\t0\n9\t2\n",
    "tag_edges.tsv": "tag_id_a\ttag_id_b\n9\t10\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_vocabularies_hold_all_ids_in_numeric_order(folder):
    split = read_published(folder).interactions
    assert split.users.ids == ("0", "2", "10")
    assert split.items.ids == ("0", "1", "2", "9", "10")


def test_the_split_is_kept(folder):
    split = read_published(folder).interactions
    named = {
        part: list(zip(split.users.take(pairs.user), split.items.take(pairs.item), strict=True))
        for part, pairs in (("train", split.train), ("valid", split.valid), ("test", split.test))
    }
    assert named == {"train": [("0", "0"), ("0", "1"), ("10", "0")], "valid": [("0", "2")], "test": [("2", "9")]}


def test_items_keep_quotes_first_path_and_attributes(folder):
    catalog = read_published(folder).catalog
    assert catalog.frame.row(0, named=True) == {
        "item_id": "0",
        "title": '5" "lamp"',
        "description": None,
        "brand": "Clean & Clear",
        "categories": ["Home", "Light"],
        "attributes": ["Clean &", "Clear", "Light"],
    }
    assert catalog.has_text().tolist() == [True, False, True, False, True]


def test_tags_are_taken_as_they_are(folder):
    tags = read_published(folder).tags
    assert tags.tags.ids == ("9", "10")
    assert tags.names == ("light", "lamp")
    assert tags.level.tolist() == [-1, -1]
    assert tags.tag_items.tolist() == [[1, 0], [0, 0], [0, 2]]
    assert tags.tag_edges.tolist() == [[0, 1]]
    assert not tags.directed


def test_tags_and_most_columns_are_optional(folder):
    for name in ("tags.tsv", "tag_items.tsv", "tag_edges.tsv"):
        (folder / name).unlink()
    (folder / "items.tsv").write_text("item_id\ttitle\n0\tLamp\n")
    raw = read_published(folder)
    assert raw.tags is None
    assert raw.catalog.take(raw.interactions.items).texts() == ["Lamp.", "", "", ""]
    assert set(raw.inputs) == {"train.tsv", "valid.tsv", "test.tsv", "items.tsv"}


CONTRADICTIONS = {
    "no train": ("train.tsv", None, r"train\.tsv' does not exist"),
    "no items": ("items.tsv", None, r"items\.tsv' does not exist"),
    "two of three tag files": ("tag_edges.tsv", None, r"no tag_edges\.tsv; give all three"),
    "no item column": (
        "valid.tsv",
        "user_id\tasin\n0\t1\n",
        r"valid\.tsv .* no column 'item_id'; it has 'user_id', 'asin'",
    ),
    "no title column": ("items.tsv", "item_id\tname\n0\tx\n", "no column 'title'"),
    "an id missing": ("test.tsv", "user_id\titem_id\n\t1\n", r"1 user ids .*test\.tsv are missing"),
    "a pair twice": ("train.tsv", "user_id\titem_id\n0\t0\n0\t0\n", r"train\.tsv repeats .*\('0', '0'\).* data row 1"),
    "a pair in two parts": ("valid.tsv", "user_id\titem_id\n0\t1\n", "train, valid and test together repeats"),
    "an item twice": ("items.tsv", "item_id\ttitle\n0\ta\n0\tb\n", r"items\.tsv repeats item_id"),
    "a tag twice": ("tags.tsv", "tag_id\ttag\n9\ta\n9\tb\n", r"tags\.tsv repeats tag_id"),
    "a comma for a tab": ("train.tsv", "user_id,item_id\n0,0\n", "divided by tabs"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused(folder, case):
    name, text, message = CONTRADICTIONS[case]
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_published(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tag_items.tsv", "tag_id\titem_id\n9\t77\n", r"unknown item_id in tag_items\.tsv '77'"),
        ("tag_items.tsv", "tag_id\titem_id\n8\t0\n", r"unknown tag_id in tag_items\.tsv '8'"),
        ("tag_edges.tsv", "tag_id_a\ttag_id_b\n9\t8\n", r"unknown tag_id_b in tag_edges\.tsv '8'"),
    ],
)
def test_unknown_ids_of_tag_files_are_named(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(UnknownId, match=message):
        read_published(folder)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        read_published(tmp_path / "absent")


@pytest.mark.data
def test_published_beauty(real_data):
    raw = read_published(real_data / "amazon-beauty")
    split, tags = raw.interactions, raw.tags
    assert (len(split.users), len(split.items)) == (10_553, 6_086)
    assert (len(split.train), len(split.valid), len(split.test)) == (70_614, 11_767, 11_767)
    assert (len(tags.tags), len(tags.tag_items), len(tags.tag_edges)) == (6_418, 51_396, 16_739)
    assert split.items.ids == tuple(str(n) for n in range(6_086))
    assert tags.names[:2] == ("Beauty", "Face")
    assert raw.catalog.has_text().all()
    assert np.isin(np.arange(6_086), tags.tag_items[:, 1]).all()
