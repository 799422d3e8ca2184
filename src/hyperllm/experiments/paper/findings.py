"""What tables and trees say, in sentences made from their numbers.

Knows which comparisons a reader makes first: HyperLLM with its base, with its rivals, with plain recommenders, and ours
with what is published. Says only what the numbers of a sheet hold. Does not know how they were measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from hyperllm.experiments.paper.clusters import Numbers
from hyperllm.experiments.paper.facts import BACKBONES
from hyperllm.experiments.paper.sheet import BASE, OWN, Row, Sheet
from hyperllm.experiments.paper.tables import PLAIN
from hyperllm.experiments.paper.titles import title

_READ = "recall@20", "ndcg@20"


def sentences(sheets: Sequence[Sheet]) -> list[str]:
    """A paragraph for each sheet of Tables 3 and 4 that has something measured."""
    told = (" ".join(_of(sheet)) for sheet in sheets if sheet.name in ("table3", "table4"))
    return [text for text in told if text]


def clustering(found: Mapping[str, Numbers]) -> str:
    """How two trees differ where a picture cannot say it; empty unless there are two."""
    if len(found) != 2:
        return ""
    (first, a), (second, b) = found.items()
    told = [
        f"Cophenetic correlation with hyperbolic distances: {a.cophenetic_hyperbolic:.3f} ({first}), "
        f"{b.cophenetic_hyperbolic:.3f} ({second})."
    ]
    levels = {level.level: (level, other) for level in a.levels for other in b.levels if level.level == other.level}
    told += [
        f"Agreement with the {x.categories} categories of level {n} (adjusted mutual information): "
        f"{x.mutual_information:.3f} and {y.mutual_information:.3f}."
        for n, (x, y) in levels.items()
    ]
    return " ".join(told)


def _of(sheet: Sheet) -> Iterator[str]:
    rows = {(row.group, row.name): row for row in sheet.rows if not row.derived and not row.missing}
    gains = [g for b in BACKBONES if (b, OWN) in rows and (g := _gain(rows[b, OWN])) is not None]
    if gains:
        worst, best = min(gains), max(gains)
        yield (
            f"In {_name(sheet)} HyperLLM adds {statistics.mean(gains):.1%} Recall@20 to its backbones on average "
            f"({worst:+.1%} to {best:+.1%})."
        )
    rivals = [b for b in BACKBONES if (b, OWN) in rows and any(k[0] == b and k[1] not in (BASE, OWN) for k in rows)]
    if rivals:
        first = [b for b in rivals if all(_value(rows[b, OWN], m) == max(_column(rows, b, m)) for m in _READ)]
        yield f"It is first in Recall@20 and NDCG@20 on {len(first)} of {len(rivals)} backbones{_named(first, rivals)}."
    yield from _plain(rows)
    yield from _beside(rows)


def _plain(rows: Mapping[tuple[str, str], Row]) -> Iterator[str]:
    plain = {name: row for (group, name), row in rows.items() if group == PLAIN}
    for metric in _READ if plain else ():
        best = max(plain, key=lambda name: _value(plain[name], metric))
        level = _value(plain[best], metric)
        beaten = {
            kind: [b for b in BACKBONES if (b, kind) in rows and _value(rows[b, kind], metric) > level]
            for kind in (BASE, OWN)
        }
        asked = {kind: sum((b, kind) in rows for b in BACKBONES) for kind in (BASE, OWN)}
        yield (
            f"The best plain row in {metric.replace('recall', 'Recall').replace('ndcg', 'NDCG')} is {title(best)} "
            f"({level:.4f}); {len(beaten[BASE])} of {asked[BASE]} bases and {len(beaten[OWN])} of {asked[OWN]} models "
            "with HyperLLM are above it."
        )


def _beside(rows: Mapping[tuple[str, str], Row]) -> Iterator[str]:
    both = [
        (number.value, number.published)
        for row in rows.values()
        for metric, number in row.cells.items()
        if metric in _READ and number.value is not None and number.published is not None
    ]
    if both:
        above = sum(value >= published for value, published in both)
        yield f"{above} of {len(both)} numbers (Recall@20 and NDCG@20) are at least the published ones."


def _gain(row: Row) -> float | None:
    return row.cells[_READ[0]].gain if _READ[0] in row.cells else None


def _value(row: Row, metric: str) -> float:
    number = row.cells.get(metric)
    return -1.0 if number is None or number.value is None else number.value


def _column(rows: Mapping[tuple[str, str], Row], backbone: str, metric: str) -> list[float]:
    return [_value(row, metric) for (group, _), row in rows.items() if group == backbone]


def _name(sheet: Sheet) -> str:
    return sheet.title.partition(".")[0]


def _named(some: Sequence[str], of: Sequence[str]) -> str:
    return f" ({', '.join(map(title, some))})" if 0 < len(some) < len(of) else ""
