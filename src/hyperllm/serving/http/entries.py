"""Lists of items as JSON bytes, joined from parts that are made once an item.

Knows how an item looks in a list and how JSON is written. Does not know how the list was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hyperllm.data.catalog import Catalog


def encoded(value: Any) -> bytes:
    """A JSON value as bytes; a number that is none is an error."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class Entries:
    """What lists say of each item of one catalogue; an item's part is made when it is first listed."""

    def __init__(self, catalog: Catalog) -> None:
        self._frame = catalog.frame.select("item_id", "title", "brand", "categories")
        self._parts: list[bytes | None] = [None] * len(catalog.items)

    def brief(self, item: int) -> bytes:
        """``{"item_id","title","brand","categories"}`` of an item row, without the closing brace."""
        part = self._parts[item]
        if part is None:
            part = self._parts[item] = encoded(self._frame.row(item, named=True))[:-1]
        return part

    def ranked(self, items: Iterable[int], scores: Iterable[float]) -> bytes:
        """A JSON array of item rows, best first, with ``rank`` and ``score``."""
        entries = [
            b'%b,"rank":%d,"score":%b}' % (self.brief(item), rank, repr(score).encode())
            for rank, (item, score) in enumerate(zip(items, scores, strict=True), 1)
        ]
        return b"[" + b",".join(entries) + b"]"

    def with_reasons(self, items: Sequence[int], scores: Sequence[float], reasons: Sequence[Any]) -> bytes:
        """As `ranked`, with the JSON value ``reasons`` of each."""
        entries = [
            b'%b,"rank":%d,"score":%b,"reasons":%b}' % (self.brief(item), rank, repr(score).encode(), encoded(why))
            for rank, (item, score, why) in enumerate(zip(items, scores, reasons, strict=True), 1)
        ]
        return b"[" + b",".join(entries) + b"]"

    def briefs(self, items: Iterable[int], more: Iterable[bytes] = ()) -> bytes:
        """A JSON array of item rows without rank; ``more`` closes each object, by default with nothing more."""
        ends = list(more) or None
        entries = [self.brief(item) + (b"}" if ends is None else ends[n]) for n, item in enumerate(items)]
        return b"[" + b",".join(entries) + b"]"
