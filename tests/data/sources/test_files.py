"""Every format gives the same table; every damaged file ends in one sentence."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from hyperllm.data.sources.files import lines, read_ahead, read_blocks, read_frame, row_bytes
from hyperllm.errors import DataError

HARD = ["007", 'a "quoted" id', "a, comma", "two\nlines", "tab\there", "Ünïcode", " blanks "]
FRAME = pl.DataFrame({"user_id": HARD, "item_id": [str(n) for n in range(len(HARD))]})

WRITERS: dict[str, Callable[[Path], None]] = {
    "t.csv": FRAME.write_csv,
    "t.txt": lambda path: FRAME.write_csv(path, separator=";"),
    "t.tsv": lambda path: FRAME.write_csv(path, separator="\t"),
    "t.jsonl": FRAME.write_ndjson,
    "t.json": FRAME.write_json,
    "t.parquet": FRAME.write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_keeps_every_id(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert read_frame(tmp_path / name).equals(FRAME)


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.endswith("parquet")])
def test_gzip_changes_nothing(tmp_path, name):
    WRITERS[name](tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert read_frame(packed).equals(FRAME)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfuser_id,item_id\nu,i\n")
    assert read_frame(tmp_path / "t.csv").columns == ["user_id", "item_id"]


def test_json_ids_may_be_numbers_and_text(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"user_id": 7}\n\n{"user_id": "007"}\n')
    assert read_frame(tmp_path / "t.jsonl")["user_id"].to_list() == ["7", "007"]


BROKEN = {
    "empty.csv": (b"", "is empty"),
    "header.csv": (b"user_id,item_id\n", "a header but no row"),
    "latin.csv": ("user_id,item_id\nu,i\nJosé,i\n".encode("latin-1"), "not UTF-8: line 3 .*Save it again as UTF-8"),
    "wide.csv": ("user_id,item_id\nu,i\n".encode("utf-16"), "looks like UTF-16"),
    "ragged.csv": (b"user_id,item_id\nu,i\nu,i,more\n", "cannot be read .*expected CSV"),
    "latin.jsonl": ('{"user_id": "José"}\n'.encode("latin-1"), "not UTF-8: line 1"),
    "broken.jsonl": (b'{"user_id": 1}\n{"user_id": \n', "expected one JSON object a line"),
    "no.parquet": (b"PAR1 not really", "cannot be read as Parquet"),
    "plain.csv.gz": (b"user_id,item_id\nu,i\n", "is not gzip"),
    "cut.csv.gz": (gzip.compress(b"user_id,item_id\n" + b"u,i\n" * 999, mtime=0)[:-12], "damaged or cut-short gzip"),
    "nothing.csv.gz": (gzip.compress(b"", mtime=0), "empty once unpacked"),
    "table.xlsx": (b"PK", "no known ending; expected .csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_says_what_is_wrong(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_frame(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_frame(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_frame(tmp_path)


def test_lines_are_numbered_and_blank_ones_skipped(tmp_path):
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbfone\r\n\n  \nfour")
    assert list(lines(tmp_path / "t")) == [(1, "one"), (4, "four")]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"ok\n\xff\n", "line 2 cannot"), (gzip.compress(b"ok\n" * 99, mtime=0)[:-9], "cut-short gzip")],
)
def test_lines_of_a_damaged_file(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(lines(tmp_path / "t"))


def test_what_reading_in_blocks_holds_beside_them(tmp_path):
    table = pl.DataFrame({"a": ["x" * 100] * 4_000, "b": range(4_000)})
    for name, write in (("t.csv", table.write_csv), ("t.jsonl", table.write_ndjson)):
        write(tmp_path / name)
    table.write_parquet(tmp_path / "t.parquet", row_group_size=1_000)
    row = row_bytes(tmp_path / "t.parquet", ["a"], folder=tmp_path)
    assert 100 <= row <= 120
    assert row_bytes(tmp_path / "t.csv", ["b"], folder=tmp_path) < row
    held = {name: read_ahead(tmp_path / name, ["a"], folder=tmp_path) for name in ("t.csv", "t.jsonl", "t.parquet")}
    assert held == {"t.csv": 4 * (tmp_path / "t.csv").stat().st_size, "t.jsonl": 0, "t.parquet": 3 * 1_000 * row}
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    assert read_ahead(tmp_path / "t.csv.gz", ["a"], folder=tmp_path) == held["t.csv"]


def test_blocks_of_parquet_are_smaller_than_its_groups_of_rows_where_asked(tmp_path):
    table = pl.DataFrame({"a": range(1_000)})
    table.write_parquet(tmp_path / "t.parquet", row_group_size=300)
    blocks = list(read_blocks(tmp_path / "t.parquet", ["a"], rows=70, folder=tmp_path))
    assert max(block.height for block in blocks) == 70
    assert pl.concat(blocks).equals(table)
