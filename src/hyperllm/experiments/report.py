"""One HTML file that tells what a workspace's models can do.

Knows what is worth telling: the data, the models side by side, the differences with their uncertainty, how training
went, who profits, what a few users would see and why, and how it was made. Does not know HTML's looks (`page`,
`drawing`) and computes no metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

import hyperllm
from hyperllm import artifacts
from hyperllm.data.prepare import load_report
from hyperllm.data.split import Split
from hyperllm.evaluation.compare import Cell, Comparison
from hyperllm.evaluation.evaluate import Evaluation
from hyperllm.evaluation.groups import by_activity
from hyperllm.evaluation.ledger import recorded
from hyperllm.experiments import page
from hyperllm.experiments.drawing import Curve, Dots, Interval, curves, dots, intervals
from hyperllm.experiments.measure import kept
from hyperllm.experiments.workspace import Workspace
from hyperllm.serving.frames import Recommendation
from hyperllm.serving.recommender import Recommender
from hyperllm.training.report import that_trained

NAMES = {"hyperllm": "HyperLLM", "base": "Base (HGCF)", "ease": "EASEᴿ", "popularity": "Popularity"}
METRICS = {"recall": "Recall", "ndcg": "NDCG"}
GROUPS = 5
SHOWN = 5
HEADLINE = "recall@20"
_COLOURS = 4


@dataclass(frozen=True)
class _Told:
    """What all sections draw from."""

    place: Workspace
    comparison: Comparison
    users: Sequence[str]

    @property
    def own(self) -> str:
        return self.comparison.reference

    @property
    def metrics(self) -> list[str]:
        kinds = list(METRICS)
        return sorted(
            self.comparison.metrics, key=lambda m: kinds.index(k) if (k := m.partition("@")[0]) in kinds else 9
        )

    @property
    def rivals(self) -> list[str]:
        return [run for run in self.comparison.runs if run != self.own]

    def colour(self, run: str) -> int:
        return [self.own, *self.rivals].index(run) % _COLOURS

    @cached_property
    def split(self) -> Split:
        return self.place.split()


def write_report(workspace: Path, out: Path, *, comparison: Comparison, users: Sequence[str]) -> Path:
    """Write ``out``: a page about ``comparison`` of runs in ``workspace`` and what its reference tells ``users``.

    The runs must have been evaluated on the test part with the mask ``train``, as `compare_runs` does.
    """
    told = _Told(Workspace.opened(workspace), comparison, users)
    body = [_lead(told), _data(told), _models(told), _training(told), _activity(told), _people(told), _making(told)]
    scratch = out.with_name(f".{out.name}.new")
    scratch.write_text(page.page(f"What {name(told.own)} finds", [piece for piece in body if piece]), encoding="utf-8")
    scratch.replace(out)
    return out


def name(run: str) -> str:
    """How a run is called in running text."""
    return NAMES.get(run, run)


def metric_name(metric: str) -> str:
    """``recall@20`` -> ``Recall@20``."""
    kind, _, cut = metric.partition("@")
    return f"{METRICS.get(kind, kind)}@{cut}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _lead(told: _Told) -> str:
    comparison = told.comparison
    wanted = HEADLINE if HEADLINE in comparison.metrics else comparison.metrics[0]
    cut = wanted.partition("@")[2]
    others = ", ".join(f"{name(run)} {_percent(comparison.cell(run, wanted).mean)}" for run in told.rivals)
    return page.paragraph(
        f"Some clicks of every user were hidden from all models. Of those, {name(told.own)} lists "
        f"{_percent(comparison.cell(told.own, wanted).mean)} among a user's first {cut} suggestions; {others}. "
        f"Averages over {comparison.users:,} users and all items the shop has.",
        kind="lead",
    )


def _data(told: _Told) -> str:
    report = load_report(told.place.folder)
    card = report.card
    figures = [
        ("users", f"{card.users:,}"),
        ("items", f"{card.items:,}"),
        ("clicks", f"{card.interactions:,}"),
        ("of all pairs clicked", f"{card.density:.2%}"),
        ("clicks a user, median", f"{card.events_per_user.median:g}"),
        ("words a text, mean", f"{card.mean_tokens:.0f}"),
    ]
    train, valid, test = (f"{report.parts[part]:,}" for part in ("train", "valid", "test"))
    parts = f"{train} clicks to learn from, {valid} to choose settings by (validation), {test} stay hidden (test)."
    pieces = [page.facts(figures), page.paragraph(parts)]
    left_out = " ".join(f"{str(dropped).capitalize()}." for dropped in report.dropped if dropped.interactions)
    return page.section("The shop", [*pieces, page.paragraph(left_out, kind="soft") if left_out else ""])


def _models(told: _Told) -> str:
    comparison = told.comparison
    rows = [[name(run), *(f"{comparison.cell(run, m).mean:.4f}" for m in told.metrics)] for run in comparison.runs]
    best = frozenset(
        (r, c)
        for r, run in enumerate(comparison.runs)
        for c, metric in enumerate(told.metrics, start=1)
        if comparison.cell(run, metric).mark == "best"
    )
    pieces = [
        page.paragraph(
            "Recall@k is the share of a user's hidden clicks among the first k suggestions; NDCG@k also asks how "
            "far up they stand. All items are ranked, except those the user is known to have."
        ),
        page.table(
            ["Model", *map(metric_name, told.metrics)],
            rows,
            caption=f"Means over {comparison.users:,} users; ★ marks the best of a column",
            best=best,
            own=comparison.runs.index(told.own),
        ),
        *_differences(told),
    ]
    return page.section("The models side by side", pieces)


def _differences(told: _Told) -> list[str]:
    """Reference − rival, user by user; the comparison holds rival − reference."""
    found = [
        (run, metric, cell)
        for metric in told.metrics
        for run in told.rivals
        if (cell := told.comparison.cell(run, metric)).difference is not None
    ]
    if not found:
        return []
    near = [run for run in told.rivals if _in_sight(told, run)] or told.rivals
    drawn = [
        Interval(metric_name(metric), f"over {name(run)}", *_turned(cell), told.colour(run))
        for run, metric, cell in found
        if run in near
    ]
    far = "".join(f" {name(run)} is too far off to be drawn." for run in told.rivals if run not in near)
    drawing = intervals(
        drawn, x_name=f"{name(told.own)} minus the other model", label=f"Differences of {name(told.own)} to the others"
    )
    rows = [
        [f"{metric_name(metric)} over {name(run)}", *(f"{v:+.4f}" for v in _turned(cell)), _p_value(cell)]
        for run, metric, cell in found
    ]
    return [
        page.figure(
            drawing,
            "Differences over the same users with 95 % intervals (paired bootstrap). An interval right of zero "
            f"speaks for {name(told.own)}.{far}",
        ),
        page.details(
            "The differences as numbers",
            page.table(
                ["", "Difference", "Low", "High", "p"],
                rows,
                caption=f"p: paired {told.comparison.test} test, corrected by Holm over all rows",
            ),
        ),
    ]


def _in_sight(told: _Told, run: str) -> bool:
    """Whether a run reaches at least half of what the reference does, on the first metric."""
    metric = told.comparison.metrics[0]
    return told.comparison.cell(run, metric).mean >= 0.5 * told.comparison.cell(told.own, metric).mean


def _turned(cell: Cell) -> tuple[float, float, float]:
    """(middle, low, high) with the sign the other way round."""
    return -(cell.difference or 0.0), -(cell.high or 0.0), -(cell.low or 0.0)


def _p_value(cell: Cell) -> str:
    return "" if cell.p_value is None else "< 0.0001" if cell.p_value < 1e-4 else f"{cell.p_value:.4f}"


def _training(told: _Told) -> str:
    lines = [line for run in told.comparison.runs for line in _history(told, run)]
    if not lines:
        return ""
    drawing = curves(lines, x_name="passes over the training clicks", label="Validation Recall@20 by epoch")
    caption = (
        "Recall@20 on the validation clicks after each pass. The dot marks the pass that is kept, by the sum of "
        "Recall and NDCG at 10 and 20 on validation; hidden test clicks play no part."
    )
    return page.section("How training went", [page.figure(drawing, caption)])


def _history(told: _Told, run: str) -> list[Curve]:
    """A curve a phase, one phase after the other."""
    folder = told.place.run(run)
    manifest = artifacts.read(folder, "run")
    found: list[Curve] = []
    passed = 0
    phases = that_trained(manifest.facts.get("phases", {}))
    for phase in sorted(phases):
        frame = pl.read_parquet(folder / f"history-{phase.replace(' ', '')}.parquet")
        label = name(run) if len(phases) == 1 else f"{name(run)}, {phase}"
        x = [passed + float(e) for e in frame["epoch"]]
        best = int(phases[phase]["best_epoch"]) - 1
        found.append(Curve(label, x, frame[HEADLINE].to_list(), told.colour(run), dashed=phase == "phase 1", best=best))
        passed += frame.height
    return found


def _activity(told: _Told) -> str:
    rival = "base" if "base" in told.rivals else told.rivals[0]
    tables = {run: _groups(told, run) for run in (told.own, rival)}
    own, other = tables[told.own], tables[rival]
    rows = [
        Dots(f"{_clicks(line)} clicks", (line[HEADLINE], theirs[HEADLINE]))
        for line, theirs in zip(own.to_dicts(), other.to_dicts(), strict=True)
    ]
    drawing = dots(
        rows,
        [(name(run), told.colour(run)) for run in (told.own, rival)],
        x_name=metric_name(HEADLINE),
        label=f"{metric_name(HEADLINE)} by activity",
    )
    numbers = [
        [f"{_clicks(line)} clicks", f"{line['users']:,}", *(f"{t[HEADLINE][r]:.4f}" for t in (own, other))]
        for r, line in enumerate(own.to_dicts())
    ]
    head = ["Training clicks", "Users", name(told.own), name(rival)]
    caption = "Five equal groups of users, by how many training clicks they have."
    more = page.details("The groups as numbers", page.table(head, numbers, caption=metric_name(HEADLINE)))
    return page.section("Who profits", [page.figure(drawing, caption), more])


def _groups(told: _Told, run: str) -> pl.DataFrame:
    result = Evaluation.load(kept(told.place.run(run), "test", "train"))
    return by_activity(result, told.split, groups=min(GROUPS, len(told.split.users)))


def _clicks(line: Mapping[str, Any]) -> str:
    fewest, most = line["fewest"], line["most"]
    return f"{fewest}" if fewest == most else f"{fewest}–{most}"


def _people(told: _Told) -> str:
    model = Recommender.load(told.place.run(told.own) / "model")
    hidden = told.split.test.matrix(len(told.split.users), len(told.split.items))
    found = model.recommend(list(told.users), SHOWN, explain=True)
    cards: list[str] = []
    for user in told.users:
        row = int(model.users.rows([user])[0])
        past = [model.model.titles[i] or model.items.ids[i] for i in model.model.seen[row].indices.tolist()]
        later = set(model.items.take(hidden[row].indices))
        cards.append(_person(user, past, later, found.of(user)))
    note = (
        "Users drawn by the seed, not picked. The path runs from broad to specific through tags that the suggestion "
        "shares with the user's past clicks; what is named counts: without these clicks the suggestion's score falls."
    )
    return page.section(f"What {len(cards)} users would see", [page.paragraph(note), *cards])


def _person(user: str, past: Sequence[str], later: set[str], found: Sequence[Recommendation]) -> str:
    history = escape(" · ".join(past))
    items = "".join(_suggestion(row, row.item_id in later) for row in found)
    return (
        f'<article class="card person"><h3>User {escape(user)}</h3><div class="soft">Clicked before: {history}</div>'
        f"<ol>{items}</ol></article>"
    )


def _suggestion(row: Recommendation, hit: bool) -> str:
    mark = '<span class="hit">hidden click</span>' if hit else ""
    parts = [f"<strong>{escape(row.title or row.item_id)}</strong>{mark}"]
    if row.reasons is not None and row.reasons.tag_path:
        parts.append(f'<div class="path">{escape(" › ".join(row.reasons.tag_path))}</div>')
    if row.reasons is not None and row.reasons.nearest:
        near = " · ".join(str(item) for item in row.reasons.nearest)
        parts.append(f'<div class="soft">near {escape(near)}</div>')
    return f"<li>{''.join(parts)}</li>"


def _making(told: _Told) -> str:
    looks = len(recorded(told.place.folder))
    text = (
        f"hyperllm {hyperllm.__version__}, workspace {told.place.folder.name}. Settings were chosen on validation "
        f"clicks; the hidden test clicks have been looked at {looks:,} times in this workspace, each time on record."
    )
    pieces = [page.details(title, _config(folder)) for title, folder in _made(told)]
    return page.section("How it was made", [page.paragraph(text), *pieces])


def _made(told: _Told) -> list[tuple[str, Path]]:
    place = told.place
    found = [("Data set", place.folder / "dataset")]
    for kind, title in (("tags", "Tags"), ("semantics", "Text vectors")):
        chosen = place.chosen(kind, None)
        if chosen is not None:
            found.append((f"{title} {chosen!r}", place.folder / kind / chosen))
    return found + [(f"Run {run!r}", place.run(run)) for run in told.comparison.runs]


def _config(folder: Path) -> str:
    manifest = artifacts.peek(folder)
    entries = {} if manifest is None else manifest.config
    rows = [[key, "none" if value is None else str(value)] for key, value in sorted(entries.items())]
    return page.table(["Setting", "Value"], rows, caption="Settings as recorded in manifest.json", numbers=False)
