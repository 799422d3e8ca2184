"""Pieces of a self-contained HTML page: style, tables, cards.

Knows HTML and how it looks on wide and narrow screens, by day and by night; asks no other server for anything. Does not
know what the page is about. Texts are escaped here, so callers pass them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

STYLE = """
:root { color-scheme: light dark;
  --paper: #faf8f4; --card: #ffffff; --ink: #1f2328; --soft: #5c6370; --rule: #e4dfd5; --tint: #eef5f4;
  --c0: #0b6b69; --c1: #b4531a; --c2: #6450a0; --c3: #6d7480; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1c2024; --ink: #e9e6e0; --soft: #a7adb6; --rule: #333a41; --tint: #17302f;
  --c0: #55c8bd; --c1: #f0a062; --c2: #b9a5ee; --c3: #9aa2ad; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", Georgia, serif;
  font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.9rem, 5vw, 2.6rem); margin: 0 0 .75rem; letter-spacing: -.01em; }
h2 { font-size: 1.45rem; margin: 3rem 0 .5rem; padding-top: 1.25rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .5rem 0 1rem; max-width: 42rem; }
.lead { font-size: 1.15rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
a { color: var(--c0); }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
figure > div:focus-visible, .scroll:focus-visible, summary:focus-visible {
  outline: 2px solid var(--c0); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--soft); font-size: .82rem; font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.best { font-weight: 700; color: var(--c0); }
tr.own { background: var(--tint); }
thead th:first-child, tbody th { padding-left: .6rem; }
figure { margin: 1.25rem 0; }
figcaption { margin-top: .5rem; max-width: 42rem; }
figure > div { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 26rem; max-width: 42rem; height: auto; }
svg text { fill: var(--ink); font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
svg .faint { fill: var(--soft); }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; padding: 1rem 1.1rem; }
.figure { font-size: 1.5rem; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.person { margin: 1rem 0; }
.person ol { margin: .75rem 0 0; padding-left: 1.4rem; }
.person li { margin: .65rem 0; }
.path { color: var(--c0); font-size: .92rem; }
.hit { display: inline-block; background: var(--tint); color: var(--c0); border: 1px solid currentColor;
  border-radius: 1rem; padding: 0 .55rem; font-size: .78rem; margin-left: .4rem; }
details { padding: .3rem 0; }
summary { cursor: pointer; font-weight: 500; }
footer { margin-top: 3rem; }
@media (max-width: 34rem) { main { padding: 1.5rem 1rem 3rem; } th, td { padding-right: .6rem; } }
@media print { body { background: #fff; } details { display: block; } }
"""

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="hyperllm">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
$script</body>
</html>
""")


def page(title: str, body: Sequence[str], *, style: str = "", script: str = "") -> str:
    """A whole document; ``body`` are finished pieces of HTML, ``style`` and ``script`` what they need besides."""
    script = f"<script>\n{script}</script>\n" if script else ""
    return _PAGE.substitute(title=escape(title), style=STYLE + style, body="\n".join(body), script=script)


def section(heading: str, pieces: Sequence[str], *, anchor: str = "") -> str:
    """A heading and what follows it; ``#anchor`` leads there."""
    start = f'<section id="{escape(anchor)}">' if anchor else "<section>"
    return "\n".join([start, f"<h2>{escape(heading)}</h2>", *pieces, "</section>"])


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text; ``kind`` is ``lead`` or ``soft``."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    best: frozenset[tuple[int, int]] = frozenset(),
    own: int | None = None,
    numbers: bool = True,
) -> str:
    """A table whose first column names the row.

    ``best`` holds (row, column) of cells to mark, column 0 being the name; row ``own`` is tinted; with ``numbers`` all
    columns but the first are flush right.
    """
    number = ' class="number"' if numbers else ""
    heads = [f'<th scope="col"{number if place else ""}>{escape(text)}</th>' for place, text in enumerate(head)]
    body: list[str] = []
    for r, row in enumerate(rows):
        cells = "".join(_cell(value, (r, c) in best, numbers) for c, value in enumerate(row[1:], start=1))
        kind = ' class="own"' if r == own else ""
        body.append(f'<tr{kind}><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(value: str, best: bool, numbers: bool) -> str:
    kinds = [name for name, wanted in (("number", numbers), ("best", best)) if wanted]
    mark = '<span role="img" aria-label="best: ">★</span> ' if best else ""
    return f'<td class="{" ".join(kinds)}">{mark}{escape(value)}</td>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """A row of cards, each a figure over its name."""
    cards = [
        f'<div class="card"><div class="figure">{escape(value)}</div><div class="soft">{escape(name)}</div></div>'
        for name, value in pairs
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def details(summary: str, piece: str) -> str:
    """A piece of HTML that opens on request."""
    return f"<details><summary>{escape(summary)}</summary>{piece}</details>"


def figure(svg: str, caption: str) -> str:
    """A drawing with its caption."""
    return f'<figure><div tabindex="0">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'
