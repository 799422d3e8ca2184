"""``--ray [ADDRESS]``, which every stage that can use a cluster has: an option whose value may be left out.

Knows how the words of a command line are read. Does not know Ray.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

HERE = "here"
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="[ADDRESS]", help="On Ray: started here, or at an address: auto, HOST:PORT, ray://HOST:PORT."
    ),
]
_ADDRESS = re.compile(rf"(auto|local|{HERE}|ray://.+|[\w.\-\[\]]+:\d+)\Z")


def spelled_out(words: Sequence[str]) -> list[str]:
    """The same words, ``--ray`` without an address followed by `HERE`: parsers want options to have their values."""
    said: list[str] = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        said.append(word)
        if word == "--ray" and not _ADDRESS.match(following):
            said.append(HERE)
    return said


def for_workers(path: Path | None) -> Path | None:
    """The full path of a file, since workers may stand in another folder; ``run:NAME`` is none."""
    return path if path is None or str(path).startswith("run:") else path.resolve()


def address(ray: str) -> str | None:
    """What `hyperllm.scale.cluster.joined` takes."""
    return None if ray == HERE else ray
