"""Sheets and figures as one self-contained HTML page.

Knows what a table of results needs on a screen: columns that sort at the press of a button, names that stay in sight
on a narrow one, signs that are also said. Asks no other server for anything. Does not know what was measured; the frame
and its colours are those of `hyperllm.experiments.page`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from hyperllm.experiments import page
from hyperllm.experiments.paper.render import FIRST, PAPER, STAR, Shown, legend, shown
from hyperllm.experiments.paper.sheet import Row, Sheet
from hyperllm.experiments.paper.titles import title


@dataclass(frozen=True)
class Figure:
    """``svg`` is a whole drawing of our own, put into the page as it is; the other texts are plain."""

    name: str
    title: str
    svg: str
    caption: str


def html(sheets: Sequence[Sheet], *, heading: str, lead: Sequence[str] = (), figures: Sequence[Figure] = ()) -> str:
    """The page: ``lead`` as paragraphs, a list of contents, then a section for each sheet and each figure."""
    body = [*(page.paragraph(text) for text in lead), _contents([*sheets, *figures])]
    body += [page.section(sheet.title, list(_pieces(sheet)), anchor=sheet.name) for sheet in sheets]
    body += [page.section(f.title, [page.figure(_drawing(f), f.caption)], anchor=f.name) for f in figures]
    style, script = (files(__package__ or __name__).joinpath(f"webpage.{kind}") for kind in ("css", "js"))
    return page.page(heading, body, style=style.read_text(encoding="utf-8"), script=script.read_text(encoding="utf-8"))


def _contents(parts: Sequence[Sheet | Figure]) -> str:
    links = "".join(f'<li><a href="#{escape(part.name)}">{escape(part.title)}</a></li>' for part in parts)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _drawing(figure: Figure) -> str:
    """The drawing as one named picture, without what only a file needs; ids, shared by a whole page, made its own."""
    svg = figure.svg[figure.svg.index("<svg") + len("<svg") :]
    own = re.sub(r'((?<=\s)id="|href="#|url\(#)', rf"\g<1>{figure.name}-", svg)
    return f'<div class="drawn"><svg role="img" aria-label="{escape(figure.title)}"{own}</div>'


def _pieces(sheet: Sheet) -> Iterator[str]:
    yield table(sheet)
    if signs := legend(sheet):
        yield page.paragraph(signs, kind="soft")
    if sheet.summary:
        yield f"<h3>{escape(sheet.summary.title)}</h3>"
        yield from _pieces(sheet.summary)


def table(sheet: Sheet) -> str:
    """A sheet whose columns can be sorted, in a region that scrolls sideways."""
    above, body = "", list[str]()
    for row in sheet.rows:
        body.append(_row(sheet, row, starts=row.group != above))
        above = row.group
    label = escape(sheet.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="results sortable" aria-label="{label}">'
        f"<thead>{_head(sheet)}</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _head(sheet: Sheet) -> str:
    """One line, or two where the paper's numbers stand beside ours."""
    is_double = any(sheet.is_published(column.name) for column in sheet.columns)
    span = ' rowspan="2"' if is_double else ""
    upper = [_sortable(escape(" · ".join(filter(None, sheet.heads))), 0, "ascending", f'class="name"{span}')]
    lower: list[str] = []
    place = 1
    for column in sheet.columns:
        text, first = escape(column.title), "descending" if column.better in ("higher", "neither") else "ascending"
        if sheet.is_published(column.name):
            upper.append(f'<th scope="colgroup" colspan="2" class="pair">{text}</th>')
            for kind, named in (("pair number", "here"), ("number", PAPER)):
                button = f'<span class="said">{text} </span>{named}'
                lower.append(_sortable(button, place, first, f'class="{kind}"'))
                place += 1
        else:
            upper.append(_sortable(text, place, first, f'class="pair number"{span}'))
            place += 1
    return "".join(f"<tr>{''.join(line)}</tr>" for line in (upper, lower) if line)


def _sortable(text: str, column: int, first: str, attributes: str) -> str:
    return (
        f'<th scope="col" {attributes} aria-sort="none" data-column="{column}" data-first="{first}">'
        f'<button type="button">{text}</button></th>'
    )


def _row(sheet: Sheet, row: Row, *, starts: bool) -> str:
    kinds = {"own": row.name == sheet.own, "derived": row.derived, "start": starts, "again": not starts}
    group = f'<span class="group">{escape(title(row.group))}</span> ' if sheet.is_grouped else ""
    missing = f"<small>{escape(row.missing)}</small>" if row.missing else ""
    value = "" if row.derived else _value(f"{title(row.group)} {title(row.name)}")
    name = f'<th scope="row" class="name"{value}>{group}{escape(title(row.name))}{missing}</th>'
    cells = "".join(_cell(cell, is_sorted=not row.derived) for cell in shown(sheet, row))
    return f'<tr class="{" ".join(kind for kind, holds in kinds.items() if holds)}">{name}{cells}</tr>'


def _cell(cell: Shown, *, is_sorted: bool) -> str:
    kinds = ["number", "paper" if cell.is_published else "pair", {"best of all": "best"}.get(cell.mark, cell.mark)]
    value = _value(repr(cell.number)) if is_sorted and cell.number is not None else ""
    told = ", ".join(filter(None, [cell.mark, "significant" if cell.is_significant else ""]))
    signs = (FIRST if cell.mark == "best of all" else "") + (STAR if cell.is_significant else "")
    parts = [
        f'<span class="said">{told}: </span>' if told else "",
        f'<span class="value">{cell.value}</span>',
        f'<sup aria-hidden="true">{signs}</sup>' if signs else "",
        f"<small>±{cell.std}</small>" if cell.std else "",
        f"<small>({cell.gain.replace('-', '−')})</small>" if cell.gain else "",
    ]
    return f'<td class="{" ".join(filter(None, kinds))}"{value}>{"".join(parts)}</td>'


def _value(text: str) -> str:
    """What a cell is sorted by."""
    return f' data-value="{escape(text)}"'
