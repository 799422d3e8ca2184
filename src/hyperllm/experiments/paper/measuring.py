"""Runs of a study as the numbers of a table, and what is said below it.

Knows means over users and seeds, comparisons user by user, and what the numbers rest on. Does not know which cells a
table has.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from hyperllm.evaluation.compare import Cell, compare
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.cells import Key, Study
from hyperllm.experiments.paper.sheet import BASE, OWN, Measured
from hyperllm.experiments.paper.tables import FRAMEWORKS, PLAIN
from hyperllm.experiments.paper.titles import title
from hyperllm.training.report import SELECTION

LEADING = "recall@20"
TUNED_PRESET = "default"
PLAINS = ("popularity", "itemknn", "rp3beta", "ease", "ease-tags", "als", "lightgcn")


@dataclass(frozen=True)
class Asked:
    """Which part of the grid is wanted."""

    backbones: Sequence[str] = facts.BACKBONES
    frameworks: Sequence[str] = facts.FRAMEWORKS
    plain: Sequence[str] = PLAINS


def made_of(study: Study, preset: str | None = None) -> list[str]:
    """What the numbers rest on: tags, vectors, and the settings of ``preset``, the study's own without."""
    place, options = study.place, study.options
    preset = preset or options.preset
    tags, vectors = (place.chosen(*each) for each in (("tags", options.tags), ("semantics", options.semantics)))
    told = [f"Tags: {tags or 'none'}; text vectors: {vectors or 'none'}; settings: preset {preset}."]
    if preset == TUNED_PRESET:
        told.append(
            "These settings were searched on validation of Beauty: bases and HyperLLM on each backbone, rivals on HGCF."
        )
    return told


def numbers(study: Study, runs: Sequence[str]) -> dict[str, Measured]:
    """Test metrics over seeds, and seconds of training with those of the phase 1 that was borrowed."""
    tables = [study.table(run) for run in runs]
    found = {name: Measured.of([mean(table, name) for table in tables]) for name in SELECTION}
    seconds = [study.seconds(run) for run in runs]
    return {**found, **({"seconds": Measured.of(seconds)} if all(seconds) else {})}


def mean(table: pl.DataFrame, name: str) -> float:
    """The mean of a column of numbers."""
    return float(table[name].mean())  # type: ignore[arg-type]  # a column of numbers


def strongest(study: Study, runs: Mapping[Key, Sequence[str]], keys: Iterable[Key]) -> Key | None:
    """The cell of ``keys`` with the highest `LEADING` on test; None where there are none."""
    return max(
        keys, key=lambda key: statistics.mean(mean(study.table(run), LEADING) for run in runs[key]), default=None
    )


def strongest_plain(study: Study, runs: Mapping[Key, Sequence[str]]) -> Key | None:
    """The best plain row, likewise."""
    return strongest(study, runs, [key for key in runs if key[0] == PLAIN])


def against_the_best(study: Study, runs: Mapping[Key, Sequence[str]], backbones: Iterable[str]) -> Iterator[str]:
    """HyperLLM with the best rival on its backbone and with the best plain row, user by user."""
    plain = strongest_plain(study, runs)
    for b in backbones:
        rivals = [key for key in runs if key[0] == b and key[1] in FRAMEWORKS and key[1] not in (BASE, OWN)]
        for other in (strongest(study, runs, rivals), plain):
            if (b, OWN) in runs and other is not None:
                yield f"{title(b)} with HyperLLM minus {paired(study, runs, (b, OWN), other)}."


def paired(study: Study, runs: Mapping[Key, Sequence[str]], own: Key, other: Key) -> str:
    """The other's name and by how much ``own`` is above it."""
    tables = {name: [study.table(run) for run in runs[key]] for name, key in (("own", own), ("other", other))}
    cell = compare(tables, metrics=[LEADING], reference="other").cell("own", LEADING)
    assert cell.difference is not None
    return (
        f"{title(other[1])}, Recall@20: {cell.difference:+.4f}, 95 % interval "
        f"{cell.low:+.4f} to {cell.high:+.4f}, p = {cell.p_value:.2g}"
    )


def significance(
    study: Study, runs: Mapping[Key, Sequence[str]], backbones: Iterable[str]
) -> dict[Key, dict[str, Cell]]:
    """Comparisons with the base of the same backbone, user by user."""
    found: dict[Key, dict[str, Cell]] = {}
    for backbone in backbones:
        tables = {v: [study.table(run) for run in own] for (b, v), own in runs.items() if b == backbone}
        if BASE in tables and len(tables) > 1:
            for cell in compare(tables, metrics=SELECTION, reference=BASE).cells:
                if cell.run != BASE:
                    found.setdefault((backbone, cell.run), {})[cell.metric] = cell
    return found
