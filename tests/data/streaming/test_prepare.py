"""Prepared a block at a time is prepared in memory: the same files, manifests, reports and complaints."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperllm import artifacts
from hyperllm.cli import main
from hyperllm.data.prepare import PrepareConfig, Prepared, load_report, prepare
from hyperllm.data.sources.requests import AmazonRequest, PublishedRequest, TableRequest
from hyperllm.data.sources.table import read_table
from hyperllm.data.streaming.budget import Plan, resident_bytes
from hyperllm.data.streaming.prepare import prepare_within
from hyperllm.errors import ConfigError, DataError, HyperLLMError
from hyperllm.experiments.recipe import Recipe, run

TINY = Plan(block=3, bucket=4)
IDS = st.sampled_from(["7", "07", "007", "10", "9", "a", "B", "-1", "é", "10x", "a name longer than twelve letters"])
NUMBERS = st.integers(-2, 12)


def files(folder: Path) -> dict[str, Any]:
    """Digests of the payload, and manifests as JSON."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        if path.name == artifacts.MANIFEST
        else artifacts.file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def outcome(workspace: Path, work: Any) -> Prepared | str:
    """The report, or the complaint."""
    try:
        return work(workspace)
    except HyperLLMError as error:
        return str(error)


def both(folder: Path, plan: Plan, config: Mapping[str, Any], **request: Any) -> Prepared | str:
    """Prepare both ways, check that nothing differs, and return what came out."""
    chosen, kinds = PrepareConfig(**config), {"interactions": TableRequest, "reviews": AmazonRequest}
    asked = kinds[next(iter(request))](**request)
    in_memory = outcome(folder / "a", lambda place: prepare(place, asked.read(), config=chosen, source=asked.kind))
    within = outcome(folder / "b", lambda place: prepare_within(place, asked, limit="4GB", config=chosen, plan=plan))
    assert within == in_memory
    assert files(folder / "b") == files(folder / "a")
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == set()
    return within


@st.composite
def worlds(draw: st.DrawFn) -> pl.DataFrame:
    """A few events with repeats, ties in rating and time, and ids that are numbers, text or both."""
    ids = draw(st.sampled_from([IDS, NUMBERS]))
    event, least = st.tuples(ids, ids, st.integers(1, 5), st.integers(-3, 6)), draw(st.sampled_from([40, 40, 1]))
    rows = draw(st.lists(event, min_size=least, max_size=60))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    columns = ["user_id", "item_id", *draw(st.sampled_from([["rating"], ["timestamp"], ["rating", "timestamp"], []]))]
    return frame.select(columns)


HELD_OUT = st.one_of(
    st.just({}),
    st.builds(lambda share: {"cold_items": share}, st.sampled_from([0.1, 0.3, 0.6])),
    st.builds(lambda share: {"new_users": share}, st.sampled_from([0.1, 0.3, 0.6])),
)
PLANS = st.builds(Plan, block=st.integers(1, 20), bucket=st.integers(1, 20))


@settings(max_examples=80, deadline=None)
@given(
    frame=worlds(),
    ending=st.sampled_from(["csv", "parquet", "jsonl"]),
    core=st.sampled_from([1, 1, 0, 2, 2, 3]),
    min_rating=st.sampled_from([1.0, 1.0, None, 3.0, 5.0]),
    duplicates=st.sampled_from(["first", "last", "max"]),
    rule=st.sampled_from(["per-user", "leave-one-out", "time"]),
    seed=st.integers(0, 3),
    held_out=HELD_OUT,
    plan=PLANS,
)
def test_every_rule_gives_the_same_files(frame, ending, core, min_rating, duplicates, rule, seed, held_out, plan):
    config = {"core": core, "min_rating": min_rating, "duplicates": duplicates, "split": rule, "seed": seed} | held_out
    with TemporaryDirectory() as made:
        folder = Path(made)
        both(folder, plan, config, interactions=saved(frame, folder / f"clicks.{ending}"))


def saved(frame: pl.DataFrame, path: Path) -> Path:
    """The table in the format that the name asks for."""
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix]
    write(path)
    return path


TIMES = {
    "numbers": ["3", " 1 ", "2.5", "-1", "1e3"],
    "dates": ["2020-03-01", "2019-12-31", "2021-01-05", "2020-02-29", "2020-03-01"],
    "moments": ["2020-03-01 10:00:00", "2020-03-01 09:59:59", "2019-01-01 00:00:00", "2020-03-01 10:00:00", "x"],
    "other layout first": ["02/03/2020", "2020-01-02", "05/03/2020", "nothing", "06/03/2020"],
    "after words": ["soon", "later", "2020-01-02", "2020-01-03", "never"],
    "words": ["soon", "later", "never", "now", "then"],
    "a number among dates": ["17", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05"],
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("asked", [None, "time"])
@pytest.mark.parametrize("rule", ["per-user", "leave-one-out"])
def test_times_are_read_as_the_whole_column_would_be(tmp_path, name, asked, rule):
    rows = [(f"u{user}", f"i{n}", time) for user in range(3) for n, time in enumerate(TIMES[name])]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    config = {"core": 1, "split": rule}
    both(tmp_path, TINY, config, interactions=saved(frame, tmp_path / "clicks.csv"), time_column=asked)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("change", [None, (0, 4), (5, 5), (2, 1)])
def test_times_that_number_a_users_events_are_no_times(tmp_path, first, change):
    rows = [[f"u{n % 3}", f"i{n}", n // 3 + first] for n in range(12)]
    if change is not None:
        rows[change[0]][2] = change[1]
    frame = pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")
    both(tmp_path, TINY, {"core": 1, "split": "time"}, interactions=saved(frame, tmp_path / "clicks.csv"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rating": ["5", "4", "x", "3", "", "y"]},
        {"user": ["a", "", "b", "c", "", "d"]},
        {"user": ["a", "", "b", "c", "", "d"], "item": ["", "", "", "", "", ""]},
        {"time": ["1", "2", "", "x", "5", "6"]},
        {"rating": ["1", "2", "1", "2", "1", "2"]},
    ],
)
@pytest.mark.parametrize("asked", [None, "time"])
def test_complaints_are_those_about_the_whole_table(tmp_path, wrong, asked):
    right = {"user": list("ababab"), "item": list("xxyyzz"), "rating": ["5"] * 6, "time": list("123456")}
    path = saved(pl.DataFrame(right | wrong), tmp_path / "clicks.csv")
    both(tmp_path, Plan(block=2, bucket=4), {"core": 1}, interactions=path, time_column=asked)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, None], [1.0, 2.5, 3.0, 4.5], [float("nan"), 1.0, 2.0, 3.0]])
def test_float_ids_are_whole_or_refused(tmp_path, values):
    frame = pl.DataFrame({"user": values, "item": [1, 1, 2, 2]})
    both(tmp_path, TINY, {"core": 1}, interactions=saved(frame, tmp_path / "clicks.parquet"))


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Categorical, pl.Boolean, pl.Date])
def test_ids_of_any_type(tmp_path, dtype):
    ids = pl.Series(["1", "0", "1", "0", "1", "1"]).cast(pl.Int8)
    ids = ids.cast(pl.String).cast(dtype) if dtype == pl.Categorical else ids.cast(dtype)
    frame = pl.DataFrame({"user": ids, "item": list(range(6)), "time": [5, 4, 3, 2, 1, 0]})
    both(tmp_path, TINY, {"core": 1, "split": "leave-one-out"}, interactions=saved(frame, tmp_path / "c.parquet"))


def test_large_whole_numbers_are_ids_of_their_own(tmp_path):
    ids = pl.Series([2**64 - 1, 2**63, 2**63 - 1, 0] * 3, dtype=pl.UInt64)
    frame = pl.DataFrame({"user": ids, "item": list(range(12))})
    both(tmp_path, TINY, {"core": 1}, interactions=saved(frame, tmp_path / "clicks.parquet"))


@pytest.mark.parametrize("name", ["clicks.tsv", "clicks.csv.gz", "clicks.jsonl.gz", "clicks.txt"])
def test_other_files(tmp_path, name):
    rows = "".join(f"u{n % 3},i{n % 4}\n" for n in range(30))
    text = "user,item\n" + rows
    if "jsonl" in name:
        text = "".join(json.dumps({"user": n % 3, "item": n % 4}) + "\n" for n in range(30))
    raw = (text.replace(",", "\t") if "tsv" in name else text).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    report = both(tmp_path, TINY, {"core": 2}, interactions=tmp_path / name)
    assert isinstance(report, Prepared)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("clicks.csv", b"user,item\na,b\n\xff\xff,c\n"),
        ("clicks.csv", b"user,item\n"),
        ("clicks.csv", b"user,thing\na,b\n"),
        ("clicks.csv", b""),
        ("clicks.csv.gz", b"user,item\n"),
        ("clicks.jsonl", b'{"user": 1, "item": 2}\n{"user": \n'),
        ("clicks.parquet", b"PAR1 not"),
        ("clicks.xls", b"user"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    assert isinstance(both(tmp_path, TINY, {}, interactions=tmp_path / name), str)


def test_a_json_list_is_refused(tmp_path):
    (tmp_path / "clicks.json").write_text(json.dumps([{"user": 1, "item": 2}]))
    with pytest.raises(DataError, match="one JSON object a line"):
        prepare_within(tmp_path / "w", TableRequest(tmp_path / "clicks.json"), limit="4GB")


TEXTS = st.sampled_from([None, "", "  ", "word", " Two words", "é"])


@st.composite
def item_tables(draw: st.DrawFn, ids: st.SearchStrategy[Any]) -> pl.DataFrame:
    """A few items, some twice, with text and without."""
    rows = draw(st.lists(st.tuples(ids, TEXTS, TEXTS, st.sampled_from([None, "", "A > B", "A|C"])), min_size=1))
    names = ["item_id", "title", "description", "categories"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row", strict=False)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(IDS, IDS), min_size=20, max_size=60),
    items=item_tables(IDS),
    endings=st.tuples(*2 * [st.sampled_from(["csv", "parquet", "jsonl"])]),
    core=st.sampled_from([0, 1, 1, 2, 3]),
    held_out=HELD_OUT,
    plan=PLANS,
)
def test_item_texts(rows, items, endings, core, held_out, plan):
    clicks = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    with TemporaryDirectory() as made:
        folder = Path(made)
        request = {
            "interactions": saved(clicks, folder / f"clicks.{endings[0]}"),
            "items": saved(items, folder / f"items.{endings[1]}"),
        }
        both(folder, plan, {"core": core} | held_out, **request)


@pytest.mark.parametrize("held_out", [{"cold_items": 0.1}, {"new_users": 0.1}])
def test_many_item_texts_in_any_order(tmp_path, held_out):
    rng, rows = np.random.default_rng(0), 20_000
    items = rng.permutation(np.repeat(np.arange(9_000), 2))
    clicks = pl.DataFrame({"user": rng.integers(900, size=rows), "item": rng.integers(4_000, size=rows)})
    told = pl.DataFrame({"item": items, "title": [f"title {n}" if n % 3 else None for n in range(len(items))],
                         "categories": [f"all > kind {n % 7}" for n in range(len(items))]})  # fmt: skip
    request = {"interactions": saved(clicks, tmp_path / "c.parquet"), "items": saved(told, tmp_path / "i.csv")}
    report = both(tmp_path, Plan(block=5_003, bucket=4_001), {"core": 4} | held_out, **request)
    assert isinstance(report, Prepared)
    assert (report.cold is not None) == ("cold_items" in held_out)
    assert (report.new is not None) == ("new_users" in held_out)
    assert any("repeat an item id" in warning for warning in report.warnings)
    assert any("described items have no interaction" in warning for warning in report.warnings)


def test_packed_tables_of_one_name(tmp_path):
    for name, text in (("events", "user,item\na,b\nc,b\n"), ("texts", "item,title\nb,Ball\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.csv.gz").write_bytes(gzip.compress(text.encode()))
    request = {"interactions": tmp_path / "events" / "shop.csv.gz", "items": tmp_path / "texts" / "shop.csv.gz"}
    assert isinstance(both(tmp_path, TINY, {"core": 1}, **request), Prepared)


@pytest.mark.parametrize(
    "items",
    [
        {"item": ["z", "y"], "title": ["Z", "Y"]},
        {"item": ["b", "y", None, "b", None], "title": ["B"] * 5},
        {"item": ["b"], "price": ["3"]},
        {"thing": ["b"], "title": ["B"]},
    ],
)
def test_complaints_about_the_item_table(tmp_path, items):
    clicks = saved(pl.DataFrame({"user": list("aaccee"), "item": list("bdbdbd")}), tmp_path / "clicks.csv")
    table = saved(pl.DataFrame(items), tmp_path / "items.csv")
    assert isinstance(both(tmp_path, TINY, {"core": 1}, interactions=clicks, items=table), str)
    assert isinstance(both(tmp_path, TINY, {"core": 9}, interactions=clicks, items=table), str)


def test_either_way_finds_the_others_work_current(tmp_path):
    clicks = saved(pl.DataFrame({"user": [n % 3 for n in range(24)], "item": list(range(24))}), tmp_path / "c.csv")
    config = PrepareConfig(core=1)
    request = TableRequest(clicks)
    assert not prepare_within(tmp_path / "w", request, limit="4GB", config=config).skipped
    assert prepare(tmp_path / "w", read_table(clicks), config=config).skipped
    assert prepare_within(tmp_path / "w", request, limit="5GB", config=config).skipped


def test_many_groups_of_rows_are_written_as_polars_would(tmp_path):
    rng = np.random.default_rng(0)
    rows = 300_000
    frame = pl.DataFrame(
        {
            "user": rng.integers(9_000, size=rows),
            "item": [f"an item with a rather long name {n}" for n in rng.integers(3_000, size=rows)],
            "rating": rng.integers(1, 6, size=rows),
            "time": rng.integers(10**9, size=rows),
        }
    )
    plan = Plan(block=70_001, bucket=50_000)
    report = both(tmp_path, plan, {"min_rating": 2}, interactions=saved(frame, tmp_path / "clicks.parquet"))
    assert isinstance(report, Prepared)
    assert report.card.interactions > 200_000


def test_a_limit_below_what_python_takes_is_refused_before_anything_is_written(tmp_path):
    clicks = saved(pl.DataFrame({"user": [1, 2], "item": [1, 2]}), tmp_path / "clicks.csv")
    with pytest.raises(DataError, match="too small"):
        prepare_within(tmp_path / "w", TableRequest(clicks), limit="20MB")
    assert [path.name for path in tmp_path.iterdir()] == ["clicks.csv"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    clicks = saved(pl.DataFrame({"user": [n % 3 for n in range(24)], "item": list(range(24))}), tmp_path / "c.csv")
    left = tmp_path / ".w.prepare" / "events-0"
    left.mkdir(parents=True)
    (left / "log").write_bytes(b"half")
    prepare_within(tmp_path / "w", TableRequest(clicks), limit="4GB", config=PrepareConfig(core=1))
    assert not left.exists()


def test_the_command_takes_a_limit_and_says_the_same(tmp_path, capsys):
    clicks = saved(pl.DataFrame({"user": [n % 3 for n in range(24)], "item": list(range(24))}), tmp_path / "c.csv")
    arguments = ["--interactions", str(clicks), "--core", "1", "--json"]
    told: list[str] = []
    for name, more in (("a", []), ("b", ["--memory-limit", "4GB"])):
        assert main(["prepare", str(tmp_path / name), *arguments, *more]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert files(tmp_path / "b") == files(tmp_path / "a")


def test_a_recipe_takes_a_limit(tmp_path):
    saved(pl.DataFrame({"user": [n % 3 for n in range(24)], "item": list(range(24))}), tmp_path / "c.csv")
    text = '[prepare]\ninteractions = "c.csv"\ncore = 1\nmemory_limit = "{}"\n'
    (tmp_path / "shop.toml").write_text(text.format("4GB"))
    run(Recipe.read(tmp_path / "shop.toml"), workspace=tmp_path / "w", say=lambda line: None)
    assert load_report(tmp_path / "w").card.interactions == 24
    (tmp_path / "shop.toml").write_text(text.format("four"))
    with pytest.raises(ConfigError, match="2GB"):
        run(Recipe.read(tmp_path / "shop.toml"), workspace=tmp_path / "v", say=lambda line: None)


def test_a_published_split_is_read_whole_where_there_is_room(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    for name, rows in (("train", "a\tb\nc\td\n"), ("valid", "a\td\n"), ("test", "c\tb\n")):
        (folder / f"{name}.tsv").write_text("user_id\titem_id\n" + rows)
    (folder / "items.tsv").write_text("item_id\ttitle\nb\tBall\nd\tDoll\n")
    request = PublishedRequest(folder)
    prepare(tmp_path / "a", request.read(), source=request.kind)
    assert main(["prepare", str(tmp_path / "b"), "--published", str(folder), "--memory-limit", "4GB"]) == 0
    assert files(tmp_path / "b") == files(tmp_path / "a")
    with (folder / "items.tsv").open("a") as stream:
        stream.write("x\t" + "word " * 2_000_000 + "\n")
    with pytest.raises(DataError, match="too small"):
        prepare_within(tmp_path / "c", request, limit="400MB")


def test_only_texts_of_items_that_are_kept_must_fit(tmp_path):
    pairs = [(user, item) for user in range(2) for item in range(300) if not user or item < 100]
    clicks = saved(pl.DataFrame(pairs, schema=["user", "item"], orient="row"), tmp_path / "clicks.csv")
    items = {"item": list(range(300)), "title": [f"{n} " + "word " * 20_000 for n in range(300)]}
    request = TableRequest(clicks, saved(pl.DataFrame(items), tmp_path / "items.jsonl"))

    def prepared(core: int) -> Prepared:
        limit = f"{(resident_bytes() + 120 * 10**6) // 10**6}MB"
        return prepare_within(tmp_path / "w", request, limit=limit, config=PrepareConfig(core=core))

    with pytest.raises(DataError, match="too small"):
        prepared(core=1)
    assert prepared(core=2).card.items == 100
