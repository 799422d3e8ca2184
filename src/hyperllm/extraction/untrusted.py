"""Texts that nobody vouches for: from a shop's catalogue into a prompt, and from a model's answer into our tables.

Knows what is taken out of both. What goes into a prompt loses control characters, line breaks and angle brackets (so
that it cannot close the marks that delimit it), and is cut at a length. What comes out of an answer loses markup and
control characters too. Does not know prompts or answers.
"""

from __future__ import annotations

import re

_JOINERS = "\u200c\u200d"
"""Part of the spelling of some scripts, though they do not show."""
_BRACKETS = str.maketrans("<>", "‹›")
_MARKUP = re.compile(r"<[^<>]{0,200}>|[`*_#]{1,3}(?=\S)|(?<=\S)[`*_#]{1,3}|\[/?[a-z ]{1,20}\]")
_LIST_MARK = re.compile(r"^\s*(?:[-•·*]+|\d{1,2}[.)])\s+")


def visible(text: str) -> str:
    """One line of valid Unicode without characters that do not show; half of a surrogate pair becomes ``?``."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    valid = line.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() or c in _JOINERS else " " for c in valid).split())


def as_data(text: str, limit: int) -> str:
    """A catalogue's text as it may stand in a prompt: at most ``limit`` characters."""
    plain = visible(text).translate(_BRACKETS)
    if len(plain) <= limit:
        return plain
    head, _, _ = plain[:limit].rpartition(" ")
    return (head or plain[: limit - 1]).rstrip(" ,;:-") + "…"


def as_text(text: str) -> str:
    """A sentence of an answer, markup taken out."""
    return " ".join(_MARKUP.sub(" ", visible(text)).split())


def as_name(text: str) -> str:
    """A tag's name of an answer: markup, list marks, quotes and brackets taken out."""
    plain = _LIST_MARK.sub("", as_text(text)).translate({ord(c): " " for c in "<>{}[]|\\"})
    return " ".join(plain.split()).strip("\"'“”‘’.,;:-–— ")
