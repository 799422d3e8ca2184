"""The ledger: every call to a paid model, before it is sent and after it came back, in one SQLite file.

A row is written before a call (``sent``) and closed after it: ``answered`` with the raw reply, tokens, price and
seconds, ``refused`` with the reason and what the no cost, or ``failed`` where it was lost on the way. A process killed
at any moment leaves rows that say ``sent``; the next one to open the ledger marks them ``lost`` and counts them, since
the server may have charged for them. What became of a question is kept beside its calls: ``done``, or ``quarantined``
or ``unanswered`` with the reason. What a call brought is settled with the next call's row, or a moment later. Only one
process writes at a time. Knows hashes, texts and numbers; does not know what was asked, and never holds a key to a
server.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from hyperllm.errors import ArtifactError, Corrupt, ProviderRefused
from hyperllm.llm.chat import Reply

NAME = "calls.sqlite"
Verdict: TypeAlias = Literal["done", "quarantined", "unanswered"]
VERDICTS: tuple[Verdict, ...] = ("done", "quarantined", "unanswered")
_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS calls(
  id INTEGER PRIMARY KEY, question BLOB NOT NULL, turn INTEGER NOT NULL, series TEXT NOT NULL, kind TEXT NOT NULL,
  state TEXT NOT NULL, sent_at REAL NOT NULL, latency_s REAL, input_tokens INTEGER, output_tokens INTEGER,
  price_usd REAL, cut INTEGER, raw TEXT, reason TEXT, batch TEXT
);
CREATE INDEX IF NOT EXISTS calls_question ON calls(question, turn);
CREATE INDEX IF NOT EXISTS calls_sent ON calls(state) WHERE state = 'sent';
CREATE TABLE IF NOT EXISTS questions(
  question BLOB PRIMARY KEY, series TEXT NOT NULL, kind TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series(
  series TEXT NOT NULL, kind TEXT NOT NULL, wanted INTEGER NOT NULL, price TEXT, updated_at REAL NOT NULL,
  done INTEGER NOT NULL DEFAULT 0, quarantined INTEGER NOT NULL DEFAULT 0, unanswered INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(series, kind)
);
CREATE TABLE IF NOT EXISTS batches(
  batch TEXT PRIMARY KEY, remote TEXT, state TEXT NOT NULL, series TEXT NOT NULL, created_at REAL NOT NULL
);
"""


@dataclass(frozen=True)
class Call:
    """What a call is about: the ``question``'s hash, its ``turn`` (1, or 2 for the repair), and whose it is."""

    question: bytes
    turn: int
    series: str
    kind: str


@dataclass(frozen=True)
class Stored:
    """A reply from the ledger, and what its call cost."""

    reply: Reply
    price_usd: float | None


@dataclass(frozen=True)
class Tally:
    """Counts of one series and kind; ``price_usd`` leaves out calls whose price nobody knows (``unpriced``)."""

    series: str
    kind: str
    wanted: int
    done: int
    quarantined: int
    unanswered: int
    calls: int
    answered: int
    repairs: int
    refused: int
    failed: int
    lost: int
    input_tokens: int
    output_tokens: int
    price_usd: float
    unpriced: int
    latency_s: float | None
    price: str | None


class Ledger:
    """Open `opened`; ``lost`` counts the calls that were on their way when an earlier process died."""

    def __init__(self, connection: sqlite3.Connection, *, lost: int = 0) -> None:
        self._db = connection
        self.lost = lost

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Generator[Ledger]:
        """The ledger at ``path``, made if absent; raises `ArtifactError` while another process writes to it."""
        with _alone(path), _connected(path) as db:
            db.executescript(_TABLES)
            lost = db.execute("UPDATE calls SET state = 'lost' WHERE state = 'sent' AND batch IS NULL").rowcount
            ledger = cls(db, lost=lost)
            try:
                yield ledger
            finally:
                ledger.settle()

    @classmethod
    @contextmanager
    def beside(cls, path: Path) -> Generator[Ledger]:
        """The ledger at ``path`` for a process that writes for the one which has it `opened`, and waits."""
        with _connected(path) as db:
            ledger = cls(db)
            try:
                yield ledger
            finally:
                ledger.settle()

    @classmethod
    @contextmanager
    def read(cls, path: Path) -> Generator[Ledger | None]:
        """The ledger for looking only, also while another process writes; None where there is none."""
        if not path.exists():
            yield None
            return
        with _connected(path, look=True) as db:
            begun = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone()
            yield cls(db) if begun else None

    @classmethod
    @contextmanager
    def in_memory(cls) -> Generator[Self]:
        """An empty ledger that leaves nothing behind."""
        db = sqlite3.connect(":memory:", isolation_level=None)
        try:
            db.executescript(_TABLES)
            yield cls(db)
        finally:
            db.close()

    def begin(self, call: Call, *, batch: str | None = None) -> int:
        """A row before the call, settled; returns its number."""
        row = self._write(
            "INSERT INTO calls(question, turn, series, kind, state, sent_at, batch) VALUES (?, ?, ?, ?, 'sent', ?, ?)",
            (call.question, call.turn, call.series, call.kind, time.time(), batch),
        ).lastrowid
        assert row is not None
        if batch is None:
            self.settle()
        return row

    def settle(self) -> None:
        """Commit everything written so far: from here on it outlives the process."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def _write(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(statement, values)

    def answered(self, row: int, reply: Reply, *, price_usd: float | None, latency_s: float | None) -> None:
        """Close a row with what came back."""
        self._write(
            "UPDATE calls SET state = 'answered', latency_s = ?, input_tokens = ?, output_tokens = ?, price_usd = ?, "
            "cut = ?, raw = ? WHERE id = ?",
            (latency_s, reply.input_tokens, reply.output_tokens, price_usd, reply.cut, _storable(reply.text), row),
        )

    def failed(self, row: int, reason: str, *, latency_s: float | None = None) -> None:
        """Close a row whose call was lost on the way."""
        values = latency_s, _storable(reason), row
        self._write("UPDATE calls SET state = 'failed', latency_s = ?, reason = ? WHERE id = ?", values)

    def gone(self, row: int) -> None:
        """The process that sent this call is dead, so its answer will not come; the server may have charged for it."""
        self._write("UPDATE calls SET state = 'lost' WHERE id = ? AND state = 'sent'", (row,))

    def refused(
        self, row: int, problem: ProviderRefused, *, price_usd: float | None = None, latency_s: float | None = None
    ) -> None:
        """Close a row whose call was answered with a no, which may have cost something all the same."""
        self._write(
            "UPDATE calls SET state = 'refused', latency_s = ?, input_tokens = ?, output_tokens = ?, price_usd = ?, "
            "reason = ? WHERE id = ?",
            (latency_s, problem.input_tokens, problem.output_tokens, price_usd, _storable(str(problem)), row),
        )

    def reply(self, question: bytes, turn: int) -> Stored | None:
        """The newest answer to one turn of a question."""
        row = self._db.execute(
            "SELECT raw, input_tokens, output_tokens, cut, price_usd FROM calls "
            "WHERE question = ? AND turn = ? AND state = 'answered' ORDER BY id DESC LIMIT 1",
            (question, turn),
        ).fetchone()
        return None if row is None else Stored(Reply(row[0], row[1], row[2], bool(row[3])), row[4])

    def judge(self, call: Call, verdict: Verdict, reason: str | None = None) -> None:
        """What became of a question; what was done stays done."""
        self._write(
            "INSERT INTO questions VALUES (?, ?, ?, ?, ?) ON CONFLICT(question) DO UPDATE SET "
            "verdict = excluded.verdict, reason = excluded.reason WHERE verdict != 'done'",
            (call.question, call.series, call.kind, verdict, None if reason is None else _storable(reason)),
        )

    def verdict(self, question: bytes) -> tuple[Verdict, str | None] | None:
        """What became of a question, and why; None where it is open."""
        return self._db.execute("SELECT verdict, reason FROM questions WHERE question = ?", (question,)).fetchone()

    def verdicts(self, questions: Sequence[bytes]) -> dict[bytes, tuple[Verdict, str | None]]:
        """`verdict` of many questions at once, without the open ones."""
        marks = ",".join("?" * len(questions))
        found = self._db.execute(
            f"SELECT question, verdict, reason FROM questions WHERE question IN ({marks})", questions
        )
        return {row[0]: (row[1], row[2]) for row in found}

    def reopen(self, series: str) -> int:
        """Forget what is quarantined in a series, replies included, so that it is asked again; returns how many."""
        where = "series = ? AND verdict != 'done'"
        with self.together():
            self._db.execute(
                "UPDATE calls SET state = CASE state WHEN 'refused' THEN 'forgiven' ELSE 'void' END "
                "WHERE state IN ('answered', 'refused') AND question IN "
                f"(SELECT question FROM questions WHERE {where})",
                (series,),
            )
            return self._db.execute(f"DELETE FROM questions WHERE {where}", (series,)).rowcount

    def want(self, series: str, kind: str, wanted: int, price: str | None) -> None:
        """Note how many questions a series has, and one more source of the prices by which it is counted."""
        before = self._db.execute("SELECT price FROM series WHERE series = ? AND kind = ?", (series, kind)).fetchone()
        sources = [*(before[0].split("; ") if before and before[0] else ()), *([price] if price else ())]
        values = series, kind, wanted, "; ".join(dict.fromkeys(sources)) or None, time.time()
        self._write(
            "INSERT OR REPLACE INTO series(series, kind, wanted, price, updated_at) VALUES (?, ?, ?, ?, ?)", values
        )
        self.settle()

    def ended(self, series: str, kind: str, verdicts: Mapping[Verdict, int]) -> None:
        """Note how a series' questions ended, those that another series had asked before included."""
        counts = [verdicts.get(verdict, 0) for verdict in VERDICTS]
        self._write(
            "UPDATE series SET done = ?, quarantined = ?, unanswered = ? WHERE series = ? AND kind = ?",
            [*counts, series, kind],
        )
        self.settle()

    def spent_usd(self, series: str) -> float:
        """Dollars spent on a series so far."""
        return self._db.execute("SELECT TOTAL(price_usd) FROM calls WHERE series = ?", (series,)).fetchone()[0]

    def on_the_way(self, series: str, kind: str) -> int:
        """Calls that were sent and have not come back."""
        where = "series = ? AND kind = ? AND state = 'sent'"
        return self._db.execute(f"SELECT COUNT(*) FROM calls WHERE {where}", (series, kind)).fetchone()[0]

    def tallies(self) -> list[Tally]:
        """One `Tally` a series and kind, in order of name."""
        calls = self._db.execute(
            "SELECT series, kind, COUNT(*), SUM(state IN ('answered', 'void')), "
            "SUM(turn > 1 AND state IN ('answered', 'void')), SUM(state IN ('refused', 'forgiven')), "
            "SUM(state = 'failed'), SUM(state = 'lost'), "
            "TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(price_usd), "
            "SUM(state IN ('answered', 'void') AND price_usd IS NULL), AVG(latency_s) FILTER (WHERE state = 'answered')"
            " FROM calls GROUP BY series, kind"
        ).fetchall()
        verdicts = {
            (series, kind, verdict): count
            for series, kind, verdict, count in self._db.execute(
                "SELECT series, kind, verdict, COUNT(*) FROM questions GROUP BY series, kind, verdict"
            )
        }
        noted = self._db.execute("SELECT series, kind, wanted, price, done, quarantined, unanswered FROM series")
        wanted = {row[:2]: row[2:] for row in noted}
        counted = {row[:2]: row[2:] for row in calls}
        return [
            _tally(key, wanted.get(key, (0, None, 0, 0, 0)), verdicts, counted.get(key, (0,) * 10 + (None,)))
            for key in sorted({*wanted, *counted, *(found[:2] for found in verdicts)})
        ]

    def begin_batch(self, batch: str, series: str, calls: Iterable[Call]) -> list[int]:
        """Rows for all calls of a batch that is about to be sent, and the batch itself, in one transaction."""
        with self.together():
            self._write("INSERT INTO batches VALUES (?, NULL, 'sent', ?, ?)", (batch, series, time.time()))
            return [self.begin(call, batch=batch) for call in calls]

    def batch_is(self, batch: str, state: str, remote: str | None = None) -> None:
        """Note a batch's state, and its name at the server."""
        values = state, remote, batch
        self._write("UPDATE batches SET state = ?, remote = COALESCE(?, remote) WHERE batch = ?", values)
        self.settle()

    def open_batches(self, series: str) -> list[tuple[str, str | None]]:
        """(batch, name at the server) of those that are not finished."""
        rows = self._db.execute("SELECT batch, remote FROM batches WHERE series = ? AND state = 'sent'", (series,))
        return rows.fetchall()

    def batch_calls(self, batch: str) -> dict[int, Call]:
        """Row -> call of those of a batch that are still without an answer."""
        rows = self._db.execute(
            "SELECT id, question, turn, series, kind FROM calls WHERE batch = ? AND state = 'sent'", (batch,)
        )
        return {row[0]: Call(*row[1:]) for row in rows}

    def drop_batch(self, batch: str) -> None:
        """Take back a batch that never reached the server, with its rows."""
        with self.together():
            self._db.execute("DELETE FROM calls WHERE batch = ? AND state = 'sent'", (batch,))
            self._db.execute("DELETE FROM batches WHERE batch = ?", (batch,))

    def last_call(self, question: bytes) -> tuple[str, str | None]:
        """(state, reason) of the newest call about a question; (``open``, None) where there is none."""
        row = self._db.execute(
            "SELECT state, reason FROM calls WHERE question = ? ORDER BY id DESC LIMIT 1", (question,)
        ).fetchone()
        return row or ("open", None)

    @contextmanager
    def together(self) -> Generator[None]:
        """Many writes as one; on an error none of them."""
        self.settle()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.settle()


def _tally(
    key: tuple[str, str], wanted: tuple[Any, ...], verdicts: Mapping[tuple[str, str, str], int], c: tuple[Any, ...]
) -> Tally:
    counted = [verdicts.get((*key, v), 0) for v in VERDICTS]
    running = [min(count, wanted[0]) if wanted[0] else count for count in counted]
    done, quarantined, unanswered = wanted[2:] if any(wanted[2:]) else running
    return Tally(
        series=key[0],
        kind=key[1],
        wanted=wanted[0],
        done=done,
        quarantined=quarantined,
        unanswered=unanswered,
        calls=c[0],
        answered=c[1],
        repairs=c[2],
        refused=c[3],
        failed=c[4],
        lost=c[5],
        input_tokens=int(c[6]),
        output_tokens=int(c[7]),
        price_usd=float(c[8]),
        unpriced=c[9],
        latency_s=c[10],
        price=wanted[1],
    )


@contextmanager
def _connected(path: Path, *, look: bool = False) -> Generator[sqlite3.Connection]:
    """WAL: a finished write survives the death of the process, and readers never wait for the writer."""
    try:
        with closing(_looking(path) if look else _writing(path)) as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, _FORMAT):
                raise ArtifactError(f"{str(path)!r} has format {found}; this version reads format {_FORMAT}")
            if found == 0 and not look:
                db.execute(f"PRAGMA user_version = {_FORMAT}")
            yield db
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from None
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # a mistake of the program, not of the file
            raise
        raise Corrupt(
            f"{str(path)!r} is damaged ({error}). It holds every reply paid for: put back a copy, or move it away to "
            "ask for all of them again."
        ) from None


def _writing(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 8000")  # pages: hashes land anywhere, so many rewrites become one
    except sqlite3.Error:
        db.close()
        raise
    return db


def _looking(path: Path) -> sqlite3.Connection:
    """Without writing a byte; a folder that cannot be written holds no other process's writes."""
    still = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0, check_same_thread=False)


def is_written(path: Path) -> bool:
    """Whether a living process has the ledger open for writing."""
    try:
        with _alone(path):
            return False
    except ArtifactError:
        return True


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Hold the ledger's lock, which the system lets go of when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(path.with_name(f".{path.name}.lock"), isolation_level=None, timeout=0.0)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise _unusable(path, error) from None
            raise ArtifactError(
                f"another process is writing to {str(path)!r}; wait for it, or end it and repeat the command"
            ) from None
        yield


def _unusable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{str(path)!r} cannot be used ({error}); is the disk full or read-only?")


def _storable(text: str) -> str:
    """Half a character, as a cut or careless reply may hold, cannot be written."""
    return text.encode("utf-8", "replace").decode("utf-8")
