"""A table of results as data.

Knows rows in groups (a backbone and what was added to it), a measured number beside a published one, and what follows
from them: gains over a group's base, the best and the second of each column, "Best Imprv.", and mean and maximum gain.
Does not know what was measured, nor how a table is drawn.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from hyperllm.errors import DataError
from hyperllm.evaluation.compare import Cell
from hyperllm.experiments.paper.facts import Gain, Key
from hyperllm.experiments.paper.titles import title

Better = Literal["higher", "lower", "cheaper", "neither"]
Mark = Literal["best of all", "best", "second", ""]
BASE = "base"
OWN = "hyperllm"
IMPROVEMENT = "Best Imprv."
UNTRAINED = "not trained yet"
GAIN = "+.1%"
"""How a gain is written; 0.25 is a quarter more."""


@dataclass(frozen=True)
class Measured:
    """A mean over ``seeds`` seeds and their sample standard deviation, None for one seed."""

    value: float
    std: float | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise DataError(
                f"a measured value is {self.value!r}; expected a finite number. Leave a run that diverged out of what "
                "was measured, and say why it is missing."
            )

    @classmethod
    def of(cls, values: Sequence[float]) -> Measured:
        """One value a seed."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Number:
    """A cell: what was measured here, over ``seeds`` seeds, and what is published; either may be None.

    ``gain`` is value / reference − 1 and ``published_gain`` the same of the published two. ``low`` and ``high`` bound
    the difference to the base in 95 % of resamples, ``p_value`` is corrected by Holm (`hyperllm.evaluation.compare`).
    """

    value: float | None = None
    std: float | None = None
    seeds: int = 0
    published: float | None = None
    gain: float | None = None
    published_gain: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    mark: Mark = ""


@dataclass(frozen=True)
class Column:
    """``form`` is a format specification; ``better`` says which way marks go.

    Gains are of ``higher`` columns alone. A ``cheaper`` column, such as seconds, is a cost: the lowest is marked among
    those who add something, so the base takes no part, as the paper marks Time.
    """

    name: str
    title: str
    form: str = ".4f"
    better: Better = "higher"


@dataclass(frozen=True)
class Row:
    """``cells`` by column name; a column without a number is absent.

    ``form`` wins over the columns' own; ``missing`` says why nothing was measured; ``derived`` rows are computed from
    the rows above them.
    """

    group: str
    name: str
    cells: Mapping[str, Number]
    form: str | None = None
    missing: str = ""
    derived: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table. ``heads`` stand over group and name; ``own`` names the rows to stand out; ``notes`` are sentences.

    Gains and tests are against the row ``reference`` of each group.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    heads: tuple[str, str] = ("Backbone", "Variant")
    notes: tuple[str, ...] = ()
    own: str = ""
    reference: str = BASE
    summary: Sheet | None = None

    def numbers(self, column: str) -> list[Number]:
        """The numbers of a column, from top to bottom."""
        return [row.cells[column] for row in self.rows if column in row.cells]

    def is_published(self, column: str) -> bool:
        """Whether anything is published of a column."""
        return any(number.published is not None for number in self.numbers(column))

    @property
    def is_grouped(self) -> bool:
        """Whether rows have groups at all."""
        return any(row.group for row in self.rows)


def assemble(
    name: str,
    heading: str,
    columns: Sequence[Column],
    keys: Sequence[Key],
    *,
    measured: Mapping[Key, Mapping[str, Measured]],
    published: Mapping[Key, Mapping[str, float]],
    significance: Mapping[Key, Mapping[str, Cell]] | None = None,
    missing: Mapping[Key, str] | None = None,
    notes: Sequence[str] = (),
    reference: str = BASE,
    own: str = OWN,
) -> Sheet:
    """The rows ``keys`` = (group, name), in this order, which keeps groups together; other keys play no part.

    ``significance`` holds cells of comparisons with the group's base, by column. ``missing`` says why a row has nothing
    measured, such as "diverged in epoch 3"; without a word it was not trained yet. Gains are over the group's row
    ``reference``; where that is the base, a group with gains ends with the row "Best Imprv.": the best of the others
    over it. ``own`` names the rows to stand out.
    """
    told = significance or {}
    cells = {key: _numbers(columns, measured.get(key, {}), published.get(key, {}), told.get(key, {})) for key in keys}
    for column in columns:
        _add_gains(column, cells, reference)
        _add_marks(column, cells)
    rows: list[Row] = []
    for group, members in groupby(keys, key=lambda key: key[0]):
        found = [Row(*key, cells[key], missing=_reason(key, measured, missing)) for key in members]
        best = _improvement(columns, found) if reference == BASE else {}
        rows += [*found, Row(group, IMPROVEMENT, best, form=GAIN, derived=True)] if best else found
    return Sheet(name, heading, tuple(columns), tuple(rows), notes=tuple(notes), own=own, reference=reference)


def _reason(key: Key, measured: Mapping[Key, object], missing: Mapping[Key, str] | None) -> str:
    return "" if measured.get(key) else (missing or {}).get(key, UNTRAINED)


def _numbers(
    columns: Sequence[Column],
    measured: Mapping[str, Measured],
    published: Mapping[str, float],
    told: Mapping[str, Cell],
) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for name in (column.name for column in columns):
        own, theirs = measured.get(name), published.get(name)
        if own is not None:
            found[name] = Number(own.value, own.std, own.seeds, theirs)
            if name in told:
                cell = told[name]
                found[name] = replace(found[name], low=cell.low, high=cell.high, p_value=cell.p_value)
        elif theirs is not None:
            found[name] = Number(published=theirs)
    return found


def _add_gains(column: Column, cells: Mapping[Key, dict[str, Number]], reference: str) -> None:
    if column.better != "higher":
        return
    for (group, name), row in cells.items():
        base = cells.get((group, reference), {}).get(column.name)
        if name != reference and base is not None and (number := row.get(column.name)) is not None:
            gain, theirs = _gain(number.value, base.value), _gain(number.published, base.published)
            row[column.name] = replace(number, gain=gain, published_gain=theirs)


def _gain(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base - 1


def _add_marks(column: Column, cells: Mapping[Key, dict[str, Number]]) -> None:
    """Mark the first two of each group and the first of all, by the numbers as shown, so that equals share a mark."""
    if column.better == "neither":
        return
    values = {key: n.value for key, row in cells.items() if (n := row.get(column.name)) and n.value is not None}
    if column.better == "cheaper":
        values = {key: value for key, value in values.items() if key[1] != BASE}
    groups = {key[0] for key in values}
    marks: dict[Key, Mark] = {}
    for group in groups:
        first, second = _first_two(column, {key: value for key, value in values.items() if key[0] == group})
        marks.update(dict.fromkeys(first, "best"))
        marks.update(dict.fromkeys(second, "second"))
    if column.better != "cheaper" and len(groups) > 1:
        marks.update(dict.fromkeys(_first_two(column, values)[0], "best of all"))
    for key, mark in marks.items():
        cells[key][column.name] = replace(cells[key][column.name], mark=mark)


def _first_two(column: Column, values: Mapping[Key, float]) -> tuple[list[Key], list[Key]]:
    """Who has the best value and who the next; nobody where there is one value alone."""
    if len(values) < 2:
        return [], []
    order = sorted(values, key=lambda key: values[key], reverse=column.better == "higher")
    places = [list(keys) for _, keys in groupby(order, key=lambda key: format(values[key], column.form))]
    return places[0], places[1] if len(places) > 1 else []


def _improvement(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Number]:
    """The greatest gain in each column that has any."""
    cells: dict[str, Number] = {}
    for name in (column.name for column in columns):
        numbers = [row.cells[name] for row in rows if name in row.cells]
        ours = [n.gain for n in numbers if n.gain is not None]
        theirs = [n.published_gain for n in numbers if n.published_gain is not None]
        if ours or theirs:
            cells[name] = Number(max(ours, default=None), published=max(theirs, default=None))
    return cells


def gains(sheet: Sheet, *, stated: Mapping[str, Gain] | None = None) -> Sheet:
    """§5.2's summary of a sheet: HyperLLM's mean and maximum gain over the columns that have gains, a row a group.

    A group whose gains are not all there has none. ``stated`` is what the paper says of all its data sets together, and
    stands in columns of its own.
    """
    names = [column.name for column in sheet.columns if column.better == "higher"]
    rows: list[Row] = []
    for row in (row for row in sheet.rows if row.name == OWN):
        numbers = [row.cells.get(name, Number()) for name in names]
        ours, theirs = _spread([n.gain for n in numbers]), _spread([n.published_gain for n in numbers])
        cells = {how: Number(ours.get(how), published=theirs.get(how)) for how in Gain._fields if ours or theirs}
        if stated and row.group in stated:
            cells |= {f"stated_{how}": Number(value) for how, value in stated[row.group]._asdict().items()}
        rows.append(Row("", row.group, cells, missing=row.missing))
    columns = [Column(how, how.capitalize(), GAIN, "neither") for how in Gain._fields]
    if stated:
        columns += [Column(f"stated_{c.name}", f"{c.title}, three data sets (paper)", GAIN, "neither") for c in columns]
    heading = f"Gains of {title(OWN)} over each base, over the columns above"
    return Sheet(f"{sheet.name}-gains", heading, tuple(columns), tuple(rows), heads=("", sheet.heads[0]))


def _spread(values: Sequence[float | None]) -> dict[str, float]:
    """Mean and maximum, or nothing where one is missing."""
    known = [value for value in values if value is not None]
    return Gain(statistics.fmean(known), max(known))._asdict() if known and len(known) == len(values) else {}
