"""The extractor that needs no language model: category paths and text statistics to three levels of tags.

Level 1 is the broadest category, level 2 the next; level 3 holds the deeper categories, the brand and up to four
keyphrases of the title (`Phrases`) that repeat neither brand nor category. Every tag below level 1 hangs under the
nearest broader one. Without categories the title's own words take the places: the most widely shared is level 1, the
next level 2. Deterministic; works in any language that puts spaces between words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperllm.data.catalog import Catalog
from hyperllm.extraction.phrases import Phrases
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.extraction.untrusted import as_name, as_text
from hyperllm.extraction.words import distinct, fold, words

NAME = "keywords"
KEYPHRASES = 4


def keyword_profiles(catalog: Catalog) -> list[ItemProfile]:
    """One profile an item, in vocabulary order; an item without text gets an empty one."""
    rows = list(catalog.frame.iter_rows(named=True))
    phrases = Phrases.of([row["title"] for row in rows])
    return [_profile(row, number, phrases) for number, row in enumerate(rows)]


def _profile(row: dict[str, Any], number: int, all_phrases: Phrases) -> ItemProfile:
    path = distinct([as_name(name) for name in row["categories"]]) or tuple(all_phrases.broad(number))
    brand = as_name(row["brand"] or "")
    named = (*path, brand)
    spoken = {fold(name) for name in named} | {word for name in named for word in words(name)}
    phrases = all_phrases.best(number, spoken, KEYPHRASES)
    upper = path[:2]
    taken = {fold(name) for name in upper}
    specific = distinct([name for name in (*path[2:], brand, *phrases) if fold(name) not in taken])
    edges = [(upper[0], upper[1])] if len(upper) == 2 else []
    if upper:
        edges += [(upper[0] if name == brand else upper[-1], name) for name in specific]
    return ItemProfile(
        item_id=row["item_id"],
        summary=_summary(row, path, phrases),
        tags=(upper[:1], upper[1:2], specific),
        edges=tuple(edges),
        origin=Origin(model=NAME),
    )


def _summary(row: dict[str, Any], path: Sequence[str], phrases: Sequence[str]) -> str:
    """Title, brand and path as a sentence, then what the title stresses and how the description begins."""
    title, brand, description = (as_text(row[part] or "") for part in ("title", "brand", "description"))
    head = f"{title} by {brand}" if title and brand and brand.casefold() not in title.casefold() else title or brand
    parts = [head, f"Found under {' > '.join(path)}" if path else None]
    parts += [f"Stands for {', '.join(phrases)}" if phrases else None, description[:300] or None]
    return " ".join(f"{part.strip().rstrip('.')}." for part in parts if part)
