"""The extract stage: a catalogue to a profile set and a tag set.

``keywords`` needs no model; a chat model is asked item by item, then user by user. Every usable reply stays in a
journal beside the profile sets, so that nothing is asked twice: not after an interruption, nor with another ``limit``,
nor when the catalogue grows. An imported tag set (``published``) is never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.data.catalog import Catalog
from hyperllm.data.prepare import load_catalog, load_split
from hyperllm.data.split import Split
from hyperllm.data.tags import KIND as TAGS
from hyperllm.errors import ConfigError, DataError, choose
from hyperllm.extraction import keywords, profiles, taxonomy
from hyperllm.extraction.ask import Asked, Interviewer
from hyperllm.extraction.journal import Journal
from hyperllm.extraction.prompts import DEFAULT, Prompts
from hyperllm.extraction.scripted import scripted
from hyperllm.llm.chat import ChatProvider

Progress = Callable[[int, int], None]

CHATS: dict[str, Callable[[], ChatProvider]] = {"scripted": scripted}
EXTRACTORS = (keywords.NAME, *CHATS)


@dataclass(frozen=True)
class Extracted:
    """What stands in the workspace now; ``left_out`` maps an item or user to why it has no profile."""

    name: str
    items: int
    users: int
    taxonomy: taxonomy.TaxonomyReport | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: bool = False

    def text(self) -> str:
        """As plain lines."""
        if self.skipped:
            return f"{self.name}: found done"
        people = f" and {self.users:,} users" if self.users else ""
        lines = [f"{self.name}: profiles of {self.items:,} items{people}"]
        if self.taxonomy is not None:
            lines.append(self.taxonomy.text())
        if self.left_out:
            first = next(iter(self.left_out))
            lines.append(f"left out {len(self.left_out):,}, such as {first}: {self.left_out[first]}")
        return "\n".join(lines)


def extract(
    workspace: Path,
    *,
    llm: str = keywords.NAME,
    prompt: str = DEFAULT,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Write ``profiles/LLM`` and ``tags/LLM``; found done where catalogue, split and settings are unchanged.

    ``limit`` takes only the first so many items (and users). Raises `DataError` where no tag can be found.
    """
    choose(llm, dict.fromkeys(EXTRACTORS), what="extractor")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1; found {limit}")
    split = load_split(workspace)
    catalog = load_catalog(workspace).take(split.items)
    folders = workspace / "profiles" / llm, workspace / "tags" / llm
    config: dict[str, Any] = {"llm": llm, "prompt": None if llm == keywords.NAME else prompt, "limit": limit}
    inputs = {"catalog": artifacts.digest(catalog.texts()), "split": artifacts.fingerprint(workspace / "split")}
    if all(
        artifacts.is_current(folder, kind, config=config, inputs=inputs)
        for folder, kind in zip(folders, (profiles.KIND, TAGS), strict=True)
    ):
        return Extracted(llm, len(catalog.items), 0, skipped=True)
    journal = workspace / "profiles" / f".{llm}.journal.jsonl"
    found = _profiles(llm, prompt, catalog, split, journal, limit, progress)
    graph, report = taxonomy.build(found.items, split.items)
    if not len(graph.tag_items):
        raise DataError(f"no tag could be found: {_why(found)}")
    people = found.users if llm != keywords.NAME else None
    profiles.save(folders[0], found.items, people, config=config, inputs=inputs)
    graph.save(folders[1], config=config, inputs=inputs)
    return Extracted(llm, len(found.items), len(found.users), report, found.left_out)


def _profiles(
    llm: str,
    prompt: str,
    catalog: Catalog,
    split: Split,
    journal: Path,
    limit: int | None,
    progress: Progress | None,
) -> Asked:
    if llm == keywords.NAME:
        return Asked(items=keywords.keyword_profiles(catalog)[:limit])
    asked = Asked()
    interviewer = Interviewer(CHATS[llm](), Prompts.load(prompt), Journal(journal))
    interviewer.items(catalog, asked, limit=limit, progress=progress)
    interviewer.users(split, asked, limit=limit, progress=progress)
    interviewer.journal.forget(asked.unusable)
    return asked


def _why(asked: Asked) -> str:
    for who, reason in asked.left_out.items():
        return f"{len(asked.left_out):,} were left out, such as {who}: {reason}"
    return "the items have neither categories nor titles with shared words"
