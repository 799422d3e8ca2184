"""How far a workspace is, and what its language models cost.

Reads manifests and the ledger, also while another process works; changes nothing. Does not know how anything is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.data import sets
from hyperllm.experiments.workspace import Workspace
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Ledger, Tally, is_written

SETS = ("profiles", "tags", "semantics", "runs")
_SHOWN = ("items", "users", "tags", "tag_item_pairs", "tag_tag_edges", "dim")


@dataclass(frozen=True)
class Set:
    """A finished artifact: its name, counts from its manifest, and what a person should know of it."""

    name: str
    facts: dict[str, Any]
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """``name (6 items; stale)``."""
        told = [
            f"{self.facts[key]:,} {key.replace('_', ' ')}" for key in _SHOWN if isinstance(self.facts.get(key), int)
        ]
        inner = "; ".join([*([", ".join(told)] if told else []), *self.remarks])
        return f"{self.name} ({inner})" if inner else self.name


@dataclass(frozen=True)
class Stage:
    """One stage and its finished sets."""

    name: str
    sets: tuple[Set, ...]

    def text(self) -> str:
        """As one cell of a table."""
        return ", ".join(each.text() for each in self.sets) or "none"


@dataclass(frozen=True)
class Series:
    """How far the questions of one set are."""

    tally: Tally
    on_the_way: int

    @property
    def open(self) -> int:
        """Questions without a verdict."""
        ended = self.tally.done + self.tally.quarantined + self.tally.unanswered
        return max(0, self.tally.wanted - ended)

    def row(self) -> list[Any]:
        """As a line of a table."""
        t = self.tally
        return [t.series, t.kind, t.wanted, t.done, t.quarantined, t.unanswered, self.open, self.on_the_way, t.lost]


@dataclass(frozen=True)
class Status:
    """All stages and all series."""

    stages: tuple[Stage, ...]
    series: tuple[Series, ...]

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "stages": {
                stage.name: {each.name: {"facts": each.facts, "remarks": list(each.remarks)} for each in stage.sets}
                for stage in self.stages
            },
            "series": [{**asdict(s.tally), "open": s.open, "on_the_way": s.on_the_way} for s in self.series],
        }


@dataclass(frozen=True)
class CostLine:
    """What one set and kind cost."""

    tally: Tally

    def row(self) -> list[Any]:
        """As a line of a table."""
        t = self.tally
        counts = (t.calls, t.answered, t.repairs, t.refused, t.failed, t.lost, t.input_tokens, t.output_tokens)
        return [
            t.series,
            t.kind,
            *(f"{count:,}" for count in counts),
            "unknown" if t.unpriced else f"{t.price_usd:,.4f}",
        ]


@dataclass(frozen=True)
class Costs:
    """Every set and kind that asked a model."""

    lines: tuple[CostLine, ...]

    def remarks(self) -> list[str]:
        """The sum, whose prices these are, and what was lost."""
        total = sum(line.tally.price_usd for line in self.lines)
        told = [f"${total:,.4f} in all"] if self.lines else ["no language model was asked"]
        prices = sorted({line.tally.price for line in self.lines if line.tally.price})
        told += [f"prices: {', '.join(prices)}"] if prices else []
        if lost := sum(line.tally.lost for line in self.lines):
            told.append(
                f"{lost:,} calls were on their way when a process was killed; their server may have charged too"
            )
        return told

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "price_usd": sum(line.tally.price_usd for line in self.lines),
            "input_tokens": sum(line.tally.input_tokens for line in self.lines),
            "output_tokens": sum(line.tally.output_tokens for line in self.lines),
            "calls": sum(line.tally.calls for line in self.lines),
            "lines": [asdict(line.tally) for line in self.lines],
        }


def status(workspace: Path) -> Status:
    """What stands in a prepared workspace; raises `Incomplete` where none is."""
    folder = Workspace.opened(workspace).folder
    base = tuple(Stage(name, (_set(folder / name, ()),)) for name in ("dataset", "split"))
    made = tuple(Stage(kind, tuple(_sets(folder, kind))) for kind in SETS)
    with Ledger.read(folder / LEDGER) as ledger:
        series = () if ledger is None else tuple(_series(ledger, alive=is_written(folder / LEDGER)))
    return Status(base + made, series)


def _series(ledger: Ledger, *, alive: bool) -> Iterator[Series]:
    """Calls without an end are on their way while a process lives that could hear of them, and lost otherwise."""
    for tally in ledger.tallies():
        sent = ledger.on_the_way(tally.series, tally.kind)
        if tally.wanted:
            yield Series(tally if alive else replace(tally, lost=tally.lost + sent), sent if alive else 0)


def costs(workspace: Path) -> Costs:
    """What models were paid for this workspace."""
    folder = Workspace.opened(workspace).folder
    with Ledger.read(folder / LEDGER) as ledger:
        return Costs(() if ledger is None else tuple(CostLine(tally) for tally in ledger.tallies()))


def _sets(folder: Path, kind: str) -> list[Set]:
    found: list[Set] = []
    for name in sets.names(folder, kind):
        manifest = artifacts.peek(folder / kind / name)
        remarks = ["stale: made from another split"] if sets.is_stale(folder, kind, name) else []
        if manifest is not None and manifest.config.get("complete") is False:
            remarks.append("unfinished")
        found.append(_set(folder / kind / name, tuple(remarks)))
    return found


def _set(folder: Path, remarks: tuple[str, ...]) -> Set:
    manifest = artifacts.peek(folder)
    return Set(folder.name, {} if manifest is None else manifest.facts, remarks)
