"""The disk as one SVG, for notebooks, reports and slides.

Knows a `Disk` and what is to be lit up on it. No script and nothing from outside, so it shows wherever SVG does, in
notebooks that are not trusted too. Titles are escaped and appear when the pointer rests on a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from hyperllm.ids import Rows
from hyperllm.serving.disk import OTHER, Disk

PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c6d31",
    "#7b61c9",
    "#5f9e6e",
    "#b04a5a",
)
"""Colours of categories, told apart by most eyes, on light and on dark (the first six: Okabe and Ito)."""
GREY = "#8a8f98"
MOST = 3_000
_RADIUS = 280
_MARGIN = 12
_NAMED, _RINGED, _DEEPEST = 12, 60, 3
_RINGS = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class Picture:
    """``history`` and ``recommended`` are item rows, ``user`` is where the user stands, None without one."""

    disk: Disk
    history: Sequence[int] = ()
    recommended: Sequence[int] = ()
    user: tuple[float, float] | None = None
    caption: str = ""

    def svg(self) -> str:
        """The picture as one SVG element; of a large catalogue the most clicked items, and all that are lit up."""
        side = 2 * (_RADIUS + _MARGIN)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" role="img" '
            f'aria-label="{escape(self.caption or "The catalogue on the Poincaré disk", quote=True)}" '
            'font-family="sans-serif" font-size="11">',
            *self._rings(),
            *self._items(),
            *self._tags(),
            *self._lit(),
            "</svg>",
        ]
        return "\n".join(parts)

    def save(self, path: Path | str) -> None:
        """Write the SVG to a file."""
        Path(path).write_text(self.svg(), encoding="utf-8")

    def _repr_html_(self) -> str:
        names = [f'<span style="color:{PALETTE[n]}">●</span> {escape(c)}' for n, c in enumerate(self.disk.categories)]
        lit = []
        if self.history:
            lit.append("◆ history")
        if self.recommended:
            lit.append("★ recommended")
        if self.user is not None:
            lit.append("✚ user")
        legend = " &nbsp; ".join([*names, *lit])
        caption = f"<figcaption>{escape(self.caption)}<br>{legend}</figcaption>"
        return f'<figure style="max-width:{2 * (_RADIUS + _MARGIN)}px">{self.svg()}{caption}</figure>'

    def _rings(self) -> list[str]:
        """The rim, and circles of constant distance from the origin."""
        rings = [np.tanh(self.disk.scale * r / 2) for r in _RINGS]
        drawn = [
            f'<circle cx="{_at(0)}" cy="{_at(0)}" r="{r * _RADIUS:.1f}" fill="none" stroke="{GREY}" '
            f'stroke-opacity="{0.9 if r == 1 else 0.25}"/>'
            for r in (1.0, *rings)
        ]
        return [*drawn, f'<circle cx="{_at(0)}" cy="{_at(0)}" r="1.5" fill="{GREY}"/>']

    def _shown(self) -> Rows:
        """Places among the disk's items that are drawn."""
        clicks = self.disk.model.clicks[self.disk.rows]
        return np.sort(np.argsort(-clicks, kind="stable")[:MOST])

    def _items(self) -> list[str]:
        disk = self.disk
        return [
            _dot(disk.xy[n], 1.8, PALETTE[disk.category[n]] if disk.category[n] != OTHER else GREY, self._title(n))
            for n in self._shown().tolist()
        ]

    def _title(self, n: int) -> str:
        row = int(self.disk.rows[n])
        return self.disk.model.titles[row] or self.disk.model.items.ids[row]

    def _tags(self) -> list[str]:
        """Tags as rings, broad first and then the widest, the first of them with their names."""
        tags = self.disk.model.tags
        if tags is None:
            return []
        count = np.bincount(tags.tag_items[:, 0], minlength=len(tags.tags))
        shown = self.disk.tag_rows
        broad = shown[(tags.level[shown] != _DEEPEST)]
        order = sorted(broad.tolist(), key=lambda tag: (tags.level[tag], -count[tag], tag))[:_RINGED]
        place = {tag: n for n, tag in enumerate(shown.tolist())}
        drawn: list[str] = []
        for number, tag in enumerate(order):
            (x, y), name = self.disk.tag_xy[place[tag]], escape(tags.names[tag])
            drawn.append(
                f'<circle cx="{_at(x)}" cy="{_at(-y)}" r="4" fill="none" stroke="currentColor" stroke-width="1.5">'
                f"<title>{name}</title></circle>"
            )
            if number < _NAMED:
                drawn.append(f'<text x="{_at(x, 7)}" y="{_at(-y, 4)}" fill="currentColor">{name}</text>')
        return drawn

    def _lit(self) -> list[str]:
        place = {int(row): n for n, row in enumerate(self.disk.rows)}
        marked = [(mark, int(row)) for mark, rows in (("◆", self.history), ("★", self.recommended)) for row in rows]
        drawn = [
            _sign(self.disk.xy[n], mark, self._title(n)) for mark, row in marked if (n := place.get(row)) is not None
        ]
        return drawn if self.user is None else [*drawn, _sign(np.array(self.user), "✚", "the user")]


def _at(value: float, further: float = 0.0) -> str:
    return f"{_RADIUS + _MARGIN + value * _RADIUS + further:.1f}"


def _dot(xy: np.ndarray[tuple[int], np.dtype[np.float64]], size: float, colour: str, title: str) -> str:
    x, y = xy
    return (
        f'<circle cx="{_at(x)}" cy="{_at(-y)}" r="{size}" fill="{colour}" fill-opacity="0.75">'
        f"<title>{escape(title)}</title></circle>"
    )


def _sign(xy: np.ndarray[tuple[int], np.dtype[np.float64]], mark: str, title: str) -> str:
    x, y = xy
    return (
        f'<text x="{_at(x)}" y="{_at(-y, 5)}" text-anchor="middle" font-size="15" fill="currentColor" '
        f'stroke="white" stroke-width="0.6" paint-order="stroke">{mark}<title>{escape(title)}</title></text>'
    )
