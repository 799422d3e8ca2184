"""The README against the disk: its tree is complete, and its first screen has what it promises."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def described() -> dict[str, str]:
    """Path -> remark, from the block after ``<!-- tree -->``; two blanks a level, folders end in a slash."""
    block = re.search(r"<!-- tree -->\n```text\n(.*?)```", README, flags=re.DOTALL)
    assert block, "README.md has lost its tree; it stands in a text block after <!-- tree -->"
    found: dict[str, str] = {}
    above: list[str] = []
    for line in block[1].splitlines():
        name, _, remark = line.strip().partition("  ")
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], name]
        path = "".join(above)
        assert path not in found, f"{path!r} stands twice in the README's tree"
        found[path] = remark.strip()
    return found


def ignored(path: Path) -> bool:
    """Hidden, or named in .gitignore."""
    if path.name.startswith("."):
        return True
    patterns = [line.strip() for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    for pattern in filter(None, patterns):
        anchored, name = pattern.startswith("/"), pattern.strip("/")
        if fnmatch.fnmatch(path.name, name) and (path.parent == ROOT or not anchored):
            return True
    return False


def on_disk(folder: Path = ROOT) -> Iterator[str]:
    """Every file and folder, but only folders of ``experiments/`` and the first level of ``tests/``.

    A room's ``__init__.py`` goes without saying.
    """
    for path in sorted(folder.iterdir()):
        if ignored(path) or (path.name == "__init__.py" and folder.name != "hyperllm"):
            continue
        if path.is_dir() and not any(not ignored(inner) for inner in path.iterdir()):
            continue
        relative = path.relative_to(ROOT).as_posix()
        if path.is_file() and relative.startswith("experiments/"):
            continue
        yield relative + ("/" if path.is_dir() else "")
        if path.is_dir() and folder != ROOT / "tests":
            yield from on_disk(path)


def test_tree_is_the_disk() -> None:
    told, there = set(described()), set(on_disk())
    assert not there - told, f"README's tree lacks {sorted(there - told)}; add each with a short remark"
    assert not told - there, f"README's tree names {sorted(told - there)}, which do not exist; remove them"


def test_every_entry_of_the_tree_has_a_remark() -> None:
    bare = [path for path, remark in described().items() if not remark and not path.startswith(("src/", "tests/"))]
    bare += [path for path, remark in described().items() if not remark and path.endswith(".py") and "src/" in path]
    assert not bare, f"README's tree says nothing about {bare}"


def test_first_screen() -> None:
    first = README.split("## Install")[0]
    for needed in ("make demo", "make test", "hyperllm.fit(", "docs/figures/system.svg", "planted taxonomy"):
        assert needed in first, f"README's first screen lacks {needed!r}"


def test_names_the_paper() -> None:
    assert "Large Language Models Enhanced Hyperbolic Space Recommender Systems" in README
    for author in ("Cheng", "Qin", "Wu", "Zhou", "Huang"):
        assert author in README.split("## Citation")[1]
