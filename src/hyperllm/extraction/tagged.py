"""The text of an item as an encoder reads it: its words, then the names of its tags.

Knows texts and tag rows. Does not know encoders, nor whose item it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperllm.ids import Rows

TEXT_CHARACTERS = 700
"""Catalogue text an item gets; encoders read a few hundred words, and the tags that follow must not be cut off."""
NAMED_TAGS = 24
"""Tags an item's text names at most, the most specific first."""


def tagged_text(text: str, tags: Sequence[int], names: Sequence[str], spread: Rows) -> str:
    """A text, then the names of its item's tags, those first that few items carry (``spread`` counts them)."""
    chosen = sorted(tags, key=lambda tag: (spread[tag] < 2, spread[tag], tag))[:NAMED_TAGS]
    line = ", ".join(names[tag] for tag in chosen)
    return f"{text} Tags: {line}.".strip() if line else text
