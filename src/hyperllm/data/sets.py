"""Named sets of a workspace: ``tags/NAME``, ``semantics/NAME``, ``profiles/NAME``, ``runs/NAME``.

Knows which set is meant when none is named, and which sets were made from a split that is no longer there. Does not
know what a set holds.
"""

from __future__ import annotations

from pathlib import Path

from hyperllm import artifacts
from hyperllm.errors import ConfigError, did_you_mean

IMPORTED = "published"
"""The name of what was imported instead of made."""
NONE = "none"
MAKER = {"tags": "extract", "semantics": "embed", "profiles": "extract", "runs": "train"}


def names(workspace: Path, kind: str) -> list[str]:
    """Names of the finished sets of a kind, the newest last."""
    found = (workspace / kind).glob(f"[!.]*/{artifacts.MANIFEST}")
    return [path.parent.name for path in sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.parent.name))]


def is_stale(workspace: Path, kind: str, name: str) -> bool:
    """Whether a set was made from, or imported with, another split than the one that is there now."""
    made, split = artifacts.peek(workspace / kind / name), artifacts.peek(workspace / "split")
    if made is None or split is None:
        return False
    if "split" in made.inputs:
        return made.inputs["split"] != split.fingerprint
    return made.facts.get("item_ids") not in (None, split.facts.get("item_ids"))


def chosen(workspace: Path, kind: str, name: str | None) -> str | None:
    """The named set; without a name the import, else the newest; None where there is none or ``none`` was said.

    A set of another split is passed over, and refused by name, with the command that makes it again.
    """
    if name == NONE:
        return None
    known = names(workspace, kind)
    if name is not None and name not in known:
        there = ", ".join(known) or "none"
        raise ConfigError(f"no set {name!r} in {kind}/; there are {there}.{did_you_mean(name, known)}")
    wanted = [name] if name is not None else known
    fresh = [each for each in wanted if not is_stale(workspace, kind, each)]
    if wanted and not fresh:
        raise ConfigError(
            f"what stands in {kind}/ ({', '.join(wanted)}) was made from another split than the workspace has now; "
            f"run `hyperllm {MAKER[kind]}` again"
        )
    if name is None and IMPORTED in fresh:
        return IMPORTED
    return fresh[-1] if fresh else None
