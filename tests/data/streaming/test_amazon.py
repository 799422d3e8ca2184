"""Amazon dumps prepared a block at a time are what they are in memory, odd lines and complaints included."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.streaming.test_prepare import HELD_OUT, PLANS, TINY, both, files

from hyperllm.cli import main
from hyperllm.data.prepare import Prepared
from hyperllm.data.sources import amazon
from hyperllm.data.streaming.budget import Plan
from hyperllm.experiments.recipe import Recipe, run

IDS = st.sampled_from(["A1", "B2", "0007", "7", "", "é", 7, 7.0, None, True, "an id of more than twelve letters"])
NUMBERS = st.sampled_from([5, 4.0, "3", " 2 ", True, -1, 1e300])
OLD = {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}
NEW = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"}


def written(path: Path, lines: list[str]) -> Path:
    raw = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def review(layout: dict[str, str], user: Any, item: Any, rating: Any, time: Any) -> dict[str, Any]:
    values = {"user": user, "item": item, "rating": rating, "time": time}
    return {layout[role]: value for role, value in values.items()} | {"reviewText": "it's {\"fine\": 'so'}"}


@st.composite
def reviews(draw: st.DrawFn) -> list[str]:
    """Lines of one layout as JSON or Python literals, blank ones between; now and then one is broken."""
    layout = draw(st.sampled_from([OLD, NEW]))
    rows = draw(st.lists(st.tuples(IDS, IDS, NUMBERS, NUMBERS), min_size=20, max_size=60))
    lines = [draw(st.sampled_from([json.dumps, repr]))(review(layout, *row)) for row in rows]
    broken = draw(st.sampled_from(
        [*40 * [None], "", "   ", "[]", "{", json.dumps({layout["user"]: "A"}),
         *(json.dumps(review(layout, "A", "B", *pair)) for pair in (("x", 1), (1, None), (float("nan"), 1), (1, [])))]
    ))  # fmt: skip
    if broken is not None:
        lines.insert(draw(st.integers(1, len(lines))), broken)
    return lines


PRODUCTS = st.fixed_dictionaries(
    {},
    optional={
        "asin": IDS,
        "parent_asin": IDS,
        "title": st.sampled_from([None, "", "Salt &amp; <b>pepper</b>", "getTime()"]),
        "brand": st.sampled_from([None, " Lux "]),
        "category": st.sampled_from([[], ["Beauty", "Face"]]),
        "related": st.just({"asin": "A1"}),
    },
)


@settings(max_examples=80, deadline=None)
@given(
    lines=reviews(),
    products=st.none() | st.lists(PRODUCTS, max_size=12),
    literal=st.booleans(),
    packed=st.sampled_from(["", ".gz"]),
    core=st.sampled_from([0, 1, 1, 2, 3]),
    rule=st.sampled_from(["per-user", "per-user", "leave-one-out", "time"]),
    held_out=HELD_OUT,
    plan=PLANS,
)
def test_random_dumps(lines, products, literal, packed, core, rule, held_out, plan):
    config = {"core": core, "split": rule, "min_rating": 1.0} | held_out
    with TemporaryDirectory() as made:
        folder = Path(made)
        request = {"reviews": written(folder / f"reviews.json{packed}", lines)}
        if products is not None:
            told = [*products, {"asin": "A1", "title": "known"}]
            shown = [repr(row) if literal else json.dumps(row) for row in told]
            request["meta"] = written(folder / f"meta.json{packed}", shown)
        both(folder, plan, config, **request)


LINES = [json.dumps(review(OLD, f"A{n % 3}", f"B{n % 4}", 4 + n % 2, n)) for n in range(24)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{}"], "no Amazon review file"),
        ([], "is empty"),
        (["  ", " "], "holds no line"),
        ([*LINES[:5], "{"], "line 6 .* is neither a JSON object"),
        ([*LINES[:5], '{"reviewerID": 1, "asin": 2}'], "line 6 .* has no 'overall'"),
        ([*LINES[:5], json.dumps(review(OLD, "A", "B", "five", 1))], "line 6 .* rating 'five'"),
        ([*LINES[:5], json.dumps(review(OLD, "A", "B", 10**400, 1))], "line 6 .* expected two numbers"),
    ],
)
def test_complaints_about_reviews(tmp_path, lines, message):
    said = both(tmp_path, TINY, {"core": 1}, reviews=written(tmp_path / "reviews.json", lines))
    assert isinstance(said, str)
    assert pytest.raises(ValueError, match=message).matches(ValueError(said))


@pytest.mark.parametrize("products", [[{"asin": "Z2"}, {"asin": "Z1"}], [{"title": "x"}], [{"asin": "B1"}, {"no": 1}]])
@pytest.mark.parametrize("core", [1, 9])
def test_complaints_about_metadata(tmp_path, products, core):
    request = {
        "reviews": written(tmp_path / "reviews.json", LINES),
        "meta": written(tmp_path / "meta.json", [json.dumps(row) for row in products]),
    }
    assert isinstance(both(tmp_path, TINY, {"core": core}, **request), str)


def test_the_2023_benchmark_is_a_csv(tmp_path):
    rows = [f"A{n % 3},B{n % 4},{4 + n % 2},{n}" for n in range(24)]
    path = written(tmp_path / "Beauty.csv.gz", ["user_id,parent_asin,rating,timestamp", *rows])
    report = both(tmp_path, TINY, {"core": 1, "split": "time"}, reviews=path)
    assert isinstance(report, Prepared)
    assert report.card.interactions == 12


def test_metadata_are_read_by_the_thousand_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(amazon, "LINES", 2)
    products = [{"asin": f"B{n % 6}", "title": f"Title {n}"} for n in range(12)]
    request = {
        "reviews": written(tmp_path / "reviews.json", LINES),
        "meta": written(tmp_path / "meta.json", [json.dumps(row) for row in products]),
    }
    report = both(tmp_path, TINY, {"core": 1}, **request)
    assert isinstance(report, Prepared)
    assert "4 products stand more than once" in report.warnings[0]
    assert pl.read_parquet(tmp_path / "b" / "dataset" / "items.parquet")["title"].to_list() == [
        f"Title {n}" for n in range(4)
    ]


def test_the_command_and_a_recipe_take_a_limit(tmp_path, capsys):
    reviews = written(tmp_path / "reviews.json", LINES)
    meta = written(tmp_path / "meta.json", [json.dumps({"asin": "B1", "title": "Salt"})])
    arguments = ["--amazon", str(reviews), str(meta), "--core", "1", "--cold-items", "0.3", "--json"]
    told: list[str] = []
    for name, more in (("a", []), ("b", ["--memory-limit", "4GB"])):
        assert main(["prepare", str(tmp_path / name), *arguments, *more]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    text = '[prepare]\namazon = ["reviews.json", "meta.json"]\ncore = 1\ncold_items = 0.3\nmemory_limit = "4GB"\n'
    (tmp_path / "shop.toml").write_text(text)
    run(Recipe.read(tmp_path / "shop.toml"), workspace=tmp_path / "c", say=lambda line: None)
    assert files(tmp_path / "c") == files(tmp_path / "b") == files(tmp_path / "a")


def test_toys(tmp_path, real_data):
    """The real ratings of Toys as the tables they are kept in, and some of them as the dump they were."""
    toys = real_data / "amazon-toys"
    if not toys.is_dir():
        pytest.skip("no amazon-toys in HYPERLLM_DATA")
    plan, config = Plan(block=20_011, bucket=30_011), {"new_users": 0.1}
    tables = {"interactions": toys / "ratings.tsv", "items": toys / "items.tsv"}
    (tmp_path / "tables").mkdir()
    report = both(tmp_path / "tables", plan, config, **tables)
    assert isinstance(report, Prepared)
    assert (report.card.users, report.card.items, report.card.interactions) == (11_268, 7_309, 95_420)
    ratings, items = (pl.read_csv(path, separator="\t", infer_schema=False) for path in tables.values())
    lines = [json.dumps(review(OLD, *row)) for row in ratings[:20_000].iter_rows()]
    told = [repr({"asin": key, "title": title, "categories": [(path or "").split(" > ")]})
            for key, title, path in items.iter_rows()]  # fmt: skip
    request = {"reviews": written(tmp_path / "r.json.gz", lines), "meta": written(tmp_path / "m.json.gz", told)}
    dump = both(tmp_path, plan, {"core": 2, "cold_items": 0.1}, **request)
    assert isinstance(dump, Prepared)
    assert dump.card.interactions > 1_000
