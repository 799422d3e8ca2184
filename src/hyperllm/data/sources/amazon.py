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
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from hyperllm.artifacts import file_digest
from hyperllm.data.catalog import SCHEMA, Catalog, attribute_names
from hyperllm.data.interactions import Interactions
from hyperllm.data.sources import files
from hyperllm.data.sources.columns import paths
from hyperllm.data.sources.raw import RawData
from hyperllm.data.sources.table import no_overlap, read_table
from hyperllm.errors import DataError
from hyperllm.ids import Rows, Vocabulary


class Layout(NamedTuple):
    """What the four needed fields of a review are called."""

    user: str
    item: str
    rating: str
    time: str


OLD = Layout("reviewerID", "asin", "overall", "unixReviewTime")
NEW = Layout("user_id", "parent_asin", "rating", "timestamp")
LAYOUTS = (OLD, NEW)
LINES = 1000
"""Lines of metadata that are looked at together."""

ITEM_KEY = re.compile(r"""['"](?:parent_asin|asin)['"]\s*:\s*['"]([^'"]+)['"]""")
TAG = re.compile(r"<[^<>]{1,300}>")


class Review(NamedTuple):
    """What is read of a review: an event."""

    user: str
    item: str
    rating: float
    time: float


def read_amazon(reviews: Path | str, meta: Path | str | None = None) -> RawData:
    """Events and product texts of one Amazon category, whichever of the three layouts the files have.

    Only products with a review are read from ``meta``. Raises `DataError` with the line where a file is not of any
    known layout.
    """
    reviews = Path(reviews)
    found = _events(reviews)
    inputs, reading, notes = {"reviews": file_digest(reviews)}, {"reviews": year(reviews)}, list[str]()
    catalog = Catalog.empty(found.items)
    if meta is not None:
        meta = Path(meta)
        inputs["meta"] = file_digest(meta)
        catalog, twice = _products(meta, found.items)
        if twice:
            notes.append(repeated(twice, meta))
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


def is_csv(path: Path) -> bool:
    """Whether a review file is the table of the 2023 benchmark."""
    return path.name.lower().removesuffix(".gz").endswith(".csv")


def year(path: Path) -> str:
    """Which of the three dumps a review file is from."""
    if is_csv(path):
        return "2023"
    first = _first(path)
    if NEW.item in first:
        return "2023"
    return "2018" if "verified" in first else "2014"


def reviews(path: Path) -> Iterator[Review]:
    """The reviews of a file of lines, one at a time; raises `DataError` with the line where one is none."""
    first = _first(path)
    layout = next((a for a in LAYOUTS if a.user in first and a.item in first), None)
    if layout is None:
        raise DataError(
            f"{str(path)!r} is no Amazon review file: its first line has the fields {', '.join(map(repr, first))}; "
            f"expected {OLD.user!r} and {OLD.item!r} (2014, 2018) or {NEW.user!r} and {NEW.item!r} (2023)."
        )
    for number, line in files.lines(path):
        review = record(path, number, line)
        try:
            user, item = str(review[layout.user]), str(review[layout.item])
            yield Review(user, item, _finite(review[layout.rating]), _finite(review[layout.time]))
        except KeyError as missing:
            raise DataError(f"line {number:,} of {str(path)!r} has no {missing.args[0]!r}. Remove that line.") from None
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"line {number:,} of {str(path)!r} has rating {review[layout.rating]!r} and time "
                f"{review.get(layout.time)!r}; expected two numbers. Fix or remove that line."
            ) from None


def _finite(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number


def _events(path: Path) -> Interactions:
    """All reviews, four numbers of each."""
    if is_csv(path):
        found = read_table(
            path, user_column=NEW.user, item_column=NEW.item, rating_column=NEW.rating, time_column=NEW.time
        ).interactions
        assert isinstance(found, Interactions)
        return found
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item, rating, time = array("q"), array("q"), array("d"), array("d")
    for review in reviews(path):
        user.append(users.setdefault(review.user, len(users)))
        item.append(items.setdefault(review.item, len(items)))
        rating.append(review.rating)
        time.append(review.time)
    user_ids, user_rows = _sorted(users, user)
    item_ids, item_rows = _sorted(items, item)
    return Interactions(user_ids, item_ids, user_rows, item_rows, np.array(rating), np.array(time))


def _sorted(seen: dict[str, int], codes: array[int]) -> tuple[Vocabulary, Rows]:
    """Codes in order of appearance -> vocabulary rows."""
    vocabulary = Vocabulary.of(seen)
    return vocabulary, vocabulary.rows(list(seen))[np.array(codes, dtype=np.int64)]


def _products(path: Path, clicked: Vocabulary) -> tuple[Catalog, int]:
    """Texts of the clicked products, and how many lines repeated one."""
    blocks = products(path, lambda keys: {key for key in keys if key in clicked})
    every = pl.concat([pl.DataFrame(schema=SCHEMA), *blocks])
    first = every.unique("item_id", keep="first", maintain_order=True)
    if first.is_empty():
        raise no_product(path, len(clicked), clicked.ids[0])
    return Catalog.of(first), every.height - first.height


def products(path: Path, wanted: Callable[[list[str]], Set[str]]) -> Iterator[pl.DataFrame]:
    """Texts of products in blocks with the columns of a catalogue, ids repeated where they are.

    ``wanted`` says which of some ids are: most of a metadata file is about products nobody reviewed, and their lines
    are not even parsed. Raises `DataError` with the line where one is no product.
    """
    lines = files.lines(path)
    while block := list(islice(lines, LINES)):
        named = [ITEM_KEY.findall(line) for _, line in block]
        known = wanted([key for keys in named for key in keys])
        told = [
            _product(path, number, line)
            for (number, line), keys in zip(block, named, strict=True)
            if number == 1 or not keys or not known.isdisjoint(keys)
        ]
        known = wanted([key for key, _ in told])
        yield pl.DataFrame([_texts(key, product) for key, product in told if key in known], schema=SCHEMA)


def _product(path: Path, number: int, line: str) -> tuple[str, Mapping[str, Any]]:
    """A product's id and fields."""
    product = record(path, number, line)
    key = product.get("parent_asin") or product.get("asin")
    if key is None:
        raise DataError(
            f"line {number:,} of {str(path)!r} has no 'asin' or 'parent_asin'; is it a metadata file? "
            f"It has the fields {', '.join(map(repr, product))}."
        )
    return str(key), product


def no_product(path: Path, reviewed: int, example: str) -> DataError:
    """What to say where none of the products that were reviewed is in the metadata; ``example`` is one of them."""
    some = next((_product(path, *line)[0] for line in files.lines(path)), "")
    return no_overlap(reviewed, (example, "asin of the reviews"), (some, "asin of the metadata"), where=repr(str(path)))


def repeated(lines: int, path: Path) -> str:
    """The note on lines of a metadata file that are not used."""
    return f"{lines:,} products stand more than once in {str(path)!r}; the first of each is used"


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
