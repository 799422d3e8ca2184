"""Prompt versions, as plain files.

``paper`` is the wording of the paper's §4.1, cited as the method; ``hyperllm-1`` is ours. A template's placeholder is
``{input}``. The hash of the rendered prompt keys everything that is made from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from hyperllm.errors import choose

VERSIONS = {"paper": "paper", "hyperllm-1": "hyperllm_1"}
DEFAULT = "hyperllm-1"


@dataclass(frozen=True)
class Prompts:
    """The two templates of one version."""

    version: str
    item: str
    user: str

    @classmethod
    def load(cls, version: str = DEFAULT) -> Prompts:
        """Read a version; raises `ConfigError` that lists the versions."""
        stem = choose(version, VERSIONS, what="prompt version")
        folder = files(__package__ or __name__)
        item, user = (folder.joinpath(f"{stem}_{kind}.txt").read_text(encoding="utf-8") for kind in ("item", "user"))
        return cls(version, item, user)


def render(template: str, text: str) -> str:
    """The prompt for one input."""
    return template.replace("{input}", text)


def fingerprint(prompt: str) -> str:
    """SHA-256 of a rendered prompt."""
    return hashlib.sha256(prompt.encode()).hexdigest()
