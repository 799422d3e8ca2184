"""Columns of foreign tables -> ids, numbers and lists.

Knows the usual column names, how to let an option overrule them, and how to refuse a value with its row. Does not
know files, and not which data set a table is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm.data.interactions import Interactions
from hyperllm.errors import DataError, did_you_mean
from hyperllm.ids import Rows, Vocabulary

USUAL: dict[str, tuple[str, ...]] = {
    "user": ("userid", "user", "reviewerid", "customerid", "customer", "visitorid", "memberid", "uid", "sessionid"),
    "item": (
        *("itemid", "item", "parentasin", "asin", "productid", "product", "movieid", "movie", "sku", "articleid"),
        *("bookid", "songid", "trackid", "artistid", "newsid", "iid"),
    ),
    "rating": ("rating", "overall", "stars", "ratings", "score", "ratingvalue"),
    "time": (
        *("timestamp", "time", "unixreviewtime", "date", "datetime", "createdat", "eventtime", "reviewtime"),
        *("unixtime", "ts"),
    ),
    "order": ("order", "sequence", "position", "step"),
    "title": ("title", "name", "producttitle", "productname", "itemname", "itemtitle", "headline"),
    "description": ("description", "desc", "productdescription", "summary", "overview", "plot", "abstract", "text"),
    "brand": ("brand", "store", "manufacturer", "vendor", "maker", "artist", "author", "publisher"),
    "categories": (
        *("categories", "category", "genres", "genre", "categorypath", "productcategory", "taxonomy"),
        *("maincategory", "maincat"),
    ),
    "attributes": ("attributes", "keywords", "features"),
}
"""Role of a column -> its usual names, most telling first, lower case and without marks."""

NOTHING = {"", "(no genres listed)", "none", "null", "nan"}


def plain(name: str) -> str:
    """A column name in lower case without blanks and marks: ``User-ID`` -> ``userid``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


class Refused(DataError):
    """``count`` values of a column that cannot be used; ``value`` in data row ``row`` (from 0) is the first."""

    def __init__(self, count: int, sentence: str, value: object, row: int, fix: str) -> None:
        super().__init__(f"{count:,} {sentence}; the first is {value!r} in data row {row + 1:,}. {fix}")
        self.count, self.sentence, self.value, self.row, self.fix = count, sentence, value, row, fix

    def behind(self, rows: int, earlier: Refused | None) -> Refused:
        """The same of a column that has ``rows`` rows before this part of it, and ``earlier`` was found in them."""
        if earlier is not None:
            count = earlier.count + (self.count if self.sentence == earlier.sentence else 0)
            return Refused(count, earlier.sentence, earlier.value, earlier.row, earlier.fix)
        return Refused(self.count, self.sentence, self.value, self.row + rows, self.fix)


def find(frame: pl.DataFrame, role: str, *, named: str | None, option: str, where: str) -> str | None:
    """The column of ``frame`` that plays ``role``: the one ``named``, else the first usual name present, else None.

    Raises `DataError` where the named one is absent.
    """
    if named is not None:
        if named not in frame.columns:
            raise DataError(
                f"{where} has no column {named!r}; it has {_listed(frame)}. Name one of them with {option}."
                + did_you_mean(named, frame.columns)
            )
        return named
    known = {plain(name): name for name in reversed(frame.columns)}
    return next((known[name] for name in USUAL[role] if name in known), None)


def require(frame: pl.DataFrame, role: str, *, named: str | None, option: str, where: str) -> str:
    """As `find`, but raises `DataError` with the columns there are where none is found."""
    found = find(frame, role, named=named, option=option, where=where)
    if found is None:
        raise DataError(
            f"{where} has no {role} column that goes by a usual name; it has {_listed(frame)}. "
            f"Name the column with {option}."
        )
    return found


def _listed(frame: pl.DataFrame) -> str:
    return "the columns " + ", ".join(repr(name) for name in frame.columns)


def ids(column: pl.Series, *, what: str, where: str) -> pl.Series:
    """A column of ids as strings, exactly as written; whole numbers lose nothing, missing ids are refused."""
    if column.dtype.is_nested() or column.dtype.is_temporal():
        raise DataError(
            f"column {column.name!r} of {where} holds {column.dtype}; {what} ids are text or whole numbers."
        )
    if column.dtype.is_float():
        column = _whole(column, what, where)
    text = column.cast(pl.String)
    missing = text.is_null() | (text == "").fill_null(True)
    _refuse(missing, text, f"{what} ids in column {column.name!r} of {where} are missing", "Fill or remove those rows.")
    return text


def _whole(column: pl.Series, what: str, where: str) -> pl.Series:
    broken = (column.is_not_null() & column.is_finite() & (column != column.floor())).fill_null(False)
    _refuse(broken, column, f"{what} ids in column {column.name!r} of {where} are fractions", "Ids are text or whole.")
    return column.fill_nan(None).cast(pl.Int64)


def numbers(column: pl.Series, *, what: str, where: str) -> npt.NDArray[np.float64]:
    """A column of numbers as float64 (n,); a value that is no finite number is refused with its row."""
    text = column.str.strip_chars() if column.dtype == pl.String else column
    values = text.cast(pl.Float64, strict=False)
    _refuse_numbers(~values.is_finite().fill_null(False), column, what, where)
    return values.to_numpy()


def times(column: pl.Series, *, where: str) -> npt.NDArray[np.float64]:
    """A column of times as float64 (n,): numbers as they are, dates and ISO text as seconds since 1970."""
    moments = column
    if column.dtype == pl.String and not_numbers(column):
        parsed = moments_of(column)
        moments = parsed if parsed.null_count() < len(parsed) else column
    if not moments.dtype.is_temporal():
        return numbers(moments, what="time", where=where)
    return seconds(moments, column, where=where)


def not_numbers(column: pl.Series) -> int:
    """How many of a column of texts are no numbers."""
    return column.str.strip_chars().cast(pl.Float64, strict=False).null_count()


def moments_of(column: pl.Series) -> pl.Series:
    """A column of texts read as dates and times, null where one is none; its first date says which layout all have."""
    return column.str.strip_chars().str.to_datetime(strict=False, time_zone="UTC")


def seconds(moments: pl.Series, column: pl.Series, *, where: str) -> npt.NDArray[np.float64]:
    """Moments (n,) that were read from ``column`` as seconds since 1970; a missing one is refused with its row."""
    _refuse_numbers(moments.is_null(), column, "time", where)
    return (moments.cast(pl.Datetime("us")).dt.epoch("us") / 1e6).to_numpy()


def _refuse_numbers(wrong: pl.Series, column: pl.Series, what: str, where: str) -> None:
    sentence = f"{what}s in column {column.name!r} of {where} are not {'times' if what == 'time' else 'numbers'}"
    _refuse(wrong, column, sentence, f"Fix or remove those rows, or name another column with --{what}-column.")


def _refuse(wrong: pl.Series, column: pl.Series, sentence: str, fix: str) -> None:
    count = int(wrong.sum())
    if count:
        row = int(wrong.arg_max() or 0)
        raise Refused(count, sentence, column[row], row, fix)


def encode(values: pl.Series) -> tuple[Vocabulary, Rows]:
    """The vocabulary of a column of string ids, and its row numbers (n,)."""
    vocabulary = Vocabulary.of(values.unique())
    table = pl.DataFrame({"id": vocabulary.texts, "row": np.arange(len(vocabulary))})
    joined = pl.DataFrame({"id": values}).join(table, on="id", how="left", maintain_order="left")
    return vocabulary, joined["row"].to_numpy().astype(np.int64)


def interactions_of(
    user: pl.Series,
    item: pl.Series,
    *,
    rating: npt.NDArray[np.float64] | None = None,
    time: npt.NDArray[np.float64] | None = None,
) -> Interactions:
    """Events from two columns of string ids (n,)."""
    users, user_rows = encode(user)
    items, item_rows = encode(item)
    return Interactions(users, items, user_rows, item_rows, rating, time)


def per_user_order(interactions: Interactions) -> bool:
    """Whether times merely number each user's own events: 0, 1, 2 … (or 1, 2, 3 …) for every one of several users."""
    time = interactions.time
    if time is None or len(interactions.users) < 2 or len(interactions) == len(interactions.users):
        return False
    order = np.lexsort((time, interactions.user))
    user, time = interactions.user[order], time[order]
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    place = np.arange(len(user)) - np.repeat(starts, np.diff(starts, append=len(user)))
    first = time[starts]
    return bool(first[0] in (0.0, 1.0) and (first == first[0]).all() and (time == place + first[0]).all())


def paths(value: object) -> list[list[str]]:
    """Category paths, each broad to specific, from a list, a list of lists or a string.

    A string is read as ``A > B > C``, several such paths divided by ``|``, or a plain ``A|B|C``; a printed list is
    read as a list.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return paths(_literal(text))
        if ">" in text:
            return [path for part in text.split("|") if (path := _names(re.split(r"\s*>\s*", part)))]
        return [path] if (path := _names(text.split("|"))) else []
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        nested = [part for part in value if isinstance(part, Sequence) and not isinstance(part, str)]
        if nested:
            return [path for part in nested if (path := _names(part))]
        return [path] if (path := _names(value)) else []
    return []


def _names(parts: Iterable[object]) -> list[str]:
    names = (str(part).strip() for part in parts if part is not None)
    return [name for name in names if name.lower() not in NOTHING]


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [text]


def names(value: object) -> list[str]:
    """Short names from a list or from ``A; B`` or ``A|B`` text, each once."""
    if isinstance(value, str) and not value.strip().startswith("["):
        return list(dict.fromkeys(_names(re.split(r"\s*[;|]\s*", value))))
    return list(dict.fromkeys(name for path in paths(value) for name in path))
