"""docs/paper_index.md: the whole paper, in its order, in places that exist and that say the same numbers themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hyperllm.backbones import BACKBONES
from hyperllm.frameworks import FRAMEWORKS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/paper_index.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAPER = [
    *("§1", "§2", "§2.1", "§2.2"),
    *("§3", "Eq. 1", "Eq. 2", "Eq. 3", "Eq. 4", "Eq. 5", "Eq. 6"),
    *("§4", "Figure 1", "§4.1", "Item Prompt", "User Prompt", "Eq. 7"),
    *("§4.2", "Eq. 8", "Eq. 9", "Eq. 10", "Eq. 11"),
    *("§4.3", "Eq. 12", "Eq. 13", "Eq. 14", "Eq. 15", "Eq. 16"),
    *("§5", "§5.1", "§5.1.1", "Table 1", "Table 2", "§5.1.2", "§5.1.3", "§5.2", "Table 3", "§5.3", "Figure 2"),
    *("§5.4", "Figure 3", "§5.5", "Table 4", "§5.6", "Figure 4", "§5.7", "Figure 5", "§6"),
]
ROWS = [(cells[1].strip(), line) for line in PAGE.splitlines() if len(cells := line.split("|")) > 2]
HEAD = re.compile(r"§[\d.]+|(Eq\.|Table|Figure) \d+|(Item|User) Prompt")


def places() -> list[tuple[str, str]]:
    """(path, name or nothing) of every place; a name without a path is in the file before it on the line."""
    found: dict[tuple[str, str], None] = {}
    for line in PAGE.splitlines():
        path = ""
        for span in re.findall(r"`([^`]+)`", line):
            if place := re.fullmatch(r"((?:src|tests|docs|experiments)/[\w/.-]*)?(?::([\w.]+))?", span):
                path = place[1] or path
                found[path, place[2] or ""] = None
    return list(found)


def bound(body: list[ast.stmt]) -> Iterator[str]:
    """Functions, classes and values of a module; what is in a class as ``Class.name``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{inner}" for inner in bound(node.body))
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def names(path: Path) -> set[str]:
    return set(bound(ast.parse(path.read_text(encoding="utf-8")).body))


def equations(text: str, *, before: str = "") -> set[int]:
    """Numbers of "Eq. 4", "Eqs. 8–10" and "Eqs. 15, 16" that stand right after ``before``."""
    found: set[int] = set()
    for told in re.findall(rf"{before}\bEqs?\. (\d+(?:(?:–|, | and )\d+)*)", text):
        for part in re.split(", | and ", told):
            first, _, last = part.partition("–")
            found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize(("path", "name"), places())
def test_a_place_exists(path: str, name: str) -> None:
    there = ROOT / path
    assert path, f"`:{name}` has no file before it on its line"
    assert there.is_dir() if path.endswith("/") else there.is_file(), f"{path} does not exist"
    assert not name or name in names(there), f"{path} has no {name}"


def test_every_part_of_the_paper_has_one_row_in_its_order() -> None:
    assert [head for head, _ in ROWS if HEAD.fullmatch(head)] == PAPER


def test_every_equation_has_a_place() -> None:
    assert not [head for head, line in ROWS if head.startswith("Eq.") and "`src/" not in line]


def test_every_equation_that_the_code_speaks_of_is_in_the_page() -> None:
    for path in SOURCES:
        told = equations(path.read_text(encoding="utf-8"))
        unknown = sorted(n for n in told if f"Eq. {n}" not in dict(ROWS))
        assert not unknown, f"{path.relative_to(ROOT)} speaks of Eqs. {unknown}; the page has no such row"


def test_a_line_that_carries_an_equation_is_in_its_row() -> None:
    marked = 0
    for path in SOURCES:
        file = path.relative_to(ROOT).as_posix()
        for n in sorted(equations(path.read_text(encoding="utf-8"), before="# ")):
            assert f"`{file}:" in dict(ROWS)[f"Eq. {n}"], f"{file} is marked `# Eq. {n}`; the page's row lacks it"
            marked += 1
    assert marked >= 7


def test_every_backbone_and_rival_has_one_row() -> None:
    told = [head.strip("`") for head, _ in ROWS if re.fullmatch(r"`[\w-]+`", head)]
    assert sorted(told) == sorted([*BACKBONES, *(FRAMEWORKS.keys() - {"base", "hyperllm"})])


def test_what_is_left_to_the_protocol_is_a_row_of_its_table() -> None:
    protocol = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    table = protocol.split("## The published code and our defaults\n")[1].split("\n## ")[0]
    there = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    told = re.findall(r"\[([^\]]+)\]\[published\]", PAGE)
    assert len(told) >= 10
    assert not set(told) - set(there)
    assert "[published]: protocol.md#the-published-code-and-our-defaults\n" in PAGE
