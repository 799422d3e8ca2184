"""The three Amazon layouts, each with the oddities its files really have."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hyperllm.data.sources.amazon import read_amazon, record
from hyperllm.errors import DataError

REVIEWS_2014 = [
    {"reviewerID": "A1", "asin": "B1", "helpful": [0, 0], "reviewText": "it's", "overall": 5.0, "unixReviewTime": 20},
    {"reviewerID": "A1", "asin": "B2", "overall": 2.0, "unixReviewTime": 10},
    {"reviewerID": "A2", "asin": "B1", "overall": 4.0, "unixReviewTime": 30},
]
META_2014 = [
    {"asin": "B9", "title": "nobody reviewed it", "categories": [["Beauty"]]},
    {
        "asin": "B1",
        "title": 'Sal&amp;Pepper\'s "best"',
        "description": "Two\nlines <b>bold</b>",
        "brand": "Lux &amp; Co",
        "price": 3.5,
        "related": {"also_bought": ["B2", "B9"]},
        "categories": [["Beauty", "Makeup", "Face"], ["Toys", "Dolls", "Heads", "Hats"]],
    },
    {"asin": "B2", "categories": [["Beauty"]]},
]
REVIEWS_2018 = [{**review, "verified": True, "style": {"Size:": " XL"}} for review in REVIEWS_2014]
META_2018 = [
    {
        "asin": "B1",
        "title": "Salt",
        "category": ["Beauty", "Makeup", "Face"],
        "description": ["Fine", "", "grained"],
        "brand": "Lux",
        "main_cat": "All Beauty",
        "feature": [],
        "also_buy": ["B2"],
    },
    {"asin": "B2", "title": "<script>var aPageStart = (new Date()).getTime();", "category": [], "main_cat": "Luxury"},
    {"asin": "B1", "title": "Salt again"},
]
REVIEWS_2023 = [
    {"user_id": "A1", "asin": "C1", "parent_asin": "B1", "rating": 5.0, "timestamp": 20_000, "title": "good"},
    {"user_id": "A1", "asin": "C2", "parent_asin": "B2", "rating": 2.0, "timestamp": 10_000},
    {"user_id": "A2", "asin": "C3", "parent_asin": "B1", "rating": 4.0, "timestamp": 30_000},
]
META_2023 = [
    {
        "main_category": "All Beauty",
        "title": "Salt",
        "features": ["Fine"],
        "description": ["grained"],
        "store": "Lux",
        "categories": ["Beauty", "Makeup", "Face"],
        "details": {"Brand": "Lux"},
        "parent_asin": "B1",
    },
    {"main_category": "Luxury", "title": "", "features": [], "description": [], "categories": [], "parent_asin": "B2"},
]


def written(path: Path, rows: list[dict[str, Any]], *, literal: bool = False) -> Path:
    text = "".join((repr(row) if literal else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzip"])
def ending(request: pytest.FixtureRequest) -> str:
    return request.param


def require_events(raw: Any, scale: int) -> None:
    events = raw.interactions
    assert events.users.take(events.user) == ["A1", "A1", "A2"]
    assert events.items.take(events.item) == ["B1", "B2", "B1"]
    assert events.rating.tolist() == [5, 2, 4]
    assert events.time.tolist() == [20 * scale, 10 * scale, 30 * scale]


def test_2014_metadata_are_python_literals(tmp_path, ending):
    raw = read_amazon(
        written(tmp_path / f"reviews.json{ending}", REVIEWS_2014),
        written(tmp_path / f"meta.json{ending}", META_2014, literal=True),
    )
    require_events(raw, 1)
    assert raw.reading == {"reviews": "2014"}
    assert raw.catalog.items.ids == ("B1", "B2")
    assert raw.catalog.frame.row(0, named=True) == {
        "item_id": "B1",
        "title": 'Sal&Pepper\'s "best"',
        "description": "Two lines bold",
        "brand": "Lux & Co",
        "categories": ["Beauty", "Makeup", "Face"],
        "attributes": ["Lux & Co", "Makeup", "Face"],
    }
    assert raw.catalog.text(1) == "Beauty."


def test_2018(tmp_path, ending):
    raw = read_amazon(
        written(tmp_path / f"reviews.json{ending}", REVIEWS_2018), written(tmp_path / f"meta.json{ending}", META_2018)
    )
    require_events(raw, 1)
    assert raw.reading == {"reviews": "2018"}
    assert raw.catalog.texts() == ["Salt. Beauty > Makeup > Face. Lux. Fine grained.", "Luxury."]
    assert "1 products stand more than once" in raw.notes[0]


def test_2023(tmp_path, ending):
    raw = read_amazon(
        written(tmp_path / f"reviews.jsonl{ending}", REVIEWS_2023), written(tmp_path / f"meta.jsonl{ending}", META_2023)
    )
    require_events(raw, 1000)
    assert raw.reading == {"reviews": "2023"}
    assert raw.catalog.texts() == ["Salt. Beauty > Makeup > Face. Lux. Fine grained.", "Luxury."]


def test_the_2023_benchmark_is_a_csv(tmp_path):
    header = "user_id,parent_asin,rating,timestamp\n"
    rows = "".join(f"{r['user_id']},{r['parent_asin']},{r['rating']},{r['timestamp']}\n" for r in REVIEWS_2023)
    path = tmp_path / "Beauty.csv.gz"
    path.write_bytes(gzip.compress((header + rows).encode()))
    require_events(read_amazon(path, written(tmp_path / "meta.jsonl", META_2023)), 1000)


def test_without_metadata_items_have_no_text(tmp_path):
    raw = read_amazon(written(tmp_path / "reviews.json", REVIEWS_2014))
    assert raw.catalog.texts() == ["", ""]
    assert set(raw.inputs) == {"reviews"}


@pytest.mark.parametrize("line", ["__import__('os').getcwd()", "[1, 2]", "{'a': open('x')}", "(" * 500, "{"])
def test_a_line_is_read_and_never_run(line):
    with pytest.raises(DataError, match="line 3 of 'f' is neither"):
        record(Path("f"), 3, line)


def broken(row: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [REVIEWS_2014[0], {name: value for name, value in {**row, **changes}.items() if value is not ...}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (broken(REVIEWS_2014[1], overall=...), "line 2 .* has no 'overall'"),
        (broken(REVIEWS_2014[1], overall="five"), "line 2 .* rating 'five'"),
        (broken(REVIEWS_2014[1], overall=float("nan")), "line 2 .* rating nan"),
        (broken(REVIEWS_2014[1], unixReviewTime=None), "line 2 .* time None"),
        ([{"user": 1, "item": 2}], "fields 'user', 'item'; expected 'reviewerID'"),
        ([], "is empty"),
    ],
)
def test_bad_reviews_name_their_line(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_amazon(written(tmp_path / "reviews.json", rows))


def test_metadata_of_another_category_are_refused(tmp_path):
    reviews = written(tmp_path / "reviews.json", REVIEWS_2014)
    other = written(tmp_path / "meta.json", [{"asin": "Z1"}, {"asin": "Z2"}], literal=True)
    with pytest.raises(DataError, match=r"none of the 2 clicked items .*'B1'.*'Z1'"):
        read_amazon(reviews, other)


def test_reviews_given_as_metadata_are_refused(tmp_path):
    reviews = written(tmp_path / "reviews.json", REVIEWS_2014)
    with pytest.raises(DataError, match="has no 'asin' or 'parent_asin'; is it a metadata file"):
        read_amazon(reviews, written(tmp_path / "meta.json", [{"name": "x"}]))


def test_cut_short_gzip(tmp_path):
    path = written(tmp_path / "reviews.json.gz", REVIEWS_2014 * 50)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cut-short gzip"):
        read_amazon(path)
