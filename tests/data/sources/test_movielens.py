"""Old MovieLens tables come out as the CSVs that newer sets have."""

from __future__ import annotations

import pytest

from hyperllm.data.sources.movielens import modernise
from hyperllm.data.sources.table import read_table
from hyperllm.errors import DataError


def test_double_colons(tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n2::1193::3.5::978302109\n2::661::3::978301968\n")
    (folder / "movies.dat").write_bytes("661::Amélie::Comedy|Drama\n1193::Star Wars: IV::Action\n".encode("latin-1"))
    modernise(tmp_path)
    raw = read_table(folder / "ratings.csv", folder / "movies.csv")
    assert raw.interactions.rating.tolist() == [5, 3.5, 3]
    assert raw.interactions.time.tolist() == [978300760, 978302109, 978301968]
    assert raw.catalog.texts() == ["Amélie. Comedy > Drama.", "Star Wars: IV. Action."]


def test_one_hundred_thousand(tmp_path):
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n")
    (tmp_path / "u.genre").write_text("unknown|0\nAction|1\nDrama|2\n\n")
    (tmp_path / "u.item").write_bytes("242|Kolya, Café (1996)|24-Jan-1997||http://x|0|1|1\n".encode("latin-1"))
    modernise(tmp_path)
    raw = read_table(tmp_path / "ratings.csv", tmp_path / "movies.csv")
    assert raw.interactions.users.ids == ("196",)
    assert raw.catalog.frame["title"].to_list() == ["Kolya, Café (1996)"]
    assert raw.catalog.frame["categories"].to_list() == [["Action", "Drama"]]


def test_new_tables_are_left_alone(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    modernise(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.csv"]


@pytest.mark.parametrize(
    ("ratings", "movies"), [("1,1193,5,978300760\n", "1::a::b\n"), ("1::1193::5::978300760\n", "1::a\n")]
)
def test_other_tables_of_the_same_name_are_refused(tmp_path, ratings, movies):
    (tmp_path / "ratings.dat").write_text(ratings)
    (tmp_path / "movies.dat").write_text(movies)
    with pytest.raises(DataError, match="expected"):
        modernise(tmp_path)
