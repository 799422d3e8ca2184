"""Old MovieLens tables -> ``ratings.csv`` and ``movies.csv``, the form GroupLens itself uses since 20M.

Knows the layouts of 100K (``u.data``, ``u.item``, ``u.genre``) and of 1M and 10M (``ratings.dat``, ``movies.dat``).
Does not know where the files came from, nor how the new ones are read.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from hyperllm.errors import DataError

RATING = ("userId", "movieId", "rating", "timestamp")


def modernise(folder: Path) -> None:
    """Write ``ratings.csv`` and ``movies.csv`` beside any old tables found under ``folder``; else do nothing."""
    for old in sorted(folder.rglob("u.data")):
        _write(old.parent, pl.read_csv(old, separator="\t", has_header=False, new_columns=RATING), _items(old.parent))
    for old in sorted(folder.rglob("ratings.dat")):
        _write(old.parent, _double_colons(old), _movies(old.parent / "movies.dat"))


def _write(folder: Path, ratings: pl.DataFrame, movies: list[tuple[str, str, str]]) -> None:
    for name, frame in (
        ("movies.csv", pl.DataFrame(movies, schema=["movieId", "title", "genres"], orient="row")),
        ("ratings.csv", ratings),
    ):
        if not (folder / name).exists():
            frame.write_csv(folder / f".{name}")
            (folder / f".{name}").rename(folder / name)


def _double_colons(path: Path) -> pl.DataFrame:
    """``user::movie::rating::time``: cut at each colon, every other column is empty."""
    frame = pl.read_csv(path, separator=":", has_header=False, quote_char=None)
    if frame.width != 7:
        raise DataError(f"{str(path)!r} has {frame.width} fields a line; expected user::movie::rating::timestamp.")
    chosen = frame[:, ::2]
    return chosen.rename(dict(zip(chosen.columns, RATING, strict=True)))


def _movies(path: Path) -> list[tuple[str, str, str]]:
    rows = [line.split("::") for line in _text(path).splitlines() if line]
    if any(len(row) < 3 for row in rows):
        raise DataError(f"{str(path)!r} has a line without three fields; expected movie::title::genres.")
    return [(row[0], "::".join(row[1:-1]), row[-1]) for row in rows]


def _items(folder: Path) -> list[tuple[str, str, str]]:
    """``u.item``: id, title, three fields more, then a flag a genre in the order of ``u.genre``."""
    genres = [line.split("|")[0] for line in _text(folder / "u.genre").splitlines() if line]
    movies: list[tuple[str, str, str]] = []
    for line in _text(folder / "u.item").splitlines():
        fields = line.split("|")
        flags = fields[-len(genres) :]
        movies.append((fields[0], fields[1], "|".join(g for g, f in zip(genres, flags, strict=False) if f == "1")))
    return movies


def _text(path: Path) -> str:
    """UTF-8 (10M), else Latin-1 (100K and 1M)."""
    raw = path.read_bytes()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
