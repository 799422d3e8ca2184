"""Lists of items as JSON, joined from parts that are made once an item.

Knows how an item looks in a list and how JSON is written. Does not know how the list was found. Parts are ASCII text,
with escapes for everything else, which joins and encodes fastest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hyperllm.data.catalog import Catalog

_RANKS = [f',"rank":{rank},"score":' for rank in range(1, 1_001)]


def encoded(value: Any) -> bytes:
    """A JSON value as bytes; a number that is none is an error."""
    return text(value).encode("ascii")


def text(value: Any) -> str:
    """A JSON value as ASCII text."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


class Entries:
    """What lists say of each item of one catalogue; an item's part is made when it is first listed."""

    def __init__(self, catalog: Catalog) -> None:
        self._frame = catalog.frame.select("item_id", "title", "brand", "categories")
        self._parts: list[str | None] = [None] * len(catalog.items)

    def ranked(self, items: Sequence[int], scores: Sequence[float], reasons: Sequence[Any] | None = None) -> bytes:
        """A JSON array of at most 1,000 item rows, best first, with rank, score and ``reasons`` where there are."""
        if reasons is not None:
            ends = [f'{score!r},"reasons":{text(why)}}}' for score, why in zip(scores, reasons, strict=True)]
        else:
            ends = [f"{score!r}}}" for score in scores]
        parts = map(self._part, items)
        entries = [f"{part}{rank}{end}" for part, rank, end in zip(parts, _RANKS, ends)]  # noqa: B905, ranks are enough
        return f"[{','.join(entries)}]".encode("ascii")

    def briefs(self, items: Sequence[int], clicks: Sequence[int] | None = None) -> bytes:
        """A JSON array of item rows without rank, with their ``clicks`` where given."""
        ends = ["}"] * len(items) if clicks is None else [f',"clicks":{count}}}' for count in clicks]
        return f"[{','.join(self._part(item) + end for item, end in zip(items, ends, strict=True))}]".encode("ascii")

    def _part(self, item: int) -> str:
        """``{"item_id","title","brand","categories"`` of an item row."""
        part = self._parts[item]
        if part is None:
            part = self._parts[item] = text(self._frame.row(item, named=True))[:-1]
        return part
