"""Three small drawings as inline SVG: curves, intervals and pairs of dots.

Knows axes, ticks and marks; colours are the page's variables ``--c0`` … ``--c3``, so they follow its light or dark
style. Does not know what the numbers mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 560
LABEL = 140
_TICKS = 5


@dataclass(frozen=True)
class Curve:
    """A line through (x, y); ``best`` is the place of the point to mark. ``colour`` is 0 … 3."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dashed: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Interval:
    """A dot at ``middle`` with a bar from ``low`` to ``high``; ``group`` heads the rows that share it."""

    group: str
    name: str
    middle: float
    low: float
    high: float
    colour: int


@dataclass(frozen=True)
class Dots:
    """A row of named values, one dot a series."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that cover low … high, about five of them."""
    span = (high - low) or 1.0
    raw = span / _TICKS
    base = 10 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 5, 10) if base * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, 10) for k in range(first, last + 1)]


def curves(lines: Sequence[Curve], *, x_name: str, label: str) -> str:
    """Lines over a common x axis, each named in a legend above."""
    height, top, bottom = 300, 44, 40
    y_ticks = ticks(min(min(c.y) for c in lines), max(max(c.y) for c in lines))
    x_ticks = [t for t in ticks(0, max(max(c.x) for c in lines)) if t == int(t)]
    x = _Scale(0, x_ticks[-1], 44, WIDTH - 20)
    y = _Scale(y_ticks[0], y_ticks[-1], height - bottom, top)
    parts = [_line(x.start, y(t), x.end, y(t), "var(--rule)") for t in y_ticks]
    parts += [_text(36, y(t) + 4, f"{t:g}", anchor="end", faint=True) for t in y_ticks]
    parts += [_text(x(t), height - bottom + 18, f"{t:g}", anchor="middle", faint=True) for t in x_ticks]
    parts.append(_text((x.start + x.end) / 2, height - 4, x_name, anchor="middle", faint=True))
    parts += [_curve(c, x, y) for c in lines]
    return _svg(height, [*_legend([(c.name, c.colour, c.dashed) for c in lines]), *parts], label)


def _curve(curve: Curve, x: _Scale, y: _Scale) -> str:
    points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(curve.x, curve.y, strict=True))
    dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
    line = (
        f'<polyline points="{points}" fill="none" stroke="var(--c{curve.colour})" stroke-width="2" '
        f'stroke-linejoin="round"{dash}/>'
    )
    if curve.best is None:
        return line
    best = curve.best
    return line + _dot(x(curve.x[best]), y(curve.y[best]), curve.colour, f"{curve.name}: best {curve.y[best]:.4f}")


def intervals(rows: Sequence[Interval], *, x_name: str, label: str) -> str:
    """Differences with their intervals against a line at zero."""
    groups = list(dict.fromkeys(row.group for row in rows))
    height = 46 + 22 * len(rows) + 30 * len(groups)
    marks = ticks(min(0.0, *(row.low for row in rows)), max(0.0, *(row.high for row in rows)))
    x = _Scale(marks[0], marks[-1], LABEL, WIDTH - 70)
    parts = [_line(x(t), 8, x(t), height - 44, "var(--soft)" if t == 0 else "var(--rule)") for t in marks]
    parts += [_text(x(t), height - 26, f"{t:+g}" if t else "0", anchor="middle", faint=True) for t in marks]
    parts.append(_text((x.start + x.end) / 2, height - 5, x_name, anchor="middle", faint=True))
    y = 0.0
    for group in groups:
        y += 26
        parts.append(_text(0, y, group, bold=True))
        for row in (row for row in rows if row.group == group):
            y += 22
            parts += _interval(row, x, y)
        y += 4
    return _svg(height, parts, label)


def _interval(row: Interval, x: _Scale, y: float) -> list[str]:
    told = f"{row.group}, {row.name}: {row.middle:+.4f}, 95 % interval {row.low:+.4f} to {row.high:+.4f}"
    return [
        _text(12, y + 4, row.name, faint=True),
        _line(x(row.low), y, x(row.high), y, f"var(--c{row.colour})", width=3),
        _dot(x(row.middle), y, row.colour, told),
        _text(WIDTH, y + 4, f"{row.middle:+.3f}", anchor="end"),
    ]


def dots(rows: Sequence[Dots], series: Sequence[tuple[str, int]], *, x_name: str, label: str) -> str:
    """Values of a few series side by side, a row each; ``series`` are (name, colour)."""
    height = 92 + 30 * len(rows)
    marks = ticks(min(min(row.values) for row in rows), max(max(row.values) for row in rows))
    x = _Scale(marks[0], marks[-1], LABEL, WIDTH - 24)
    parts = [_line(x(t), 40, x(t), height - 44, "var(--rule)") for t in marks]
    parts += [_text(x(t), height - 26, f"{t:g}", anchor="middle", faint=True) for t in marks]
    parts.append(_text((x.start + x.end) / 2, height - 5, x_name, anchor="middle", faint=True))
    for place, row in enumerate(rows):
        y = 58 + 30 * place
        parts.append(_text(0, y + 4, row.name, faint=True))
        parts.append(_line(x(min(row.values)), y, x(max(row.values)), y, "var(--soft)"))
        for value, (name, colour) in zip(row.values, series, strict=True):
            parts.append(_dot(x(value), y, colour, f"{row.name}, {name}: {value:.4f}"))
    return _svg(height, [*_legend([(name, colour, False) for name, colour in series]), *parts], label)


def _legend(entries: Sequence[tuple[str, int, bool]]) -> list[str]:
    parts: list[str] = []
    x = 0.0
    for name, colour, dashed in entries:
        parts.append(_line(x, 14, x + 22, 14, f"var(--c{colour})", width=3, dashed=dashed))
        parts.append(_text(x + 28, 18, name))
        x += 28 + 7.4 * len(name) + 22
    return parts


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"{dash}/>'


def _dot(x: float, y: float, colour: int, told: str) -> str:
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="var(--c{colour})" stroke="var(--paper)" stroke-width="1.5">'
        f"<title>{escape(told)}</title></circle>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", faint: bool = False, bold: bool = False) -> str:
    kind = ' class="faint"' if faint else ""
    weight = ' font-weight="600" style="font-weight:600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}{weight}>{escape(text)}</text>'
