"""A search as two pictures, each as SVG and PNG: what every setting mattered, and how good each trial was.

Knows matplotlib, which only a search imports. Does not know how importances were computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hyperllm.experiments.trial import Trial

_BLUE, _GREY, _INK = "#2b6cb0", "#8a94a3", "#1f2933"
_MARKS = {"finished": ("o", _BLUE), "pruned": ("o", "none"), "diverged": ("x", _GREY)}


def importance(importances: Mapping[str, float], folder: Path) -> list[Path]:
    """One bar a setting, the longest on top; shares of 1."""
    names = sorted(importances, key=lambda name: importances[name])
    figure = Figure(figsize=(6, 0.9 + 0.36 * len(names)), layout="constrained")
    axes = _axes(figure, "share of the score's variance over finished trials")
    bars = axes.barh(names, [importances[name] for name in names], height=0.6, color=_BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=4, color=_INK, fontsize=9)
    axes.set_xlim(0, 1.12 * max(importances.values()))
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    return _save(figure, folder / "importance")


def history(trials: Sequence[Trial], folder: Path) -> list[Path]:
    """Trials in the order they were tried: a mark each for how it ended, and the best finished one so far."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = _axes(figure, "trial")
    best = list(accumulate((t.score if t.finished else 0.0 for t in trials), max))
    begun = [number for number, score in enumerate(best, start=1) if score]
    axes.step(begun, [best[n - 1] for n in begun], where="post", color=_GREY, linewidth=1.2, label="best so far")
    for kind, (marker, face) in _MARKS.items():
        points = [(n, t.score) for n, t in enumerate(trials, start=1) if t.scores and _kind(t) == kind]
        if points:
            colour = {"c": face} if marker == "x" else {"facecolors": face, "edgecolors": _BLUE}
            axes.scatter(*zip(*points, strict=True), marker=marker, s=36, label=kind, zorder=3, **colour)
    axes.set_xlim(0.5, len(trials) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("R@10 + R@20 + N@10 + N@20, validation", color=_INK, fontsize=9)
    axes.legend(frameon=False, fontsize=9, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _save(figure, folder / "history")


def _kind(trial: Trial) -> str:
    return "finished" if trial.finished else trial.ended


def _axes(figure: Figure, x_name: str) -> Axes:
    axes = figure.subplots()
    axes.set_xlabel(x_name, color=_INK, fontsize=9)
    axes.tick_params(labelsize=9, colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _save(figure: Figure, path: Path) -> list[Path]:
    """Equal pictures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("svg", "png")]
    with rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=160)
    return files
