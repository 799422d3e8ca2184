"""Amazon review dumps of 2014, 2018 and 2023: one file of reviews, optionally one of product metadata.

Knows the three layouts and tells them apart by their first line. Does not know filters, or which category it reads.

Reviews are JSON lines (2014, 2018: reviewerID, asin, overall, unixReviewTime; 2023: user_id, parent_asin, rating,
timestamp) or the 2023 benchmark's CSV of the same four columns. Metadata of 2014 are Python literals, a line each,
read with ``ast.literal_eval``; those of 2018 and 2023 are JSON lines. All may be gzip.
"""

from __future__ import annotations

import ast
import html
import json
import re
from array import array
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hyperllm.artifacts import file_digest
from hyperllm.data.catalog import SCHEMA, Catalog, attribute_names
from hyperllm.data.interactions import Interactions
from hyperllm.data.sources import files
from hyperllm.data.sources.columns import paths
from hyperllm.data.sources.raw import RawData
from hyperllm.data.sources.table import check_overlap, read_table
from hyperllm.errors import DataError
from hyperllm.ids import Rows, Vocabulary


@dataclass(frozen=True)
class Layout:
    """What the four needed fields of a review are called."""

    user: str
    item: str
    rating: str
    time: str


OLD = Layout("reviewerID", "asin", "overall", "unixReviewTime")
NEW = Layout("user_id", "parent_asin", "rating", "timestamp")
LAYOUTS = (OLD, NEW)

ITEM_KEY = re.compile(r"""['"](?:parent_asin|asin)['"]\s*:\s*['"]([^'"]+)['"]""")
TAG = re.compile(r"<[^<>]{1,300}>")


def read_amazon(reviews: Path | str, meta: Path | str | None = None) -> RawData:
    """Events and product texts of one Amazon category, whichever of the three layouts the files have.

    Only products with a review are read from ``meta``. Raises `DataError` with the line where a file is not of any
    known layout.
    """
    reviews = Path(reviews)
    found = _reviews(reviews)
    inputs, reading, notes = {"reviews": file_digest(reviews)}, {"reviews": _year(reviews)}, list[str]()
    catalog = Catalog.empty(found.items)
    if meta is not None:
        meta = Path(meta)
        inputs["meta"] = file_digest(meta)
        catalog, twice = _products(meta, found.items)
        if twice:
            notes.append(f"{twice:,} products stand more than once in {str(meta)!r}; the first of each is used")
    return RawData(found, catalog, inputs=inputs, reading=reading, notes=tuple(notes))


def record(path: Path, number: int, line: str) -> Mapping[str, Any]:
    """The object on one line, written as JSON or as a Python literal; nothing is ever executed."""
    try:
        value = json.loads(line)
    except ValueError:
        try:
            value = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise DataError(
            f"line {number:,} of {str(path)!r} is neither a JSON object nor a Python dict: {line[:60]!r}. "
            "Download the file again."
        )
    return value


def _first(path: Path) -> Mapping[str, Any]:
    for number, line in files.lines(path):
        return record(path, number, line)
    raise DataError(f"{str(path)!r} holds no line; expected one object a line.")


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".csv")


def _year(path: Path) -> str:
    """Which of the three dumps a review file is from."""
    if _is_csv(path):
        return "2023"
    first = _first(path)
    if NEW.item in first:
        return "2023"
    return "2018" if "verified" in first else "2014"


def _reviews(path: Path) -> Interactions:
    if _is_csv(path):
        found = read_table(
            path, user_column=NEW.user, item_column=NEW.item, rating_column=NEW.rating, time_column=NEW.time
        ).interactions
        assert isinstance(found, Interactions)
        return found
    first = _first(path)
    layout = next((a for a in LAYOUTS if a.user in first and a.item in first), None)
    if layout is None:
        raise DataError(
            f"{str(path)!r} is no Amazon review file: its first line has the fields {', '.join(map(repr, first))}; "
            f"expected {OLD.user!r} and {OLD.item!r} (2014, 2018) or {NEW.user!r} and {NEW.item!r} (2023)."
        )
    return _stream(path, layout)


def _stream(path: Path, layout: Layout) -> Interactions:
    """Read reviews line by line, keeping four numbers of each."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, rating, time = array("q"), array("q"), array("d"), array("d")
    for number, line in files.lines(path):
        review = record(path, number, line)
        try:
            user.append(users.setdefault(str(review[layout.user]), len(users)))
            item.append(items.setdefault(str(review[layout.item]), len(items)))
            rating.append(_finite(review[layout.rating]))
            time.append(_finite(review[layout.time]))
        except KeyError as missing:
            raise DataError(f"line {number:,} of {str(path)!r} has no {missing.args[0]!r}. Remove that line.") from None
        except (TypeError, ValueError):
            raise DataError(
                f"line {number:,} of {str(path)!r} has rating {review[layout.rating]!r} and time "
                f"{review.get(layout.time)!r}; expected two numbers. Fix or remove that line."
            ) from None
    user_ids, user_rows = _sorted(users, user)
    item_ids, item_rows = _sorted(items, item)
    return Interactions(user_ids, item_ids, user_rows, item_rows, np.array(rating), np.array(time))


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(value)
    return number


def _sorted(seen: dict[str, int], codes: array[int]) -> tuple[Vocabulary, Rows]:
    """Codes in order of appearance -> vocabulary rows."""
    vocabulary = Vocabulary.of(seen)
    return vocabulary, vocabulary.rows(list(seen))[np.array(codes, dtype=np.int64)]


def _products(path: Path, wanted: Vocabulary) -> tuple[Catalog, int]:
    """Texts of the wanted products, and how many lines repeated one."""
    rows: dict[str, dict[str, Any]] = {}
    twice, some = 0, None
    for key, product in _metadata(path, wanted):
        some = key
        if key in rows:
            twice += 1
        elif key in wanted:
            rows[key] = _texts(key, product)
    if not rows:
        known = Catalog.empty(Vocabulary((some or "",)))
        check_overlap(wanted.ids, known, repr(str(path)), "asin of the reviews", "asin of the metadata")
    return Catalog.of(pl.DataFrame(list(rows.values()), schema=SCHEMA)), twice


def _metadata(path: Path, wanted: Container[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(product id, fields) of the lines that may be wanted, and of the first line, which shows what ids look like."""
    for number, line in files.lines(path):
        keys = ITEM_KEY.findall(line)
        if number > 1 and keys and not any(key in wanted for key in keys):
            continue  # most of a metadata file is about products nobody in this file reviewed
        product = record(path, number, line)
        key = product.get("parent_asin") or product.get("asin")
        if key is None:
            raise DataError(
                f"line {number:,} of {str(path)!r} has no 'asin' or 'parent_asin'; is it a metadata file? "
                f"It has the fields {', '.join(map(repr, product))}."
            )
        yield str(key), product


def _texts(key: str, product: Mapping[str, Any]) -> dict[str, Any]:
    every = paths(product.get("categories")) or paths(product.get("category"))
    if not every:
        every = paths(product.get("main_cat") or product.get("main_category"))
    cleaned = [[name for part in path if (name := _clean(part))] for path in every]
    path = cleaned[0] if cleaned else []
    brand = _clean(product.get("brand")) or _clean(product.get("store"))
    return {
        "item_id": key,
        "title": _title(product.get("title")),
        "description": _clean(product.get("features"), product.get("description")),
        "brand": brand,
        "categories": path,
        "attributes": attribute_names(brand, path),
    }


def _title(value: object) -> str | None:
    """The title, unless the crawler caught a page script in its place (2018)."""
    text = _clean(value)
    return None if text is None or "getTime" in text else text


def _clean(*values: object) -> str | None:
    """Text or lists of text as one plain line: entities resolved, tags and runs of blanks gone."""
    parts = [str(part) for value in values if value for part in (value if isinstance(value, list) else [value]) if part]
    text = TAG.sub(" ", html.unescape(" ".join(parts)))
    return " ".join(text.split()) or None
