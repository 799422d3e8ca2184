"""Vectors of texts encoded before, in one SQLite file: an interrupted or grown job encodes only what is new.

Knows hashes of (encoder version, text) and rows of float32. Does not know whose texts they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ArtifactError

Row = npt.NDArray[np.float32]
_MANY = 500


class VectorStore:
    """Hash of a text -> its vector; use `opened`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Generator[VectorStore]:
        """The store at ``path``; a damaged one is begun anew, since vectors can be made again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        db = _connect(path)
        try:
            yield cls(db)
        except sqlite3.OperationalError as error:
            raise ArtifactError(f"{str(path)!r} cannot be used ({error}); is the disk full or read-only?") from None
        finally:
            db.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """Those of ``keys`` that are known."""
        found: dict[bytes, Row] = {}
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            marks = ",".join("?" * len(part))
            for key, raw in self._db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part):
                found[key] = np.frombuffer(raw, dtype=np.float32)
        return found

    def put(self, vectors: Mapping[bytes, Row]) -> None:
        """Keep vectors; they outlive the process when this returns."""
        self._db.execute("BEGIN")
        rows = ((key, np.ascontiguousarray(row, dtype=np.float32).tobytes()) for key, row in vectors.items())
        self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        self._db.execute("COMMIT")


def key(version: str, text: str) -> bytes:
    """The hash under which a text's vector is kept."""
    return sha256(f"{version}\0{text}".encode("utf-8", "replace")).digest()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path)
    except sqlite3.OperationalError as error:
        raise ArtifactError(f"{str(path)!r} cannot be opened ({error})") from None
    except sqlite3.DatabaseError:
        path.unlink()
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS vectors(key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")
        db.execute("SELECT COUNT(*) FROM (SELECT 1 FROM vectors LIMIT 1)")
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
