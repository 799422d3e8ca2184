"""Prompt versions, one TOML file each.

``paper`` is the wording of the paper's §4.1, cited as the method; ``hyperllm-1`` and ``hyperllm-1-lists`` are ours and
differ in the form of the answer: one tree, or three lists of tags and a list of edges. A template's placeholder is
``{input}``. A version is never edited: other words are another version.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from hyperllm.errors import choose
from hyperllm.llm.chat import Message

VERSIONS = ("hyperllm-1", "hyperllm-1-lists", "paper")
DEFAULT = "hyperllm-1"


@dataclass(frozen=True)
class Prompt:
    """The two messages about one item or user."""

    system: str
    user: str

    def messages(self, text: str) -> tuple[Message, ...]:
        """With ``text`` in its place."""
        return Message("system", self.system), Message("user", self.user.replace("{input}", text))


@dataclass(frozen=True)
class Prompts:
    """One version; ``join`` stands between the parts of an input, ``answer`` is the form asked for."""

    version: str
    answer: Literal["lists", "tree"]
    join: str
    item: Prompt
    user: Prompt

    @classmethod
    def load(cls, version: str = DEFAULT) -> Prompts:
        """Read a version; raises `ConfigError` that lists the versions."""
        choose(version, dict.fromkeys(VERSIONS), what="prompt version")
        text = files(__package__ or __name__).joinpath(f"{version}.toml").read_text(encoding="utf-8")
        found: dict[str, Any] = tomllib.loads(text)
        item, user = (Prompt(found[kind]["system"].strip(), found[kind]["user"].strip()) for kind in ("item", "user"))
        return cls(version, found["answer"], found["join"], item, user)
