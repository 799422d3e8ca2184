"""What a person sees while and after work: bars on a terminal, a line now and then without one, JSON on request.

Progress goes to standard error, results to standard output, so that ``--json`` prints one document and nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hyperllm.training.report import Epoch, FitReport

QUIET_S = 10.0


def say(text: str) -> None:
    """A remark, on standard error."""
    typer.echo(text, err=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on standard output; numbers to four decimals, plain columns where the output is no terminal."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=not sys.stdout.isatty()).print(table)


class Bar:
    """Progress of counted work (done, total); usable as a callback and as a context manager."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._terminal = sys.stderr.isatty()
        self._said_at = self._began = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task = self._bar.add_task(what, total=None, note="", rate="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        """``done`` of ``total`` pieces are finished."""
        now = time.monotonic()
        rate = self._rate(done, now)
        self._bar.update(self._task, completed=done, total=total, note=note, rate=_speed(rate))
        if not self._terminal and now - self._said_at >= QUIET_S:
            self._said_at = now
            left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
            speed, more = (f", {text}" if text else "" for text in (_speed(rate), note))
            say(f"{self.what}: {done:,}{f' of {total:,}' if total else ''}{speed}{left}{more}")

    def _rate(self, done: int, now: float) -> float:
        """Pieces a second since the first call; what was found done by then took no time."""
        if self._first is None or done < self._first[0]:  # begun, or begun anew with other pieces
            self._first = (max(0, done - 1), self._began if self._first is None else now)
        pieces, began = self._first
        return (done - pieces) / (now - began) if now > began else 0.0

    def rename(self, what: str) -> None:
        """Go on with another piece of work."""
        self.what = what
        self._began = time.monotonic()
        self._first = None
        self._bar.reset(self._task, description=what, note="", rate="")


def _speed(rate: float) -> str:
    """``12/s``, or ``3.4/min`` where that says more."""
    if not rate:
        return ""
    return f"{rate:,.0f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"


class TrainingBar:
    """Hears of training (`frameworks.train.Progress`): a bar of steps, and the best epoch so far."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._at = ("", 0)
        self._note = ""

    def step(self, phase: str, epoch: int, step: int, steps: int) -> None:
        """A step is done."""
        if (phase, epoch) != self._at:
            self._at = phase, epoch
            self._bar.rename(f"{phase}, epoch {epoch}")
        self._bar(step, steps, self._note)

    def epoch(self, phase: str, epoch: Epoch, report: FitReport) -> None:
        """An epoch is done."""
        best = report.best
        assert best is not None
        self._note = (
            f"valid R@20 {epoch.metrics.get('recall@20', 0):.4f}, "
            f"best {best.metrics.get('recall@20', 0):.4f} at {best.number}, {epoch.elapsed_s:.1f} s/epoch"
        )
