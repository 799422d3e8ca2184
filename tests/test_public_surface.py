"""The public names: sorted, few, importable, loaded on first use; and the citation file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import hyperllm

ROOT = Path(__file__).parent.parent


def order(name: str) -> tuple[int, str]:
    """Constants and abbreviations, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_all_is_sorted_and_small() -> None:
    assert hyperllm.__all__ == sorted(set(hyperllm.__all__), key=order)
    assert len(hyperllm.__all__) <= 20
    assert not [name for name in hyperllm.__all__ if name.startswith("_")]


def test_all_is_the_lazy_table() -> None:
    assert set(hyperllm._HOME) == set(hyperllm.__all__)
    assert dir(hyperllm) == sorted([*hyperllm.__all__, "__version__"])


@pytest.mark.parametrize("name", hyperllm.__all__)
def test_name_is_importable_and_documented(name: str) -> None:
    found = getattr(hyperllm, name)
    assert found is getattr(import_module(f"hyperllm.{hyperllm._HOME[name]}"), name)
    assert (found.__doc__ or "").strip(), f"{name} has no docstring"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(hyperllm.__file__).read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If) and isinstance(n.test, ast.Name))
    seen = {a.name: str(n.module) for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == {name: f"hyperllm.{home}" for name, home in hyperllm._HOME.items()}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        hyperllm.fitt  # noqa: B018


def test_serving_does_not_import_torch() -> None:
    code = "import sys, hyperllm; hyperllm.Recommender; hyperllm.evaluate; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was imported"


def test_citation_file() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert cited["authors"] == [{"name": "The HyperLLM authors"}]
    assert cited["version"] == project["version"] == hyperllm.__version__
    assert cited["license"] == project["license"]
    paper = cited["references"][0]
    assert paper["title"] == "Large Language Models Enhanced Hyperbolic Space Recommender Systems"
    assert [a["family-names"] for a in paper["authors"]] == ["Cheng", "Qin", "Wu", "Zhou", "Huang"]


def test_changelog_opens_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", text, re.MULTILINE)
    assert first, "CHANGELOG.md has no release"
    assert first[1] == hyperllm.__version__
