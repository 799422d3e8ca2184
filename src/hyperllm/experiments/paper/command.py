"""``hyperllm paper``: a table or a figure of the paper, from a workspace to files.

Knows which cells each needs, and which files it becomes. Does not train, draw or typeset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hyperllm import artifacts
from hyperllm.data.prepare import load_catalog, prepare
from hyperllm.data.sets import is_stale
from hyperllm.data.sources.published import read_published
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.beyond import beyond_accuracy
from hyperllm.evaluation.evaluate import rank_all
from hyperllm.evaluation.groups import grouped
from hyperllm.experiments.paper import clusters, facts, findings, pictures, render, webpage
from hyperllm.experiments.paper.best import best_sheet, groups_sheet, parts_sheet
from hyperllm.experiments.paper.cells import ONLY_TEXT, Key, Study, each
from hyperllm.experiments.paper.measuring import Asked, against_the_best, made_of, mean, numbers, significance
from hyperllm.experiments.paper.sheet import BASE, OWN, Column, Measured, Sheet, assemble
from hyperllm.experiments.paper.tables import (
    FRAMEWORKS,
    PLAIN,
    dataset,
    table1_sheet,
    table2_sheet,
    table3_sheet,
    table4_sheet,
)
from hyperllm.experiments.paper.titles import title
from hyperllm.experiments.workspace import Workspace
from hyperllm.extraction.encode import DEFAULT_ENCODER, embed
from hyperllm.extraction.extract import extract
from hyperllm.training.report import SELECTION, that_trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABLATION = (BASE, OWN, "no-contrast", "semantic", "structural", ONLY_TEXT, "no-meta")
CONVERGENCE = ("hgcf", "hgch")
CLUSTERED = "hrcf"
GROUPS = 5
DEPTH = 20
BEYOND = (
    Column("coverage@20", "Coverage", ".3f", "neither"),
    Column("novelty@20", "Novelty", ".2f", "neither"),
    Column("popularity_lift@20", "Popularity lift", "+.2f", "neither"),
    Column("diversity@20", "Diversity", ".3f", "neither"),
)
Count = Callable[..., None]


@dataclass(frozen=True)
class Drawing:
    """A figure, what to read in it, and its numbers."""

    name: str
    title: str
    figure: Figure = field(repr=False)
    caption: str
    numbers: pl.DataFrame


def opened(
    workspace: Path | None, published: Path | None, out: Path | None, *, say: Callable[[str], None]
) -> tuple[Path, Path]:
    """The workspace, made from a published folder where one is given, and where files go."""
    if (workspace is None) == (published is None):
        raise ConfigError("paper needs a workspace, or --published FOLDER, and not both")
    if published is not None:
        out = out or Path(f"paper-{published.resolve().name}")
        workspace = out / "workspace"
        say(prepare(workspace, read_published(published), source="published").text())
    assert workspace is not None
    return workspace, out or workspace / "paper"


def complete(place: Workspace, *, say: Callable[[str], None], count: Count | None, encoder: str | None) -> None:
    """Tags and text vectors, made without a language model where the workspace has none."""
    work: dict[str, Callable[[], Any]] = {
        "tags": lambda: extract(place.folder, progress=count),
        "semantics": lambda: embed(place.folder, progress=count, encoder=encoder or DEFAULT_ENCODER),
    }
    for kind, make in work.items():
        if any(not is_stale(place.folder, kind, name) for name in place.sets(kind)):
            if kind == "semantics" and encoder is not None:
                say(f"there are text vectors already, so --encoder {encoder} is not used")
            continue
        try:
            say(make().text())
        except DataError as error:  # cells that need none can be made
            say(f"no {kind}: {error}")


def paper(target: str, study: Study, asked: Asked, out: Path) -> list[Path]:
    """Make ``target``, a name of `TARGETS` or ``all``, and return the files that were written."""
    names = list(TARGETS) if target == "all" else [target]
    made: list[Made] = []
    files: list[Path] = []
    for name in names:
        try:
            made.append(TARGETS[name](study, asked))
        except (ConfigError, DataError) as error:  # the others are worth having
            if target != "all":
                raise
            study.say(f"{name}: {error}")
            continue
        files += _write(made[-1], out)
    page = out / ("report.html" if target == "all" else f"{target}.html")
    page.write_text(_page(study, made, out), encoding="utf-8")
    files.append(page)
    if target == "all":
        results = out / "results.md"
        results.write_text(_results(study, made), encoding="utf-8")
        files.append(results)
    return files


Made = Sheet | Drawing


def _table1(study: Study, asked: Asked) -> Sheet:
    del asked
    return table1_sheet(study.workspace)


def _table2(study: Study, asked: Asked) -> Sheet:
    del asked
    return table2_sheet(study.workspace, study.options.tags)


def _table3(study: Study, asked: Asked) -> Sheet:
    return _measured_table(study, asked, facts.VARIANTS, table3_sheet)


def _table4(study: Study, asked: Asked) -> Sheet:
    done = Study(study.workspace, replace(study.options, train=False), study.say)
    more = {
        name for b in asked.backbones for name in FRAMEWORKS if name not in asked.frameworks and done.runs((b, name))
    }
    return _measured_table(study, asked, [f for f in FRAMEWORKS if f in {*asked.frameworks, *more}], table4_sheet)


def _measured_table(study: Study, asked: Asked, names: Sequence[str], sheet: Callable[..., Sheet]) -> Sheet:
    plain = [(PLAIN, name) for name in asked.plain]
    runs, missing = each(study, [*((b, name) for b in asked.backbones for name in names), *plain])
    return sheet(
        dataset(study.workspace),
        {key: numbers(study, found) for key, found in runs.items()},
        significance=significance(study, runs, asked.backbones),
        missing=missing,
        backbones=asked.backbones,
        notes=[*made_of(study), *_of_another_split(study), *against_the_best(study, runs, asked.backbones)],
    )


def _of_another_split(study: Study) -> list[str]:
    """Said where published numbers stand beside ours, but the data were split anew."""
    made = artifacts.peek(study.workspace / "split")
    if not dataset(study.workspace) or (made is not None and made.config.get("source") == "published"):
        return []
    return ["The split is our own, so the paper's numbers beside ours are of another one."]


def _beyond(study: Study, asked: Asked) -> Sheet:
    keys = [*((b, v) for b in asked.backbones for v in (BASE, OWN)), *((PLAIN, name) for name in asked.plain)]
    runs, missing = each(study, keys)
    split, tags = study.place.split(), study.place.tags(study.options.tags)
    train = split.train.matrix(len(split.users), len(split.items))
    users = np.arange(len(split.users))
    measured: dict[Key, dict[str, Measured]] = {}
    for key, own in runs.items():
        lists = [rank_all(study.model(run).topk, users, DEPTH, mask=train).items for run in own]
        found = [beyond_accuracy(items, train, user_rows=users, k=(DEPTH,), tags=tags) for items in lists]
        measured[key] = {name: Measured.of([values[name] for values in found]) for name in found[0]}
    return assemble(
        "beyond",
        "Beyond accuracy: the first 20 of every user's list",
        BEYOND,
        keys,
        measured=measured,
        published={},
        missing=missing,
        notes=[
            "Coverage: share of the catalogue that anybody is shown. Novelty: mean bits of an item's rarity. "
            "Popularity lift: how much more popular than a user's own items the list is. Diversity: mean share of tags "
            f"that two items of a list do not share, by the tags {study.place.chosen('tags', study.options.tags)}."
        ],
    )


def _figure2(study: Study, asked: Asked) -> Drawing:
    runs, missing = each(study, [(b, v) for b in asked.backbones for v in ABLATION])
    if not runs:
        raise DataError("Figure 2 shows variants of HyperLLM, and none is trained; train them first")
    published = facts.table3(dataset(study.workspace))
    cells = {
        b: {v: _bar(study, runs.get((b, v), []), missing.get((b, v), ""), published.get((b, v), {})) for v in ABLATION}
        for b in asked.backbones
    }
    rows = [
        {"backbone": b, "variant": v, "run": run, **{name: mean(study.table(run), name) for name in SELECTION}}
        for (b, v), own in runs.items()
        for run in own
    ]
    return Drawing(
        "figure2",
        "Figure 2. What each part of HyperLLM adds",
        pictures.figure2(cells),
        "Test metrics without a part at a time; bars are means over seeds, the line is the base, diamonds are what the "
        "paper reports. w/o Meta is the better, by validation, of frozen and trained text vectors.",
        pl.DataFrame(rows, infer_schema_length=None),
    )


def _bar(study: Study, runs: Sequence[str], missing: str, published: Mapping[str, float]) -> pictures.Cell:
    seeds = [{name: mean(study.table(run), name) for name in pictures.METRICS} for run in runs]
    told = {name: published[name] for name in pictures.METRICS if name in published}
    return pictures.Cell(seeds, "" if seeds else missing.partition(" ")[0] or "not run", told)


def _figure3(study: Study, asked: Asked) -> Drawing:
    backbones = [b for b in CONVERGENCE if b in asked.backbones] or list(asked.backbones[:1])
    variants = (BASE, "no-meta", OWN)
    runs, _ = each(study, [(b, v) for b in backbones for v in variants])
    data = dataset(study.workspace)
    split = study.place.split()
    pairs = split.train.matrix(len(split.users), len(split.items)).nnz
    lines: dict[str, list[pictures.History]] = {}
    rows: list[dict[str, Any]] = []
    for b in backbones:
        for v in variants:
            if (b, v) in runs:
                history = _curve(study, v, runs[b, v][0], pairs)
                lines.setdefault(b, []).append(history)
                rows += _told(b, history)
            if (told := facts.curve(data, b, v)).values:
                history = pictures.History(v, told.values, pairs // facts.BATCH_SIZE + 1, published=True)
                lines.setdefault(b, []).append(history)
                rows += _told(b, history)
    return Drawing(
        "figure3",
        "Figure 3. Convergence",
        pictures.figure3(lines),
        "Recall@20 on validation. An epoch of the published code takes as many steps as one of ours but sees a fifth "
        "of the pairs five times; so steps and seconds stand beside epochs. Shaded: what phase 1 took before.",
        pl.DataFrame(rows, infer_schema_length=None),
    )


def _curve(study: Study, variant: str, run: str, pairs: int) -> pictures.History:
    table, phases = study.history(run), list(that_trained(study.phases(run)).values())
    steps = math.ceil(pairs / study.config(run)["batch_size"])
    return pictures.History(
        variant,
        table["recall@20"].to_list(),
        steps,
        table["elapsed_s"].to_list(),
        steps_before=steps * sum(phase["epochs"] for phase in phases[:-1]),
        seconds_before=sum(phase["elapsed_s"] for phase in phases[:-1]),
    )


def _told(backbone: str, history: pictures.History) -> list[dict[str, Any]]:
    seconds = history.seconds or [None] * len(history.recall)
    return [
        {
            "backbone": backbone,
            "variant": history.variant,
            "published": history.published,
            "epoch": number,
            "steps": history.steps_before + number * history.steps_per_epoch,
            "recall@20": value,
            "seconds": took,
        }
        for number, (value, took) in enumerate(zip(history.recall, seconds, strict=True), start=1)
    ]


def _figure4(study: Study, asked: Asked) -> Drawing:
    runs, _ = each(study, [(b, v) for b in asked.backbones for v in (BASE, OWN)])
    split = study.place.split()
    means: dict[Key, pl.DataFrame] = {}
    for key, own in runs.items():
        users = pl.concat([study.table(run).select("user_id", *SELECTION) for run in own])
        mean = users.group_by("user_id", maintain_order=True).mean()
        means[key] = grouped(mean, split, groups=GROUPS)
    groups: dict[str, list[pictures.Group]] = {}
    for b in asked.backbones:
        if (b, BASE) in means and (b, OWN) in means:
            both = zip(*(means[b, v].iter_rows(named=True) for v in (BASE, OWN)), strict=True)
            groups[b] = [pictures.Group(x["users"], x["fewest"], x["most"], _only(x), _only(y)) for x, y in both]
    if not groups:
        raise DataError("Figure 4 compares a base with HyperLLM, and no backbone has both; train them first")
    numbers = [table.with_columns(backbone=pl.lit(b), variant=pl.lit(v)) for (b, v), table in means.items()]
    return Drawing(
        "figure4",
        "Figure 4. Users by how much they clicked",
        pictures.figure4(groups),
        "Five equal groups of users by training clicks, sparsest first; the line is the relative gain over the base.",
        pl.concat(numbers),
    )


def _only(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in SELECTION}


def _figure5(study: Study, asked: Asked) -> Drawing:
    backbone = CLUSTERED if CLUSTERED in asked.backbones else asked.backbones[0]
    runs, _ = each(study, [(backbone, v) for v in (BASE, OWN)])
    if not runs:
        raise DataError(f"Figure 5 clusters items of {backbone}, which is not trained")
    paths = load_catalog(study.workspace).take(study.place.split().items).frame["categories"].to_list()
    told = [list(path or []) for path in paths]
    models = {title(v): study.model(own[0]) for (_, v), own in runs.items()}
    if any(model.geometry != "lorentz" for model in models.values()):
        raise DataError(f"Figure 5 clusters points of hyperbolic space; {title(backbone)} has none")
    trees = {name: clusters.tree(clusters.log0(model.item_points)) for name, model in models.items()}
    shelves = clusters.category_names(told, 1) if any(told) else None
    found = {name: clusters.numbers(tree, told if any(told) else None) for name, tree in trees.items()}
    rows = [{"model": name, **flat} for name, numbers in found.items() for flat in _flat(numbers)]
    return Drawing(
        "figure5",
        f"Figure 5. Items of {title(backbone)} by Ward's clustering",
        pictures.figure5(trees, shelves),
        "Trees of the items' log₀ vectors, clusters coloured; below them categories, and distances between items. "
        + findings.clustering(found),
        pl.DataFrame(rows, infer_schema_length=None),
    )


def _flat(numbers: clusters.Numbers) -> list[dict[str, Any]]:
    """A row for the tree, and one for each level of categories."""
    tree = {key: value for key, value in vars(numbers).items() if key != "levels"}
    return [tree, *(vars(level) for level in numbers.levels)]


TARGETS: dict[str, Callable[[Study, Asked], Made]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "table4": _table4,
    "beyond": _beyond,
    "best": best_sheet,
    "parts": parts_sheet,
    "groups": groups_sheet,
    "figure2": _figure2,
    "figure3": _figure3,
    "figure4": _figure4,
    "figure5": _figure5,
}


def _write(made: Made, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(made, Drawing):
        table = out / f"{made.name}.csv"
        made.numbers.write_csv(table)
        return [*pictures.save(made.figure, out / made.name), table]
    files: list[Path] = []
    for ending, text in (("md", render.markdown), ("csv", render.csv), ("tex", render.latex)):
        files.append(out / f"{made.name}.{ending}")
        files[-1].write_text(text(made), encoding="utf-8")
    return files


def _page(study: Study, made: Sequence[Made], out: Path) -> str:
    sheets = [one for one in made if isinstance(one, Sheet)]
    drawings = [
        webpage.Figure(one.name, one.title, (out / f"{one.name}.svg").read_text(encoding="utf-8"), one.caption)
        for one in made
        if isinstance(one, Drawing)
    ]
    return webpage.html(sheets, heading=_heading(study), lead=findings.sentences(sheets), figures=drawings)


def _heading(study: Study) -> str:
    known = dataset(study.workspace)
    return f"HyperLLM on {known.capitalize() or study.name or study.workspace.resolve().name}"


def _results(study: Study, made: Sequence[Made]) -> str:
    """All of it as one page of Markdown, drawings beside it."""
    sheets = [one for one in made if isinstance(one, Sheet)]
    parts = [f"# {_heading(study)}", *findings.sentences(sheets)]
    for one in made:
        if isinstance(one, Drawing):
            parts += [f"## {one.title}", f"![{one.title}]({one.name}.png)", one.caption]
        else:
            parts.append(render.markdown(one).replace(f"**{one.title}**", f"## {one.title}", 1))
    return "\n\n".join(part.strip() for part in parts) + "\n"
