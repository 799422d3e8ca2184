"""A small prepared workspace for the tests of the extraction room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from hyperllm.data.catalog import Catalog
from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table

ITEMS = [
    ("i0", "Wooden jigsaw puzzle", "Toys > Puzzles > Jigsaws", "Oak"),
    ("i1", "Wooden cube puzzle", "Toys > Puzzles > Cubes", "Oak"),
    ("i2", "Plush bear soft", "Toys > Animals > Bears", "Hug"),
    ("i3", "Plush cat soft", "Toys > Animals > Cats", "Hug"),
    ("i4", "Wooden train set", "Toys > Vehicles > Trains", "Oak"),
    ("i5", "Wooden train track", "Toys > Vehicles > Trains", ""),
]


def write_shop(folder: Path, clicks: list[tuple[str, str]]) -> tuple[Path, Path]:
    """The events and the six items as two CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    events, items = folder / "clicks.csv", folder / "items.csv"
    events.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in clicks), encoding="utf-8")
    lines = [f"{i},{title},{path},{brand}\n" for i, title, path, brand in ITEMS]
    items.write_text("item_id,title,categories,brand\n" + "".join(lines), encoding="utf-8")
    return events, items


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Six users who each clicked all six items: four train, one validates, one tests."""
    clicks = [(f"u{u}", f"i{i}") for u in range(6) for i in range(6)]
    prepare(tmp_path / "shop", read_table(*write_shop(tmp_path / "raw", clicks)))
    return tmp_path / "shop"


@pytest.fixture
def catalog() -> Callable[..., Catalog]:
    """A catalogue from dictionaries; ids are i00, i01 … where none are given."""

    def make(*rows: dict[str, object]) -> Catalog:
        schema = {"item_id": pl.String, "title": pl.String, "brand": pl.String, "description": pl.String}
        table = [{"item_id": f"i{n:02d}", **row} for n, row in enumerate(rows)]
        return Catalog.of(pl.DataFrame(table, schema={**schema, "categories": pl.List(pl.String)}))

    return make
