"""Files on disk -> tables, with one clear sentence when that fails.

Knows CSV, TSV, JSON lines, Parquet and gzip, and that text is UTF-8. Does not know what a column means.
"""

from __future__ import annotations

import codecs
import gzip
import io
import shutil
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from hyperllm.errors import DataError

GZIP = b"\x1f\x8b"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CSV = "CSV with a header, standard quoting"
_JSON = "one JSON object a line"


def read_frame(path: Path) -> pl.DataFrame:
    """The table in ``path``; the name's ending (before an optional ``.gz``) says which format.

    Text formats give every CSV value as a string, so that leading zeros survive; raises `DataError` where there is no
    such file, or it is empty, cut short, badly encoded or of another format.
    """
    require_file(path)
    frame = READERS[_ending(path)](path)
    if not frame.height or not frame.width:
        raise _no_row(path)
    return frame


def _ending(path: Path) -> str:
    """The key of `READERS` that a file's name asks for."""
    name = path.name.lower().removesuffix(".gz")
    for ending in READERS:
        if name.endswith(ending):
            return ending
    raise DataError(f"{str(path)!r} has no known ending; expected {', '.join(READERS)} (text also with .gz).")


def read_blocks(path: Path, names: Sequence[str], *, rows: int, folder: Path) -> Iterator[pl.DataFrame]:
    """The columns ``names`` of what `read_frame` reads, about ``rows`` rows at a time and without the rest in memory.

    A packed file is unpacked into ``folder``. Raises as `read_frame`, and for a file that is one JSON list.
    """
    with _lazily(path, folder) as frame:
        chosen = frame.select(names)
        if _ending(path) in (".parquet", ".pq"):  # groups of rows can be left out, and reading ahead costs memory
            count, step = int(frame.select(pl.len()).collect().item()), max(rows, _group_rows(path))
            for start in range(0, count, step):
                yield from chosen.slice(start, step).collect().iter_slices(rows)
        else:
            yield from chosen.collect_batches(chunk_size=rows)


def read_header(path: Path, *, folder: Path) -> pl.DataFrame:
    """The columns of ``path`` with their types and no row; raises as `read_blocks`."""
    with _lazily(path, folder) as frame:
        header = pl.DataFrame(schema=frame.collect_schema())
        if not header.width or frame.head(1).collect().is_empty():
            raise _no_row(path)
        return header


def read_ahead(path: Path, names: Sequence[str], *, folder: Path) -> int:
    """Bytes that `read_blocks` holds beside blocks, as measured.

    Of Parquet three times the largest group of rows, of CSV what polars reads ahead with every thread (1 to 8 were
    tried). JSON lines are mapped, which the system can take back.
    """
    if _ending(path) in (".parquet", ".pq"):
        return 3 * _group_rows(path) * row_bytes(path, names, folder=folder)
    if _ending(path) in (".csv", ".tsv", ".txt"):
        source = _unpacked_into(folder, path) if zipped(path) else path
        return min((170 + 90 * pl.thread_pool_size()) * 10**6, 4 * source.stat().st_size)
    return 0


def _group_rows(path: Path) -> int:
    """Rows of the largest group of a Parquet file, which is decoded whole."""
    from pyarrow import parquet  # slow to import, and most tables are text

    found = parquet.read_metadata(path)
    return max((found.row_group(number).num_rows for number in range(found.num_row_groups)), default=0)


def row_bytes(path: Path, names: Sequence[str], *, folder: Path) -> int:
    """What a row of the columns ``names`` takes in memory, judged by the first thousand; raises as `read_blocks`."""
    with _lazily(path, folder) as frame:
        first = frame.select(names).head(1000).collect()
        return int(first.estimated_size()) // max(1, first.height)


@contextmanager
def _lazily(path: Path, folder: Path) -> Generator[pl.LazyFrame]:
    """The table in ``path``, not read yet; what goes wrong while it is read becomes a `DataError`."""
    require_file(path)
    ending = _ending(path)
    if ending in (".parquet", ".pq"):
        try:
            yield pl.scan_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _no_parquet(path, error) from None
        return
    source = _bytes(path) if not zipped(path) else _unpacked_into(folder, path)
    assert isinstance(source, Path)
    _check_head(path, source)
    json = ending in (".jsonl", ".ndjson", ".json")
    if json and _head(source).lstrip().startswith(b"["):
        raise DataError(f"{str(path)!r} is one JSON list, which has to be read whole. Write one JSON object a line.")
    try:
        if json:
            yield pl.scan_ndjson(source, infer_schema_length=None)
        else:
            yield pl.scan_csv(source, separator="\t" if ending == ".tsv" else _separator(source), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, source, error, _JSON if json else _CSV) from None


def _unpacked_into(folder: Path, path: Path) -> Path:
    target = folder / path.name.removesuffix(".gz")
    if not target.exists():
        try:
            with gzip.open(path) as packed, target.open("wb") as stream:
                shutil.copyfileobj(packed, stream, 2**20)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _bad_gzip(path, error) from None
    if not target.stat().st_size:
        raise _nothing_packed(path)
    return target


def require_file(path: Path) -> None:
    """Raise `DataError` unless ``path`` is a file with something in it."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{str(path)!r} {what}; expected a file. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{str(path)!r} is empty; expected a table with a header and at least one row.")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text without the line break) of every line that is not blank, read as a stream."""
    require_file(path)
    number = 0
    try:
        with gzip.open(path) if zipped(path) else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                if raw.strip():
                    yield number, raw.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _encoding(path, number) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad_gzip(path, error) from None


def zipped(path: Path) -> bool:
    """Whether ``path`` is gzip by its first bytes; raises `DataError` where only the name says so."""
    with path.open("rb") as stream:
        magic = stream.read(2)
    if magic != GZIP and path.suffix.lower() == ".gz":
        raise DataError(f"{str(path)!r} is called .gz but is not gzip. Download it again, or rename it.")
    return magic == GZIP


def _bytes(path: Path) -> bytes | Path:
    """What a reader of text formats should read: the file itself, or its unpacked bytes; begins with UTF-8."""
    source = _unpacked(path) if zipped(path) else path
    _check_head(path, source)
    return source


def _check_head(path: Path, source: bytes | Path) -> None:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(_head(source))
    except UnicodeDecodeError as error:
        raise _encoding(path, _head(source).count(b"\n", 0, error.start) + 1) from None


def _unpacked(path: Path) -> bytes:
    try:
        raw = gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad_gzip(path, error) from None
    if not raw:
        raise _nothing_packed(path)
    return raw


def _csv(path: Path, separator: str | None = None) -> pl.DataFrame:
    source = _bytes(path)
    separator = separator or _separator(source)
    try:
        return pl.read_csv(source, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, source, error, _CSV) from None


def _tsv(path: Path) -> pl.DataFrame:
    return _csv(path, "\t")


def _json_lines(path: Path) -> pl.DataFrame:
    source = _bytes(path)
    try:
        if _head(source).lstrip().startswith(b"["):
            return pl.read_json(source, infer_schema_length=None)
        return pl.read_ndjson(source, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, source, error, _JSON) from None


def _parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(path, error) from None


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_lines,
    ".parquet": _parquet,
    ".pq": _parquet,
}


def _head(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[:65_536]
    with source.open("rb") as stream:
        return stream.read(65_536)


def _separator(source: bytes | Path) -> str:
    """A comma, unless the header has none and has a tab or semicolon."""
    header = _head(source).split(b"\n", 1)[0]
    return next((s for s in (",", "\t", ";") if s.encode() in header), ",")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].strip().rstrip(".")


def _unreadable(path: Path, source: bytes | Path, error: Exception, expected: str) -> DataError:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return _encoding(path, number)
    return DataError(f"{str(path)!r} cannot be read ({_first_line(error)}); expected {expected}.")


def _no_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"{str(path)!r} cannot be read as Parquet ({_first_line(error)}). Write it again.")


def _no_row(path: Path) -> DataError:
    return DataError(f"{str(path)!r} has a header but no row; expected at least one.")


def _nothing_packed(path: Path) -> DataError:
    return DataError(f"{str(path)!r} is empty once unpacked; expected a table with a header and at least one row.")


def _encoding(path: Path, line: int) -> DataError:
    with path.open("rb") as stream:
        guess = " (it looks like UTF-16)" if stream.read(2) in UTF16 else ""
    return DataError(f"{str(path)!r} is not UTF-8{guess}: line {line:,} cannot be decoded. Save it again as UTF-8.")


def _bad_gzip(path: Path, error: Exception) -> DataError:
    return DataError(f"{str(path)!r} is damaged or cut-short gzip ({_first_line(error)}). Download or pack it again.")
