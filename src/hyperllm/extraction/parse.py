"""Reading what a language model answered.

Tolerates code fences, text around the JSON and a model's thoughts before it; takes tags as three lists with a list of
edges, or as one tree. Refuses, with a reason fit for a repair call, what no schema can check: edges outside the tags,
edges that do not lead downward (so no cycle can stand), names on two levels, names that are no names, too much of
anything. Whatever the reply, reading it takes time in proportion to its length. Knows answers, not models.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperllm.errors import MalformedReply
from hyperllm.extraction.profiles import LEVELS, Tags
from hyperllm.extraction.untrusted import as_data, as_name, as_text, visible, without_brackets
from hyperllm.extraction.words import distinct, fold

SUMMARY_LIMIT = 2000
NAME_LIMIT = 80
NAMES_LIMIT = 24
EDGES_LIMIT = 200
REPLY_LIMIT = 100_000
"""Characters behind the thoughts; an answer at every other limit has less than half as many."""
BRACKETS_LIMIT = 600
"""Opening brackets behind the thoughts; an answer at every other limit has some 450."""

Edges = tuple[tuple[str, str], ...]
_NAMES = {"type": "array", "items": {"type": "string"}}
_THOUGHTS = re.compile(r"\s*<think(?:ing)?>")
_END_OF_THOUGHTS = re.compile(r"</think(?:ing)?>")
_DECODER = json.JSONDecoder(strict=False)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = NAME_LIMIT
_SHORT.maxlevel = _SHORT.maxlist = _SHORT.maxdict = 3
_ADDRESS = re.compile(r"://|\bwww\.|@\w+\.\w", re.IGNORECASE)


def _object(**properties: Any) -> Mapping[str, Any]:
    """A JSON schema without bounds on lengths: they slow constrained decoding down, and are checked afterwards."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_KIND = _object(name=_TEXT, children=_NAMES)
_DEPARTMENT = _object(name=_TEXT, children={"type": "array", "items": _KIND})
ITEM_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "lists": _object(
        summary=_TEXT,
        **{f"level_{level}": _NAMES for level in range(1, LEVELS + 1)},
        edges={"type": "array", "items": _NAMES},
    ),
    "tree": _object(summary=_TEXT, tags={"type": "array", "items": _DEPARTMENT}),
}
USER_SCHEMA: Mapping[str, Any] = _object(summary=_TEXT)


@dataclass(frozen=True)
class ItemAnswer:
    """What an answer says of an item."""

    summary: str
    tags: Tags
    edges: Edges


def json_object(text: str) -> dict[str, Any]:
    """The first JSON object behind a model's thoughts that is not part of a broken one; raises `MalformedReply`."""
    said = _without_thoughts(text)
    brackets = said.count("{") + said.count("[")
    if len(said) > REPLY_LIMIT or brackets > BRACKETS_LIMIT:
        much = f"{len(said):,} characters and {brackets:,} opening brackets"
        raise MalformedReply(f"the reply has {much}; one short JSON object is wanted")
    place = said.find("{")
    while place >= 0:
        try:
            return _DECODER.raw_decode(said, place)[0]
        except json.JSONDecodeError as broken:
            place = said.find("{", max(broken.pos, place + 1))
        except (ValueError, RecursionError):
            break
    raise MalformedReply(f"the reply holds no JSON object; it begins {as_data(text[:400], NAME_LIMIT)!r}")


def _without_thoughts(text: str) -> str:
    """What follows the last thought, whose opening mark some servers keep to themselves; nothing if it never ends."""
    *thoughts, said = _END_OF_THOUGHTS.split(text)
    return said if thoughts or not _THOUGHTS.match(text) else ""


def read_user(text: str) -> str:
    """A user summary."""
    return _summary(json_object(text))


def read_item(text: str) -> ItemAnswer:
    """Summary, tags by level and edges; raises `MalformedReply` with every reason at once."""
    answer = json_object(text)
    found = _Found()
    summary = _summary(answer)
    if isinstance(answer.get("tags"), list) and "level_1" not in answer:
        found.read_tree(answer["tags"])
    else:
        found.read_lists(answer)
    return ItemAnswer(summary, found.tags(), found.edges())


def _summary(answer: Mapping[str, Any]) -> str:
    summary = answer.get("summary")
    plain = visible(summary) if isinstance(summary, str) else ""
    if len(plain) > SUMMARY_LIMIT:
        raise MalformedReply(f"the summary has {len(plain):,} characters; two or three sentences are wanted")
    if not fold(plain := as_text(plain)):
        raise MalformedReply("the reply has no summary")
    return plain


def _name(given: str) -> str:
    """A tag's name; what is far too long for one is not searched for markup."""
    plain = visible(given)
    return as_name(plain) if len(plain) <= 4 * NAME_LIMIT else plain


@dataclass
class _Found:
    """Names by level, edges as they were written, and everything that is wrong with them."""

    levels: tuple[list[str], ...] = field(default_factory=lambda: tuple([] for _ in range(LEVELS)))
    pairs: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def read_lists(self, answer: Mapping[str, Any]) -> None:
        for number, names in enumerate(self.levels, start=1):
            given = answer.get(f"level_{number}", [])
            if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
                raise MalformedReply(f"level_{number} must be a list of names")
            names += map(_name, given)
        given = answer.get("edges", [])
        if not isinstance(given, list):
            self.wrong.append("edges must be a list of pairs of names")
            return
        for pair in given:
            if isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair):
                self.pairs.append((_name(pair[0]), _name(pair[1])))
            else:
                self.wrong.append(f"the edge {_short(pair)} is not a pair of names")

    def read_tree(self, nodes: list[Any]) -> None:
        for level, parent, name in _walk(nodes, 0, None):
            if level >= LEVELS:
                self.wrong.append(f"the tag {_short(name)} stands on level {level + 1}; there are {LEVELS}")
            elif not isinstance(name, str):
                self.wrong.append(f"{_short(name)} is not a tag with a name and children")
            elif fold(plain := _name(name)):
                self.levels[level].append(plain)
                if isinstance(parent, str):
                    self.pairs.append((_name(parent), plain))

    def tags(self) -> Tags:
        first, second, third = (distinct(names) for names in self.levels)
        level_of: dict[str, int] = {}
        for number, names in enumerate((first, second, third), start=1):
            if len(names) > NAMES_LIMIT:
                self.wrong.append(f"level {number} has {len(names)} tags; at most {NAMES_LIMIT} are wanted")
            for name in names[:NAMES_LIMIT]:
                if level_of.setdefault(fold(name), number) != number:
                    self.wrong.append(f"the tag {_short(name)} stands on two levels")
                if len(name) > NAME_LIMIT:
                    self.wrong.append(
                        f"the tag {_short(name)} has {len(name)} characters; at most {NAME_LIMIT} are fit"
                    )
                elif _ADDRESS.search(name):
                    self.wrong.append(f"the tag {_short(name)} is an address, not a name")
        if not first:
            self.wrong.append("level 1 is empty")
        self._check_edges(level_of)
        if self.wrong:
            raise MalformedReply("; ".join(self.wrong[:6]))
        return first, second, third

    def _check_edges(self, level_of: Mapping[str, int]) -> None:
        if len(self.pairs) > EDGES_LIMIT:
            self.wrong.append(f"there are {len(self.pairs)} edges; at most {EDGES_LIMIT} are wanted")
        for parent, child in self.pairs[:EDGES_LIMIT]:
            above, below = level_of.get(fold(parent)), level_of.get(fold(child))
            if above is None or below is None:
                self.wrong.append(f"the edge {_short(parent)} -> {_short(child)} uses a name outside the tags")
            elif above >= below:
                self.wrong.append(
                    f"the edge {_short(parent)} -> {_short(child)} does not lead to a more specific level"
                )

    def edges(self) -> Edges:
        return tuple(dict.fromkeys(self.pairs))


def _walk(nodes: list[Any], level: int, parent: Any) -> Iterator[tuple[int, Any, Any]]:
    """(level from 0, parent's name, name) of every node; a leaf may be a plain string, and one child stand alone."""
    for node in nodes:
        name = node.get("name") if isinstance(node, dict) else node
        yield level, parent, name
        children = node.get("children") if isinstance(node, dict) else None
        if children and level < LEVELS:
            yield from _walk(children if isinstance(children, list) else [children], level + 1, name)


def _short(value: Any) -> str:
    """At most `NAME_LIMIT` characters, however deep or long the value; they stand in a prompt, if it is repaired."""
    text = without_brackets(_SHORT.repr(value))
    return text if len(text) <= NAME_LIMIT else f"{text[: NAME_LIMIT - 1]}…"
