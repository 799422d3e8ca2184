"""Texts that nobody vouches for: from a shop's catalogue into a prompt, and from a model's answer into our tables.

Knows what is taken out of both. What goes into a prompt loses control characters, line breaks and angle brackets (so
that it cannot close the marks that delimit it), and is cut at a length. What comes out of an answer loses markup and
control characters too; signs that belong to a name (``C++``, ``*NSYNC``, ``.NET``, ``12"``) stay. Does not know prompts
or answers.
"""

from __future__ import annotations

import re
import unicodedata

from hyperllm.data.catalog import shorten

_JOINERS = "\u200c\u200d"
"""Part of the spelling of some scripts, though they do not show."""
_IDLE = re.compile(r"(?<=[\u200c\u200d])[\u200c\u200d]+|(?<![^\x00-\x7f])[\u200c\u200d]+(?![^\x00-\x7f])")
"""Joiners between letters that nothing joins, and all but the first of several."""
_ESCAPE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)")
"""What moves a terminal's cursor, colours it or makes a link."""

_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Count as letters or signs, and show nothing."""
_SUSPECT = re.compile(rf"[<>\[\]*_`~#{_BLANK}]")
_MARKUP = (
    (re.compile(r"</?[A-Za-z!?][^<>]{0,200}>"), " "),
    (re.compile(r"!?\[([^\[\]]{0,200})\]\([^()\s]{0,500}\)"), r"\1"),
    (re.compile(r"\[([a-z#@]\w*)[^\[\]]{0,60}\]([^\[\]]{0,500})\[/(?:\1[^\[\]]{0,60})?\]"), r"\2"),
    (re.compile(r"(?<![^\W_])([*_`~]+)([^*_`~\s](?:[^*_`~]{0,500}[^*_`~\s])?)\1(?![^\W_])"), r"\2"),
    (re.compile(r"^(?:#\s+)+|(?<!\S)#{2,6}(?:\s+|$)"), ""),
    (re.compile(r"\[/[^\[\]]{0,60}\]"), " "),
)
"""HTML, links, ``[style]`` pairs of terminals and forums, emphasis around whole words, headings; innermost first."""
_TEXT = str.maketrans({**dict(zip("<>[]", "‹›()", strict=True)), **dict.fromkeys(_BLANK)})
_NAME = str.maketrans(dict.fromkeys("‹›{}|\\", " "))
_LIST_MARK = re.compile(r"^(?:[-•·*]+|\d{1,2}[.)])\s+")
_QUOTES = {'""', "''", "``", "“”", "‘’", "„“", "„”", "«»"}
_FRONT = re.compile(r"^(?:[\s,;:–—\"“”„‘]|['’](?!\d)|-(?!\d)|\.{2,}|\.(?!\w))+")
_BACK = re.compile(r"(?:[\s,;:–—“„‘-]|(?<!\d)[\"”'’]|(?<!\.[^\W\d_])(?<!\s[A-Z][a-z])\.)+$")


def visible(text: str) -> str:
    """One line of valid Unicode without characters that do not show; half of a surrogate pair becomes ``?``."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    valid = _ESCAPE.sub("", line).encode("utf-8", "replace").decode("utf-8")
    return " ".join(_IDLE.sub("", "".join(map(_shown, valid))).split())


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return "" if unicodedata.category(character) == "Cf" else " "


def without_brackets(text: str) -> str:
    """Angle brackets become single quotation marks, which look alike and close nothing."""
    return text.replace("<", "‹").replace(">", "›")


def as_data(text: str, limit: int) -> str:
    """A catalogue's text as it may stand in a prompt: at most ``limit`` characters, of which there is one at least."""
    return shorten(without_brackets(visible(text)), limit)


def as_text(text: str) -> str:
    """A sentence of an answer, markup taken out."""
    plain = visible(text)
    while _SUSPECT.search(plain) and (cleaner := _without_markup(plain)) != plain:
        plain = cleaner
    return plain


def _without_markup(text: str) -> str:
    for markup, instead in _MARKUP:
        if (found := markup.sub(instead, text)) != text:
            return visible(found)
    return visible(text.translate(_TEXT))


def as_name(text: str) -> str:
    """A tag's name of an answer: markup, list marks, quotes and brackets taken out."""
    plain = as_text(text)
    while not plain.replace(" ", "").isalnum() and (bare := as_text(_bare(plain))) != plain:
        plain = bare
    return plain


def _bare(name: str) -> str:
    name = _LIST_MARK.sub("", visible(name.translate(_NAME)))
    ends, inner = name[:1] + name[-1:], name[1:-1]
    if ends in _QUOTES and not set(ends) & set(inner):
        return inner
    return _BACK.sub("", _FRONT.sub("", name))
