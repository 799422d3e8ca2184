"""The ledger outlives its process: what was answered is there, what was on its way is counted."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperllm.errors import ArtifactError, Corrupt, ProviderRefused
from hyperllm.llm.chat import Reply
from hyperllm.llm.ledger import NAME, Call, Ledger, Stored

WRITER = """
import sys
from pathlib import Path
from hyperllm.errors import ProviderRefused
from hyperllm.llm.chat import Reply
from hyperllm.llm.ledger import Call, Ledger

start = int(sys.argv[2])
with Ledger.opened(Path(sys.argv[1])) as ledger:
    for n in range(start, start + 10**6):
        call = Call(b"%d" % n, 1, "set", "item")
        row = ledger.begin(call)
        print(n, flush=True)  # the one before is settled
        if n % 7 == 3:
            ledger.refused(row, ProviderRefused("no", input_tokens=2, output_tokens=0), price_usd=0.25)
        else:
            ledger.answered(row, Reply(f"reply {n}", 2, 1), price_usd=0.5, latency_s=0.1)
        ledger.judge(call, "quarantined" if n % 7 == 3 else "done")
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / NAME


def call(n: int = 1, turn: int = 1, *, series: str = "set", kind: str = "item") -> Call:
    return Call(b"%d" % n, turn, series, kind)


def write(path: Path, start: int = 0) -> subprocess.Popen[str]:
    """A process that writes until it is killed."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == f"{start}\n"
    return writer


def kill(writer: subprocess.Popen[str]) -> int:
    """End it as hard as can be; the last number that it told."""
    writer.send_signal(signal.SIGKILL)
    told = writer.communicate()[0].splitlines(keepends=True)
    return max((int(line) for line in told if line.endswith("\n")), default=-1)


def rows(path: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT state, raw FROM calls ORDER BY id").fetchall()


# Before and after


def test_a_row_stands_before_the_call_and_is_closed_after_it(path):
    with Ledger.opened(path) as ledger:
        row = ledger.begin(call())
        assert rows(path) == [("sent", None)]
        ledger.answered(row, Reply("text", 3, 4, cut=True), price_usd=0.5, latency_s=1.0)
        assert rows(path) == [("sent", None)]
        ledger.settle()
        assert rows(path) == [("answered", "text")]
        stored = ledger.reply(call().question, 1)
        assert stored is not None
        assert (stored.reply, stored.price_usd) == (Reply("text", 3, 4, cut=True), 0.5)
        assert ledger.reply(call().question, 2) is None
        assert ledger.last_call(call().question) == ("answered", None)


def test_the_end_of_the_block_settles_whatever_ended_it(path):
    def interrupted() -> None:
        with Ledger.opened(path) as ledger:
            ledger.answered(ledger.begin(call()), Reply("paid"), price_usd=None, latency_s=None)
            raise LookupError

    with pytest.raises(LookupError):
        interrupted()
    assert rows(path) == [("answered", "paid")]


@example(text="half a face \ud83d", reason="\x00\ude00")
@given(text=st.text(max_size=30), reason=st.text(max_size=30))
def test_any_text_can_be_kept(text, reason):
    with Ledger.in_memory() as ledger:
        ledger.answered(ledger.begin(call(1)), Reply(text), price_usd=None, latency_s=None)
        ledger.refused(ledger.begin(call(2)), ProviderRefused(reason))
        ledger.failed(ledger.begin(call(3)), reason)
        ledger.judge(call(2), "quarantined", reason)
        stored, verdict = ledger.reply(call(1).question, 1), ledger.verdict(call(2).question)
        kept = reason.encode("utf-8", "replace").decode()
        assert stored is not None
        assert stored.reply.text == text.encode("utf-8", "replace").decode()
        assert verdict == ("quarantined", kept)
        assert ledger.last_call(call(3).question) == ("failed", kept)


def test_the_newest_answer_counts():
    with Ledger.in_memory() as ledger:
        for text in ("first", "second"):
            ledger.answered(ledger.begin(call()), Reply(text), price_usd=None, latency_s=None)
        stored = ledger.reply(call().question, 1)
        assert stored is not None
        assert stored.reply.text == "second"


def test_many_verdicts_at_once_are_the_single_ones():
    with Ledger.in_memory() as ledger:
        ledger.judge(call(1), "done")
        ledger.judge(call(2), "quarantined", "why")
        keys = [call(n).question for n in range(4)]
        alone = {key: found for key in keys if (found := ledger.verdict(key)) is not None}
        assert ledger.verdicts(keys) == alone == {b"1": ("done", None), b"2": ("quarantined", "why")}
        assert ledger.verdicts([]) == {}
        ledger.judge(call(1), "quarantined", "a later twin")
        assert ledger.verdict(call(1).question) == ("done", None), "what was done stays done"


def test_another_thread_may_write(path):
    with Ledger.opened(path) as ledger:
        thread = threading.Thread(target=lambda: ledger.failed(ledger.begin(call()), "lost"))
        thread.start()
        thread.join()
    assert rows(path) == [("failed", None)]


# Killed


def test_a_killed_writer_loses_nothing_it_was_answered(path):
    chance, lost, settled = random.Random(5), 0, 0
    for start in range(0, 4 * 10**6, 10**6):
        writer = write(path, start)
        time.sleep(chance.uniform(0, 0.03))
        told = max(start, kill(writer))
        with Ledger.opened(path) as ledger:
            assert ledger.lost <= 1
            lost += ledger.lost
            settled += told - start
            for n in range(start, told):
                stored, refused = ledger.reply(b"%d" % n, 1), n % 7 == 3
                assert stored == (None if refused else Stored(Reply(f"reply {n}", 2, 1), 0.5))
                assert ledger.verdict(b"%d" % n) == ("quarantined" if refused else "done", None)
            (tally,) = ledger.tallies()
            assert tally.lost == lost
            assert tally.calls == tally.answered + tally.refused + tally.lost
            assert tally.answered + tally.refused >= settled
            assert tally.price_usd == tally.answered * 0.5 + tally.refused * 0.25
    assert settled > 0


def test_lost_calls_are_counted_once(path):
    with Ledger.opened(path) as ledger:
        for n in range(3):
            ledger.begin(call(n))
        assert ledger.on_the_way("set", "item") == 3
    for expected in (3, 0):
        with Ledger.opened(path) as ledger:
            assert ledger.lost == expected
            assert ledger.on_the_way("set", "item") == 0


def test_a_second_writer_waits_for_the_death_of_the_first(path):
    writer = write(path)
    try:
        with pytest.raises(ArtifactError, match="another process is writing to") as refused, Ledger.opened(path):
            pass
        assert type(refused.value) is ArtifactError
        with Ledger.read(path) as ledger:
            assert ledger is not None
            assert ledger.tallies()[0].calls >= 1
    finally:
        kill(writer)
    with Ledger.opened(path) as ledger, pytest.raises(ArtifactError, match="another process"), Ledger.opened(path):
        assert ledger.tallies()
    with Ledger.opened(path):
        pass


# Looking


@pytest.mark.parametrize("together", [False, True])
def test_who_looks_neither_waits_nor_writes(path, together):
    with Ledger.opened(path) as writer:
        row = writer.begin(call())
        if together:
            writer._db.execute("BEGIN IMMEDIATE")
        writer.answered(row, Reply("unsettled", 1, 1), price_usd=1.0, latency_s=None)
        before, began = path.read_bytes(), time.monotonic()
        with Ledger.read(path) as reader:
            assert reader is not None
            assert reader.on_the_way("set", "item") == 1
            assert reader.spent_usd("set") == 0
            writer.settle()
            assert reader.spent_usd("set") == 1
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.begin(call(2))
        assert time.monotonic() - began < 5
        assert path.read_bytes() == before


def test_where_nothing_is_there_is_nothing_to_see(path):
    with Ledger.read(path) as found:
        assert found is None
    assert list(path.parent.iterdir()) == []
    path.touch()
    with Ledger.read(path) as found:
        assert found is None


# Trouble with the file


def _filled(path: Path) -> bytes:
    with Ledger.opened(path) as ledger:
        for n in range(300):
            ledger.answered(ledger.begin(call(n)), Reply("x" * 100), price_usd=None, latency_s=None)
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["noise", "cut", "header", "schema"])
def test_a_damaged_file_is_said_and_left_alone(path, damage):
    whole = _filled(path)
    broken = {
        "noise": b"what is this? " * 500,
        "cut": whole[: len(whole) // 3],
        "header": b"SQLite format 4" + whole[15:],
        "schema": whole[:100] + bytes(3996) + whole[4096:],
    }[damage]
    path.write_bytes(broken)
    for look in (Ledger.opened, Ledger.read):
        with pytest.raises(Corrupt, match="put back a copy, or move it away"), look(path) as ledger:
            [ledger.reply(call(n).question, 1) for n in range(300)]
        assert path.read_bytes() == broken


def test_a_later_format_is_refused_untouched(path):
    with Ledger.opened(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    for look in (Ledger.opened, Ledger.read):
        with pytest.raises(ArtifactError, match="has format 7; this version reads format 1"), look(path):
            pass
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_had_is_said(path):
    path.parent.joinpath("file").touch()
    with pytest.raises(ArtifactError, match="cannot be used"), Ledger.opened(path.parent / "file" / NAME):
        pass
    path.mkdir()
    with pytest.raises(ArtifactError, match="cannot be used"), Ledger.opened(path):
        pass
    lock = path.parent / ".other.lock"
    lock.mkdir()
    with pytest.raises(ArtifactError, match="cannot be used"), Ledger.opened(path.parent / "other"):
        pass
    lock.rmdir()
    lock.write_bytes(b"no lock at all, but a text " * 100)
    with pytest.raises(ArtifactError, match="cannot be used"), Ledger.opened(path.parent / "other"):
        pass


def test_a_folder_without_the_right_to_write_can_be_looked_at(path):
    _filled(path)
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(ArtifactError, match="read-only"), Ledger.opened(path):
            pass
        with Ledger.read(path) as ledger:
            assert ledger is not None
            assert ledger.tallies()[0].answered == 300
    finally:
        path.parent.chmod(0o700)


def test_a_mistake_of_the_program_is_not_blamed_on_the_file(path):
    with pytest.raises(sqlite3.IntegrityError), Ledger.opened(path) as ledger:
        [ledger.begin_batch("same", "set", []) for _ in range(2)]


# Counting


STEP = st.tuples(
    st.sampled_from(["answered", "refused", "failed", "sent"]),
    st.integers(1, 2),
    st.sampled_from(["item", "user"]),
    st.sampled_from([None, 0.25, 1.5]),
    st.sampled_from(["done", "quarantined", "unanswered", None]),
)


@given(steps=st.lists(STEP, max_size=25), reopened=st.booleans())
def test_sums_are_those_of_the_calls(steps, reopened):
    with Ledger.in_memory() as ledger:
        ledger.want("set", "item", 99, "a price")
        counts: Counter[tuple[str, str]] = Counter()
        for n, (state, turn, kind, price, verdict) in enumerate(steps):
            about = call(n, turn, kind=kind)
            row = ledger.begin(about)
            counts.update({(kind, "calls"): 1, (kind, state): 1})
            if state == "answered":
                ledger.answered(row, Reply("a", 5, 7), price_usd=price, latency_s=2.0)
                counts.update({(kind, "repairs"): turn - 1, (kind, "unpriced"): price is None})
            elif state == "refused":
                ledger.refused(row, ProviderRefused("no", input_tokens=5, output_tokens=7), price_usd=price)
            elif state == "failed":
                ledger.failed(row, "lost")
            if state in ("answered", "refused"):
                counts.update({(kind, "tokens"): 1, (kind, "cents"): int(100 * (price or 0))})
            if verdict is not None:
                ledger.judge(about, verdict)
                counts[kind, verdict] += 1
        if reopened:
            bad = sum(counts[kind, verdict] for kind in ("item", "user") for verdict in ("quarantined", "unanswered"))
            assert ledger.reopen("another set") == 0
            assert ledger.reopen("set") == bad
            for kind in ("item", "user"):
                counts[kind, "quarantined"] = counts[kind, "unanswered"] = 0
        assert ledger.spent_usd("set") == sum(n for (_, what), n in counts.items() if what == "cents") / 100
        tallies = {tally.kind: tally for tally in ledger.tallies()}
        assert set(tallies) == {"item", *(step[2] for step in steps)}
        for kind, tally in tallies.items():
            for what in ("done", "quarantined", "unanswered", "calls", "answered", "repairs", "refused", "failed"):
                assert getattr(tally, what) == counts[kind, what]
            assert (tally.wanted, tally.price) == ((99, "a price") if kind == "item" else (0, None))
            assert (tally.input_tokens, tally.output_tokens) == (5 * counts[kind, "tokens"], 7 * counts[kind, "tokens"])
            assert tally.price_usd == counts[kind, "cents"] / 100
            assert tally.unpriced == counts[kind, "unpriced"]
            assert ledger.on_the_way("set", kind) == counts[kind, "sent"]


def test_what_is_opened_again_is_asked_again_and_what_is_good_stays():
    with Ledger.in_memory() as ledger:
        ends = {1: "done", 2: "quarantined", 3: "unanswered"}
        for n, verdict in ends.items():
            ledger.answered(ledger.begin(call(n)), Reply("a", 1, 1), price_usd=1.0, latency_s=None)
            ledger.judge(call(n), verdict, "why")
        ledger.refused(ledger.begin(call(4)), ProviderRefused("no"), price_usd=1.0)
        ledger.judge(call(4), "quarantined", "no")
        assert ledger.reopen("set") == 3
        assert [ledger.verdict(call(n).question) is None for n in (1, 2, 3, 4)] == [False, True, True, True]
        assert [ledger.reply(call(n).question, 1) is None for n in (1, 2, 3, 4)] == [False, True, True, True]
        assert ledger.last_call(call(4).question)[0] not in ("refused", "answered")
        assert ledger.spent_usd("set") == 4


# Batches


def test_a_batch_is_there_before_it_is_sent_and_no_death_loses_it(path):
    calls = [call(n) for n in range(3)]
    with Ledger.opened(path) as ledger:
        written = ledger.begin_batch("name", "set", calls)
        ledger.begin_batch("elsewhere", "other", [call(9, series="other")])
    with Ledger.opened(path) as ledger:
        assert ledger.lost == 0
        assert ledger.open_batches("set") == [("name", None)]
        ledger.batch_is("name", "sent", "remote-1")
        assert ledger.batch_calls("name") == dict(zip(written, calls, strict=True))
        ledger.answered(written[0], Reply("a"), price_usd=None, latency_s=None)
        assert list(ledger.batch_calls("name")) == written[1:]
    with Ledger.opened(path) as ledger:
        assert ledger.open_batches("set") == [("name", "remote-1")]
        ledger.batch_is("name", "ended")
        assert ledger.open_batches("set") == []
        assert ledger.open_batches("other") == [("elsewhere", None)]


def test_a_batch_that_never_left_is_taken_back():
    with Ledger.in_memory() as ledger:
        row = ledger.begin_batch("name", "set", [call(1), call(2)])[0]
        ledger.answered(row, Reply("a"), price_usd=None, latency_s=None)
        ledger.drop_batch("name")
        assert ledger.open_batches("set") == []
        assert [ledger.last_call(call(n).question)[0] for n in (1, 2)] == ["answered", "open"]


@pytest.mark.parametrize("settled", [False, True])
def test_together_means_all_or_nothing(settled):
    with Ledger.in_memory() as ledger:
        ledger.judge(call(0), "done")
        with suppress(LookupError), ledger.together():
            ledger.judge(call(1), "done")
            if settled:
                ledger.settle()
            raise LookupError
        assert ledger.verdict(call(0).question) is not None
        assert (ledger.verdict(call(1).question) is not None) == settled
        with ledger.together():
            ledger.judge(call(2), "done")
        assert ledger.verdict(call(2).question) is not None
