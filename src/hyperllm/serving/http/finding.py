"""Search by a part of a name.

Knows ids, texts and how often each was clicked. Does not know what they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from hyperllm.ids import Rows


@dataclass(frozen=True, eq=False)
class Finder:
    """``texts`` are in lower case, in the order of ``rows``: most clicks first, equals by row number."""

    ids: Sequence[str]
    texts: Sequence[str]
    rows: list[int]
    clicks: Rows

    @classmethod
    def of(cls, ids: Sequence[str], texts: Sequence[str], clicks: Rows) -> Finder:
        """Prepare; row r has the id, the text and the clicks numbered r."""
        rows: list[int] = np.argsort(-clicks, kind="stable").tolist()
        return cls(ids, [texts[row].casefold() for row in rows], rows, clicks)

    def find(self, query: str, limit: int) -> list[int]:
        """At most ``limit`` rows whose text holds ``query``, whatever its case: an equal id first, then most clicks."""
        wanted = query.strip().casefold()
        if not wanted:
            return self.rows[:limit]
        found = (row for row, text in zip(self.rows, self.texts, strict=True) if wanted in text)
        best = list(islice(found, limit))
        exact = [row for row in best if self.ids[row].casefold() == wanted] or self._exact(query.strip())
        return [*exact, *(row for row in best if row not in exact)][:limit]

    def _exact(self, query: str) -> list[int]:
        return [row for row in self.rows if self.ids[row] == query][:1] if query else []
