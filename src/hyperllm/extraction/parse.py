"""Reading what a language model answered.

Tolerates code fences and text around the JSON; refuses, with a reason fit for a repair call, what no schema can check:
edges outside the tags, edges that do not lead downward, names on two levels. Knows answers, not models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hyperllm.errors import MalformedReply
from hyperllm.extraction.profiles import LEVELS, Tags
from hyperllm.extraction.words import distinct, fold

_NAMES = {"type": "array", "items": {"type": "string"}}
ITEM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        **{f"level_{level}": _NAMES for level in range(1, LEVELS + 1)},
        "edges": {"type": "array", "items": _NAMES},
    },
    "required": ["summary", "level_1", "level_2", "level_3", "edges"],
    "additionalProperties": False,
}
USER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"summary": {"type": "string"}},
    "required": ["summary"],
    "additionalProperties": False,
}


def json_object(text: str) -> dict[str, Any]:
    """The first JSON object in a reply; raises `MalformedReply`."""
    decoder = json.JSONDecoder()
    place = text.find("{")
    while place >= 0:
        try:
            value, _ = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place = text.find("{", place + 1)
            continue
        if isinstance(value, dict):
            return value
        place = text.find("{", place + 1)
    raise MalformedReply(f"the reply holds no JSON object; it begins {text[:80]!r}")


def read_user(text: str) -> str:
    """A user summary."""
    return _summary(json_object(text))


def read_item(text: str) -> tuple[str, Tags, tuple[tuple[str, str], ...]]:
    """(summary, tags by level, edges); raises `MalformedReply` with every reason at once."""
    answer = json_object(text)
    summary = _summary(answer)
    first, second, third = (_names(answer, f"level_{level}") for level in range(1, LEVELS + 1))
    tags = (first, second, third)
    level: dict[str, int] = {}
    wrong: list[str] = []
    for number, names in enumerate(tags, start=1):
        twice = [name for name in names if level.setdefault(fold(name), number) != number]
        wrong += [f"the tag {name!r} stands on two levels" for name in twice]
    if not first:
        wrong.append("level_1 is empty")
    edges = _edges(answer.get("edges", []), level, wrong)
    if wrong:
        raise MalformedReply("; ".join(wrong))
    return summary, tags, edges


def _summary(answer: Mapping[str, Any]) -> str:
    summary = answer.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        raise MalformedReply("the reply has no summary")
    return _plain(summary)


def _names(answer: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = answer.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MalformedReply(f"{key} must be a list of names")
    return distinct([_plain(name) for name in names])


def _plain(text: str) -> str:
    """One line of valid Unicode; half of a surrogate pair, which JSON can smuggle in, becomes a question mark."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def _edges(pairs: Any, level: Mapping[str, int], wrong: list[str]) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    if not isinstance(pairs, list):
        wrong.append("edges must be a list of pairs of names")
        return ()
    for pair in pairs:
        if not _is_pair(pair):
            wrong.append(f"the edge {pair!r} is not a pair of names")
            continue
        parent, child = level.get(fold(pair[0])), level.get(fold(pair[1]))
        if parent is None or child is None:
            wrong.append(f"the edge {pair[0]!r} -> {pair[1]!r} uses a name outside the tags")
        elif parent >= child:
            wrong.append(f"the edge {pair[0]!r} -> {pair[1]!r} does not lead to a more specific level")
        else:
            kept.append((_plain(pair[0]), _plain(pair[1])))
    return tuple(dict.fromkeys(kept))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(name, str) for name in value)
