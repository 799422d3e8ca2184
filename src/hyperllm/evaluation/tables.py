"""A comparison as text and as LaTeX.

Knows how a table of runs and metrics is read: the best mean bold, the second underlined, a star where the difference to
the reference is significant, ± the standard deviation where a run has several seeds. Does not compute anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyperllm.evaluation.compare import Cell, Comparison

SIGNIFICANT = 0.05
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


@dataclass(frozen=True)
class TextRow:
    """One line of the plain table; every field is ready to print."""

    run: str
    metric: str
    mean: str
    mark: str
    difference: str
    interval: str
    p_value: str


def text_rows(comparison: Comparison) -> tuple[TextRow, ...]:
    """One row for each run and metric, in the order of the comparison."""
    return tuple(_text(cell) for cell in comparison.cells)


def _text(cell: Cell) -> TextRow:
    mean = f"{cell.mean:.4f}" + ("" if cell.std is None else f" ± {cell.std:.4f}")
    if cell.difference is None or cell.low is None or cell.high is None or cell.p_value is None:
        return TextRow(cell.run, cell.metric, mean, cell.mark, "", "", "")
    return TextRow(
        run=cell.run,
        metric=cell.metric,
        mean=mean,
        mark=cell.mark,
        difference=f"{cell.difference:+.4f}",
        interval=f"[{cell.low:+.4f}, {cell.high:+.4f}]",
        p_value=("<0.0001" if cell.p_value < 1e-4 else f"{cell.p_value:.4f}") + (" *" if significant(cell) else ""),
    )


def significant(cell: Cell) -> bool:
    """Whether the run differs from the reference at the level `SIGNIFICANT`, after Holm's correction."""
    return cell.p_value is not None and cell.p_value < SIGNIFICANT


def _notes(comparison: Comparison) -> list[str]:
    """What the signs of a table mean."""
    seeds = {run: comparison.cell(run, comparison.metrics[0]).seeds for run in comparison.runs}
    several = [f"{run} {count}" for run, count in seeds.items() if count > 1]
    averaged = f" and seeds ({', '.join(several)}), ± standard deviation over seeds" if several else ""
    return [
        f"mean over {comparison.users:,} users{averaged}",
        f"* differs from {comparison.reference}, paired {comparison.test} test, Holm-corrected p < {SIGNIFICANT}",
    ]


def text(comparison: Comparison) -> str:
    """The plain table as aligned lines, and below it what its signs mean."""
    head = ("run", "metric", "mean", "", f"minus {comparison.reference}", "95 % interval", "p (Holm)")
    rows = [tuple(vars(row).values()) for row in text_rows(comparison)]
    widths = [max(len(str(line[c])) for line in [head, *rows]) for c in range(len(head))]
    lines = ["  ".join(str(v).ljust(w) for v, w in zip(line, widths, strict=True)).rstrip() for line in [head, *rows]]
    return "\n".join([*lines, "", *_notes(comparison)])


def latex(comparison: Comparison) -> str:
    """A ``tabular`` with booktabs rules: runs down, metrics across."""
    head = " & ".join(["Run", *(escape(m) for m in comparison.metrics)])
    body = [
        " & ".join([escape(run), *(_latex(comparison.cell(run, metric)) for metric in comparison.metrics)]) + r" \\"
        for run in comparison.runs
    ]
    columns = "l" + "r" * len(comparison.metrics)
    notes = [f"% {line}" for line in _notes(comparison)]
    top = [*notes, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head + r" \\", r"\midrule"]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}"])


def _latex(cell: Cell) -> str:
    value = f"{cell.mean:.4f}"
    if cell.mark:
        value = (r"\textbf{%s}" if cell.mark == "best" else r"\underline{%s}") % value
    star = r"$^{*}$" if significant(cell) else ""
    return value + star + ("" if cell.std is None else rf" $\pm$ {cell.std:.4f}")


def escape(value: str) -> str:
    """``value`` so that LaTeX prints it as it stands."""
    return value.translate(_LATEX)
