"""A sheet as Markdown, CSV and LaTeX.

Knows how a table of results is read: each column's own number first and the paper's beside it, gains in brackets, the
best bold, the second underlined, signs explained below. Computes nothing. The same as a page is made by `webpage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from csv import DictWriter
from dataclasses import asdict, dataclass, fields
from io import StringIO

from hyperllm.evaluation.tables import SIGNIFICANT, escape
from hyperllm.experiments.paper.sheet import BASE, GAIN, Mark, Number, Row, Sheet
from hyperllm.experiments.paper.titles import title

PAPER = "paper"
ABSENT = "–"
FIRST = "†"
STAR = "*"
_LATEX = str.maketrans({"ᴿ": "$^R$", "β": r"$\beta$", ABSENT: "--"})


@dataclass(frozen=True)
class Shown:
    """One number as text, in nobody's notation yet; ``value`` is a dash where there is none."""

    number: float | None
    value: str
    std: str = ""
    gain: str = ""
    mark: Mark = ""
    is_significant: bool = False
    is_published: bool = False


def shown(sheet: Sheet, row: Row) -> Iterator[Shown]:
    """For each column our number, then the paper's where the column has any."""
    for column in sheet.columns:
        number, form = row.cells.get(column.name, Number()), row.form or column.form
        yield Shown(
            number.value,
            _text(number.value, form),
            "" if number.std is None else format(number.std, form.replace("+", "")),
            "" if number.gain is None else format(number.gain, GAIN),
            number.mark,
            number.p_value is not None and number.p_value < SIGNIFICANT,
        )
        if sheet.is_published(column.name):
            gain = "" if number.published_gain is None else format(number.published_gain, GAIN)
            yield Shown(number.published, _text(number.published, form), gain=gain, is_published=True)


def _text(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def named(row: Row) -> str:
    """A row's name, with why it is empty where it is."""
    return title(row.name) + (f" ({row.missing})" if row.missing else "")


def legend(sheet: Sheet) -> str:
    """What the signs of a sheet mean, as far as it has any; then its notes."""
    found = [cell for row in sheet.rows if not row.derived for cell in shown(sheet, row)]
    reference = "the group's base" if sheet.reference == BASE else title(sheet.reference)
    star = f"{STAR} differs from {reference} (paired test over users, p < {SIGNIFICANT:g} after Holm's correction)."
    signs = {
        "Bold: the best of its group; underlined: the second.": any(cell.mark for cell in found),
        f"{FIRST} the best of all rows.": any(cell.mark == "best of all" for cell in found),
        "± standard deviation over seeds; without it one seed.": any(cell.std for cell in found),
        f"In brackets: change against {reference}.": any(cell.gain for cell in found),
        star: any(cell.is_significant for cell in found),
    }
    return " ".join([*(sentence for sentence, is_used in signs.items() if is_used), *sheet.notes])


def _heads(sheet: Sheet) -> list[str]:
    """The column titles in one line."""
    heads = list(sheet.heads) if sheet.is_grouped else [sheet.heads[1]]
    for column in sheet.columns:
        heads += [column.title, PAPER] if sheet.is_published(column.name) else [column.title]
    return heads


def markdown(sheet: Sheet) -> str:
    """A pipe table under its title, explained below; then its summary."""
    heads = [_plain(head) for head in _heads(sheet)]
    names = 2 if sheet.is_grouped else 1
    lines = [heads, ["---"] * names + ["---:"] * (len(heads) - names)]
    for row in sheet.rows:
        name = [_plain(title(row.group)), _plain(named(row))][-names:]
        lines.append(name + [_markdown(cell) for cell in shown(sheet, row)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    parts = [f"**{_plain(sheet.title)}**", table, _plain(legend(sheet))]
    parts += [markdown(sheet.summary)] if sheet.summary else []
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _markdown(cell: Shown) -> str:
    value = {"": "{}", "second": "<ins>{}</ins>"}.get(cell.mark, "**{}**").format(cell.value)
    signs = (FIRST if cell.mark == "best of all" else "") + (rf"\{STAR}" if cell.is_significant else "")
    return " ".join(filter(None, [value + signs, cell.std and f"±{cell.std}", cell.gain and f"({cell.gain})"]))


def _plain(text: str) -> str:
    """``text`` so that Markdown prints it as it stands."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def csv(sheet: Sheet) -> str:
    """One line a cell of the sheet and its summary, numbers in full; gains, also as values, are shares of the base."""
    file = StringIO()
    where = ("table", "group", "name", "column")
    lines = DictWriter(file, [*where, *(f.name for f in fields(Number)), "missing"], lineterminator="\n")
    lines.writeheader()
    for each in (sheet, sheet.summary) if sheet.summary else (sheet,):
        for row in each.rows:
            for column in each.columns:
                place = dict(zip(where, (each.name, row.group, row.name, column.name), strict=True))
                number = row.cells.get(column.name, Number())
                lines.writerow({**place, **asdict(number), "missing": row.missing})
    return file.getvalue()


def latex(sheet: Sheet) -> str:
    """A ``tabular`` with booktabs rules, a rule between groups, its title and signs as comments; then its summary."""
    names = 2 if sheet.is_grouped else 1
    body: list[str] = []
    above = None
    for row in sheet.rows:
        if above not in (None, row.group):
            body.append(r"\midrule")
        group = "" if row.group == above else _latex(title(row.group))
        name = [group, _latex(named(row))][-names:]
        body.append(" & ".join([*name, *(_latex_cell(cell) for cell in shown(sheet, row))]) + r" \\")
        above = row.group
    heads = _heads(sheet)
    lines = [
        *(f"% {line}" for line in (sheet.title, legend(sheet)) if line),
        rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(heads) - names)}}}",
        r"\toprule",
        " & ".join(map(_latex, heads)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n" + (f"\n{latex(sheet.summary)}" if sheet.summary else "")


def _latex_cell(cell: Shown) -> str:
    value = {"": "{}", "second": r"\underline{{{}}}"}.get(cell.mark, r"\textbf{{{}}}").format(_latex(cell.value))
    signs = (r"\dagger" if cell.mark == "best of all" else "") + (STAR if cell.is_significant else "")
    std = rf"{{\small$\pm${cell.std}}}" if cell.std else ""
    gain = rf"{{\small(${escape(cell.gain)}$)}}" if cell.gain else ""
    return " ".join(filter(None, [value + (f"$^{{{signs}}}$" if signs else ""), std, gain]))


def _latex(text: str) -> str:
    return escape(text).translate(_LATEX)
