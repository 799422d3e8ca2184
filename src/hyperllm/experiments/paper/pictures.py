"""The paper's Figures 2 to 5 from numbers alone, in one style that survives column width and a black-and-white printer.

Knows bars, curves, groups and trees as plain data, and how a figure becomes PNG and SVG. Does not know runs, folders of
results or what the paper published; whoever calls brings that. matplotlib is imported when the first figure is drawn
and its global state is left alone. One file, since the four share names, colours and style.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperllm.errors import ConfigError, DataError, MisalignedArrays, choose
from hyperllm.experiments.paper.clusters import COLOURED, Tree
from hyperllm.experiments.paper.titles import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 7.0
"""Inches: the text width of a two-column page."""

METRICS = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}
"""Rows of Figures 2 and 4."""


@dataclass(frozen=True)
class Look:
    """How a variant is called and drawn, everywhere the same."""

    label: str
    colour: str
    hatch: str = ""
    marker: str = "o"


LOOKS = {
    "hyperllm": Look("HyperLLM", "#0072B2"),
    "no-contrast": Look("w/o CL", "#56B4E9", "////"),
    "semantic": Look("w/o Structural", "#009E73", "\\\\\\\\"),
    "structural": Look("w/o Semantic", "#F0E442", "...."),
    "only-semantic": Look("only Semantic", "#E69F00", "xxxx"),
    "no-meta": Look("w/o Meta", "#CC5F8F", "----", "^"),
    "base": Look("Base", "#4D4D4D", "", "s"),
}
"""Variants in the order of Figure 2; colours follow Okabe and Ito: colour-blind readers tell them apart."""

_FAINT = "#8C8C8C"
_GAIN = "#B2182B"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "hyperllm",
}


@dataclass(frozen=True)
class Cell:
    """One variant on one backbone: metrics by name of each seed, or of none and a word that says why.

    ``missing`` is written where the bar would stand ("diverged", "NaN", "not run"); ``published`` holds metrics of the
    paper where it gives them.
    """

    seeds: Sequence[Mapping[str, float]] = ()
    missing: str = ""
    published: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class History:
    """Validation Recall@20 of one training, ``recall`` after each epoch from the first.

    ``seconds`` are those of each epoch, none where unknown. What stands before the first epoch, HyperLLM's phase 1, is
    ``steps_before`` and ``seconds_before``. ``published`` curves are drawn thin and dashed.
    """

    variant: str
    recall: Sequence[float]
    steps_per_epoch: int
    seconds: Sequence[float] = ()
    steps_before: int = 0
    seconds_before: float = 0.0
    published: bool = False

    def __post_init__(self) -> None:
        if len(self.seconds) not in (0, len(self.recall)):
            raise MisalignedArrays(
                f"the history of {self.variant!r} has {len(self.recall)} epochs but seconds of {len(self.seconds)}; "
                "give the seconds of every epoch, or none."
            )


@dataclass(frozen=True)
class Group:
    """Users with ``fewest`` to ``most`` training clicks, and their mean metrics by name."""

    users: int
    fewest: int
    most: int
    base: Mapping[str, float]
    hyperllm: Mapping[str, float]

    def gain(self, metric: str) -> float:
        """By how many % HyperLLM is better than the base, NaN where the base found nothing."""
        base = self.base[metric]
        return 100.0 * (self.hyperllm[metric] - base) / base if base else math.nan


def _style() -> AbstractContextManager[None]:
    try:
        import matplotlib
    except ImportError:
        raise ConfigError("the paper's figures need matplotlib: pip install 'hyperllm[paper]'") from None
    return matplotlib.rc_context(_STYLE)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.png, 200 dots an inch, and ``stem``.svg, whose text stays text; return both paths.

    The same data gives the same bytes. Missing folders are made.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".svg")
    with _style():
        figure.savefig(png, dpi=200, metadata={"Software": None})
        figure.savefig(svg, dpi=200, metadata={"Date": None, "Creator": None})
    return png, svg


def _grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `WIDTH` and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr]
    return figure, figure.subplots(rows, columns, squeeze=False, **options).tolist()


# Figure 2


def figure2(ablation: Mapping[str, Mapping[str, Cell]]) -> Figure:
    """The ablation: a column a backbone, a bar a variant, the base as a line; Recall@20 above NDCG@20.

    ``ablation`` maps backbone to variant (a key of `LOOKS`) to its cell. Bars are means over seeds, whiskers one
    standard deviation, diamonds what the paper published. An axis that does not start at 0 is broken visibly and says
    so.
    """
    _check(ablation, "backbone")
    shown = {variant for cells in ablation.values() for variant in cells}
    for variant in shown:
        choose(variant, LOOKS, what="variant")
    bars = [variant for variant in LOOKS if variant != "base" and variant in shown]
    with _style():
        from matplotlib.lines import Line2D

        figure, grid = _grid(len(METRICS), len(ablation), 3.7, sharex=True, sharey="row")
        for row, (metric, name) in zip(grid, METRICS.items(), strict=True):
            low, high = _range_of_bars(ablation, metric)
            for axes, cells in zip(row, ablation.values(), strict=True):
                axes.set_ylim(low, high)
                _bars(axes, bars, cells, metric)
            row[0].set_ylabel(f"{name}, axis from {low:g}" if low else name)
        for axes, backbone in zip(grid[0], ablation, strict=True):
            axes.set_title(title(backbone), fontweight="bold")
        for axes in grid[-1]:
            axes.set_xticks(range(len(bars)), [LOOKS[name].label for name in bars], rotation=90)
        figure.legend(
            [Line2D([], [], **_BASE_LINE), Line2D([], [], **_DIAMOND)],
            ["Base", "published (Base: at the right end of its line)"],
            loc="outside upper center",
            ncols=2,
        )
    return figure


_BASE_LINE: dict[str, Any] = {"color": "black", "linewidth": 0.9, "linestyle": (0, (4, 2))}
_DIAMOND: dict[str, Any] = {"marker": "D", "markersize": 3, "color": "white", "markeredgecolor": "black",
                            "markeredgewidth": 0.7, "linestyle": "none"}  # fmt: skip


def _bars(axes: Axes, bars: Sequence[str], cells: Mapping[str, Cell], metric: str) -> None:
    start = axes.get_ylim()[0]
    axes.grid(axis="y")
    for place, name in enumerate(bars):
        look, cell = LOOKS[name], cells.get(name, Cell(missing="not run"))
        values = np.array([seed[metric] for seed in cell.seeds])
        if len(values):
            axes.bar(place, values.mean(), 0.78, color=look.colour, hatch=look.hatch, edgecolor="black", linewidth=0.5)
        else:
            axes.annotate(cell.missing, (place, start), (0, 4), textcoords="offset points", rotation=90, ha="center",
                          va="bottom", fontsize=6, bbox={"color": "white", "pad": 1})  # fmt: skip
        if len(values) > 1:
            axes.errorbar(place, values.mean(), values.std(ddof=1), color="black", capsize=1.6, elinewidth=0.7)
        if metric in cell.published:
            axes.plot(place, cell.published[metric], **_DIAMOND)
    base, end = cells.get("base", Cell()), len(bars) - 0.3
    if base.seeds:
        level = float(np.mean([seed[metric] for seed in base.seeds]))
        axes.plot([-0.6, end], [level, level], **_BASE_LINE)
    if metric in base.published:
        axes.plot(end, base.published[metric], **_DIAMOND, clip_on=False)
    if start:
        axes.plot([0, 0], [0.025, 0.06], transform=axes.transAxes, marker=[(-1, -0.4), (1, 0.4)], markersize=5,
                  color="black", markeredgewidth=0.7, linestyle="none", clip_on=False)  # fmt: skip
    axes.set_xlim(-0.6, end)
    axes.tick_params(axis="x", length=0)


def _range_of_bars(ablation: Mapping[str, Mapping[str, Cell]], metric: str) -> tuple[float, float]:
    """Limits of an axis of bars: from 0, or from below the lowest where none is under half the highest."""
    cells = [cell for of_backbone in ablation.values() for cell in of_backbone.values()]
    values = [value[metric] for cell in cells for value in (*cell.seeds, cell.published) if metric in value] or [1.0]
    low = math.floor(min(values) * 0.9 * 50) / 50 if min(values) > max(values) / 2 else 0.0
    high = max(values) or 1.0
    return low, high + 0.06 * (high - low)


# Figure 3

_CLOCKS = ("epoch", "thousand optimiser steps", "seconds")


def figure3(histories: Mapping[str, Sequence[History]]) -> Figure:
    """Convergence: a row a backbone, validation Recall@20 against epochs, optimiser steps and seconds.

    A marker shows the best epoch. In the columns of steps and seconds a curve starts after what came before its first
    epoch, which is shaded. A history without seconds is absent from the last column.
    """
    _check(histories, "backbone")
    order = list(LOOKS)
    with _style():
        figure, grid = _grid(len(histories), len(_CLOCKS), 1.75 * len(histories) + 0.35, sharey="row")
        named: dict[tuple[bool, int], Any] = {}
        for row, (backbone, lines) in zip(grid, histories.items(), strict=True):
            for axes, clock in zip(row, _CLOCKS, strict=True):
                for line in lines:
                    named |= {(line.published, order.index(line.variant)): drawn for drawn in _curve(axes, line, clock)}
                axes.grid(axis="y")
                axes.set_xlim(left=0)
                axes.set_xlabel(clock)
            row[0].set_ylabel(f"{title(backbone)}\nvalidation Recall@20")
        _check(named, "finished epoch")
        labels = [LOOKS[order[variant]].label + ", published" * published for published, variant in sorted(named)]
        figure.legend([named[key] for key in sorted(named)], labels, loc="outside upper center", ncols=len(named))
    return figure


def _curve(axes: Axes, history: History, clock: str) -> list[Line2D]:
    """Draw a history against a clock: one line, or none where it has no such clock."""
    look, epochs = choose(history.variant, LOOKS, what="variant"), np.arange(1, len(history.recall) + 1)
    before, x = {
        "epoch": (0.0, epochs),
        "thousand optimiser steps": (history.steps_before / 1000, epochs * history.steps_per_epoch / 1000),
        "seconds": (history.seconds_before, np.cumsum(history.seconds)),
    }[clock]
    if not len(x):
        return []
    if before:
        axes.axvspan(0, before, color=look.colour, alpha=0.12, linewidth=0)
        axes.annotate("phase 1", (before, 0.03), (2, 0), xycoords=("data", "axes fraction"), fontsize=6,
                      textcoords="offset points", color=look.colour)  # fmt: skip
    thin: dict[str, Any] = {"linewidth": 0.8, "linestyle": (0, (3, 1.5))} if history.published else {}
    colours = ("white", look.colour) if history.published else (look.colour, "white")
    return axes.plot(before + x, history.recall, color=look.colour, marker=look.marker, markersize=4.5,
                     markevery=[int(np.argmax(history.recall))], markerfacecolor=colours[0], markeredgecolor=colours[1],
                     markeredgewidth=0.7, **thin)  # fmt: skip


# Figure 4


def figure4(groups: Mapping[str, Sequence[Group]]) -> Figure:
    """Users by sparsity: bars of Base and HyperLLM for each group, the relative gain in % on the right-hand axis.

    ``groups`` maps backbone to its groups, sparsest first, the same users for every backbone. Recall@20 above NDCG@20.
    """
    _check(groups, "backbone")
    with _style():
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        figure, grid = _grid(len(METRICS), len(groups), 3.5, sharex=True, sharey="row")
        for row, (metric, name) in zip(grid, METRICS.items(), strict=True):
            gains = [_pairs(axes, of_backbone, metric) for axes, of_backbone in zip(row, groups.values(), strict=True)]
            row[0].set_ylabel(name)
            gains[-1].set_ylabel("relative gain, %", color=_GAIN)
            gains[-1].tick_params(axis="y", right=True, labelright=True)
            limits = _range_of_gains(groups, metric)
            for axes in gains:
                axes.set_ylim(limits)
        for axes, backbone in zip(grid[0], groups, strict=True):
            axes.set_title(title(backbone), fontweight="bold")
        figure.supxlabel(_who(next(iter(groups.values()))), fontsize=6.5)
        figure.legend(
            [Patch(**_BASE_BAR), Patch(**_OUR_BAR), Line2D([], [], **_GAIN_LINE)],
            ["Base", "HyperLLM", "relative gain (right axis)"],
            loc="outside upper center",
            ncols=3,
        )
    return figure


_BASE_BAR: dict[str, Any] = {"facecolor": "#C8C8C8", "edgecolor": "black", "linewidth": 0.5}
_OUR_BAR: dict[str, Any] = {"facecolor": LOOKS["hyperllm"].colour, "edgecolor": "black", "linewidth": 0.5}
_GAIN_LINE: dict[str, Any] = {"color": _GAIN, "marker": "o", "markersize": 3}


def _pairs(axes: Axes, groups: Sequence[Group], metric: str) -> Axes:
    """Bars on ``axes``, gains on a second axis, which is returned without numbers and limits."""
    from matplotlib.patheffects import Normal, Stroke

    place = np.arange(len(groups))
    axes.grid(axis="y")
    axes.bar(place - 0.2, [group.base[metric] for group in groups], 0.38, **_BASE_BAR)
    axes.bar(place + 0.2, [group.hyperllm[metric] for group in groups], 0.38, **_OUR_BAR)
    axes.set_xticks(place, [f"G{number + 1}" for number in place])
    axes.tick_params(axis="x", length=0)
    second = axes.twinx()
    halo = [Stroke(linewidth=2.6, foreground="white"), Normal()]
    second.plot(place, [group.gain(metric) for group in groups], **_GAIN_LINE, path_effects=halo)
    second.axhline(0, color=_GAIN, linewidth=0.5)
    second.tick_params(axis="y", right=False, labelright=False, colors=_GAIN)
    return second


def _range_of_gains(groups: Mapping[str, Sequence[Group]], metric: str) -> tuple[float, float]:
    """Limits of the axis of gains, 0 within them and at the foot of the bars where no gain is negative."""
    gains = [group.gain(metric) for of_backbone in groups.values() for group in of_backbone]
    low, high = float(np.nanmin([0.0, *gains])), float(np.nanmax([1.0, *gains]))
    return 1.08 * low, 1.08 * high


def _who(groups: Sequence[Group]) -> str:
    told = [f"G{n}: {_range(g.fewest, g.most)} ({g.users:,} users)" for n, g in enumerate(groups, 1)]
    return "training clicks a user:  " + "   ".join(told)


def _range(fewest: int, most: int) -> str:
    return f"{fewest}" if fewest == most else f"{fewest}–{most}"


# Figure 5

_TOP = 250  # merges drawn; below them the branches of thousands of leaves are one black bar
_RUNS = 240
_STRIPES = 120
_CLUSTERS = ("#D55E00", "#0E9AA7", "#D6278A", "#808000", "#8C510A", "#7B61C4", "#5B6B7A")
_SHELVES = ("#0B3C6F", "#E69F00", "#00785A", "#F3C6DE", "#4C93C9", "#7A1F5C", "#F0E442")
_OTHER = "#BFBFBF"
_TRUNK = "#555555"


def figure5(trees: Mapping[str, Tree], categories: Sequence[str | None] | None = None) -> Figure:
    """Trees side by side, by name: the upper part of each dendrogram, what is on its leaves, and their distances.

    Branches that merge below `COLOURED` of the root's height are coloured, a cluster a colour. ``categories`` names a
    category for each of the n items; their shares run as a strip below the leaves. The map shows hyperbolic distances
    between runs of neighbouring leaves as shares of the tree's mean distance, in colours common to all trees.
    """
    _check(trees, "tree")
    with _style():
        ratios = [1.15, 0.4, 2.2] if categories else [1.15, 2.2]
        figure, grid = _grid(len(ratios), len(trees), 5.0 if categories else 4.6, height_ratios=ratios, sharey="row")
        for axes, (name, tree) in zip(grid[0], trees.items(), strict=True):
            _dendrogram(axes, tree)
            axes.set_title(f"{name}: {tree.coloured()} clusters", fontweight="bold")
        grid[0][0].set_ylabel("Ward's distance")
        grid[0][0].set_ylim(0, 1.04 * max(tree.merges[-1, 2] for tree in trees.values()))
        if categories:
            _strips(figure, grid[1], trees, categories)
        _maps(figure, grid[-1], trees)
        for row in grid:
            for axes, tree in zip(row, trees.values(), strict=True):
                axes.set_xlim(0, len(tree.rows))
                axes.tick_params(axis="x", length=0, labelbottom=False)
        for axes, tree in zip(grid[-1], trees.values(), strict=True):
            axes.set_xlabel(f"{len(tree.rows):,} items in the order of the tree")
    return figure


def _dendrogram(axes: Axes, tree: Tree) -> None:
    """The highest `_TOP` merges, and a dashed line below which clusters have their colours."""
    from matplotlib.collections import LineCollection

    leaves, order, cluster = len(tree.rows), tree.order(), tree.cut(tree.coloured())
    height = np.concatenate([np.zeros(leaves), tree.merges[:, 2]])
    x, a_leaf = np.empty(2 * leaves - 1), np.arange(2 * leaves - 1)
    x[order] = np.arange(leaves) + 0.5
    colour = {c: _CLUSTERS[place % len(_CLUSTERS)] for place, c in enumerate(dict.fromkeys(cluster[order].tolist()))}
    for merge, (left, right) in enumerate(tree.merges[:, :2].astype(np.int64), start=leaves):
        x[merge], a_leaf[merge] = (x[left] + x[right]) / 2, a_leaf[left]
    left, right = tree.merges[-_TOP:, :2].astype(np.int64).T
    top, below = tree.merges[-_TOP:, 2], COLOURED * height[-1]
    corners = [(x[left], height[left]), (x[left], top), (x[right], top), (x[right], height[right])]
    colours = [
        colour[int(cluster[a_leaf[child]])] if at <= below else _TRUNK for child, at in zip(left, top, strict=True)
    ]
    axes.add_collection(LineCollection(list(np.array(corners).transpose(2, 0, 1)), colors=colours, linewidths=0.7))
    axes.axhline(below, color=_FAINT, linewidth=0.6, linestyle=(0, (2, 2)))
    axes.spines["bottom"].set_visible(False)


def _strips(figure: Figure, row: Sequence[Axes], trees: Mapping[str, Tree], categories: Sequence[str | None]) -> None:
    """Shares of the most frequent categories in runs of neighbouring leaves, stacked, and their key."""
    from matplotlib.patches import Patch

    frequent = [name for name, _ in Counter(name for name in categories if name).most_common(len(_SHELVES))]
    shelf = {name: place for place, name in enumerate(frequent)}
    of_item = np.array([shelf.get(name or "", len(frequent)) for name in categories])
    parts = [*zip(frequent, _SHELVES, strict=False), ("other or unknown", _OTHER)]
    for axes, tree in zip(row, trees.values(), strict=True):
        runs = min(_STRIPES, len(tree.rows))
        run = np.arange(len(tree.rows)) * runs // len(tree.rows)
        counts = np.zeros((len(parts), runs))
        np.add.at(counts, (of_item[tree.rows[tree.order()]], run), 1.0)
        tops = np.vstack([np.zeros(runs), np.cumsum(counts / counts.sum(axis=0), axis=0)])
        edges = np.searchsorted(run, np.arange(runs + 1))
        for (_, colour), low, high in zip(parts, tops[:-1], tops[1:], strict=True):
            axes.stairs(high, edges, baseline=low, fill=True, color=colour)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
    row[0].set_ylabel("categories")
    keys = dict(parts if (of_item == len(frequent)).any() else parts[:-1])
    lines = 1 + sum(len(name) + 8 for name in keys) // 150
    figure.legend(
        [Patch(color=colour) for colour in keys.values()],
        list(keys),
        loc="outside upper center",
        ncols=math.ceil(len(keys) / lines),
    )


def _maps(figure: Figure, row: Sequence[Axes], trees: Mapping[str, Tree]) -> None:
    """Distances between runs of leaves, each tree's over its mean, in common colours."""
    maps = [tree.distance_map(min(_RUNS, len(tree.rows) // 2)) for tree in trees.values()]
    maps = [distances / distances.mean() for distances in maps]
    # the nearest and the farthest few would spend the colours on some pixels
    low, high = np.percentile(np.concatenate([distances.ravel() for distances in maps]), [1, 99])
    for axes, distances, tree in zip(row, maps, trees.values(), strict=True):
        edge = len(tree.rows)
        image = axes.imshow(distances, cmap="cividis", vmin=low, vmax=high, aspect="auto", interpolation="none",
                            extent=(0, edge, edge, 0))  # fmt: skip
        axes.tick_params(left=False, labelleft=False)
        if axes is row[-1]:
            figure.colorbar(image, ax=list(row), label="hyperbolic distance / mean", fraction=0.03, pad=0.01)


def _check(given: Mapping[Any, Any], what: str) -> None:
    if not given:
        raise DataError(f"a figure needs at least one {what}; found none. Run the experiments it shows first.")
