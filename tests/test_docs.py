"""The README and docs/ are true: their code runs, their commands parse, their links and tables hold."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import polars as pl
import pytest
import typer

import hyperllm.backbones
from hyperllm.backbones import BACKBONES, BackboneConfig
from hyperllm.baselines import BASELINES
from hyperllm.cli.app import app
from hyperllm.cli.cluster import spelled_out
from hyperllm.config import build, document
from hyperllm.data.sources.columns import USUAL, plain
from hyperllm.data.sources.planted import ShopConfig, invent_shop
from hyperllm.experiments import quick, record
from hyperllm.experiments.measure import evaluate_run
from hyperllm.experiments.recipe import Recipe
from hyperllm.extraction.config import ExtractConfig
from hyperllm.frameworks import FRAMEWORKS, BaseConfig
from hyperllm.frameworks.config import COMPAT, HyperLLMConfig
from hyperllm.llm.encoders import NAMES
from hyperllm.serving.recommender import Recommender
from hyperllm.training.loop import FitConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", re.DOTALL)
CONFIGS = {
    "HyperLLMConfig": HyperLLMConfig,
    "BackboneConfig": BackboneConfig,
    "FitConfig": FitConfig,
    "ExtractConfig": ExtractConfig,
}
RIVALS = {name: kind for name, kind in FRAMEWORKS.items() if name not in ("base", "hyperllm")}
COMPARED = {
    config.__name__: config
    for leaf in (*(kind.config_class for kind in RIVALS.values()), *(entry.config for entry in BASELINES.values()))
    for config in leaf.__mro__
    if config not in (object, BaseConfig)
}
SMALL = {"epochs": 2, "meta_epochs": 2, "batch_size": 512}


def fenced(*languages: str) -> Iterator[tuple[str, int, str, str | None]]:
    """(page, number of the block, code, why it is not run) of every fenced block in one of ``languages``."""
    for name, text in TEXTS.items():
        for number, found in enumerate(FENCE.finditer(text), start=1):
            if found["language"] in languages:
                yield name, number, found["code"], found["why"]


def runnable() -> list[Any]:
    return [pytest.param(code, id=f"{page}-{number}") for page, number, code, why in fenced("python") if why is None]


def command_lines() -> list[Any]:
    """Every ``hyperllm …`` line of the shell blocks, comments cut off."""
    found: list[Any] = []
    for page, number, code, _ in fenced("sh"):
        lines = code.replace("\\\n", " ").splitlines()
        chosen = [line for line in lines if line.startswith("hyperllm")]
        found += [pytest.param(line, id=f"{page}-{number}-{line[:60]}") for line in chosen]
    return found


def inline_commands() -> set[str]:
    return {code for text in TEXTS.values() for code in re.findall(r"`(hyperllm [^`]+)`", text)}


# ── code ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def shop() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A small generated shop."""
    made = invent_shop(ShopConfig(users=150, items=100))
    return made.clicks, made.items


@pytest.fixture(scope="module")
def workspace(shop: tuple[pl.DataFrame, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `hyperllm.fit` leaves behind, evaluated once."""
    folder = tmp_path_factory.mktemp("docs") / "my-shop"
    small_fit(*shop, workspace=folder)
    evaluate_run(folder, "hyperllm")
    return folder


def small_fit(clicks: Any, items: Any, **options: Any) -> Recommender:
    """`hyperllm.fit`, made quick: no download, few epochs."""
    return quick.fit(clicks, items, **{"encoder": "hash", "settings": SMALL, "core": 2, **options})


def test_the_guide_to_a_new_backbone_leads_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class and its test, written as it says, pass the whole contract but the slow rows."""
    guide = FENCE.finditer(TEXTS["docs/adding_a_backbone.md"])
    code = [found["code"] for found in guide if found["language"] == "python"]
    (written,) = (text for text in code if "class PageRank(" in text)
    (tested,) = (text for text in code if "class TestPageRank(" in text)
    (tmp_path / "pagerank.py").write_text(written)
    (tmp_path / "pagerank_suite.py").write_text(tested)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hyperllm.backbones, "__path__", [*hyperllm.backbones.__path__, str(tmp_path)])
    suite = import_module("pagerank_suite").TestPageRank()
    ran = 0
    for name in dir(suite):
        method = getattr(suite, name)
        if name.startswith("test_") and len(signature(method).parameters) == 0:
            method()
            ran += 1
    assert ran >= 9
    for framework in ("base", "full"):
        suite.test_it_finds_the_planted_tree(framework)


@pytest.mark.parametrize("code", runnable())
def test_python_block_runs(
    code: str, shop: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, frame in zip(("clicks.csv", "items.csv"), shop, strict=True):
        frame.write_csv(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hyperllm, "fit", small_fit, raising=False)
    exec(compile(code, "page", "exec"), {"__name__": "page"})


def test_a_block_that_is_not_run_says_why() -> None:
    for page, number, code, why in fenced("python"):
        assert why is None or len(why) > 10, f"block {number} of {page} is not run and does not say why"
        compile(code, f"{page}, block {number}", "exec")


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def leaf(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that ``words`` reach, and the words after it."""
    found: Any = typer.main.get_command(app)
    while words and hasattr(found, "commands"):
        assert words[0] in found.commands, f"there is no command {words[0]!r}; there are {sorted(found.commands)}"
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("line", command_lines())
def test_command_line_parses(line: str) -> None:
    command, words = leaf(spelled_out(shlex.split(line, comments=True)[1:]))
    command.make_context(str(command.name), words)


@pytest.mark.parametrize(
    "text", [pytest.param(code, id=f"{page}-{number}") for page, number, code, why in fenced("toml") if why is None]
)
def test_recipe_is_accepted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(text, encoding="utf-8")
    recipe = Recipe.read(file)
    requests = recipe.requests()
    assert requests
    for request in requests:
        if request.baseline is None:
            build((HyperLLMConfig, BackboneConfig, FitConfig), request.settings)


def test_commands_named_in_passing_exist() -> None:
    for code in sorted(inline_commands()):
        words = shlex.split(code)[1:]
        if words[0].isupper():
            continue
        command, rest = leaf(words)
        known = {option for parameter in command.params for option in parameter.opts}
        for word in rest:
            assert not word.startswith("--") or word.split("=")[0] in known, f"`{code}`: {command.name} has no {word}"


def test_every_command_is_in_the_readme() -> None:
    main: Any = typer.main.get_command(app)
    for name in main.commands:
        assert f"`hyperllm {name}`" in TEXTS["README.md"], f"README's table of commands lacks {name!r}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for text in TEXTS.values() for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)}
    assert named <= targets, f"the pages name {sorted(named - targets)}; the Makefile has {sorted(targets)}"


# ── links and figures ─────────────────────────────────────────────────────────────────────────────────────────────────


def anchors(text: str) -> set[str]:
    """What headings can be linked by: lower case, marks gone, blanks to hyphens."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS)
def test_local_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)]+)\)", TEXTS[page]) + re.findall(r'(?:src|srcset)="([^"]+)"', TEXTS[page])
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (folder / path) if path else ROOT / page
        assert there.is_file(), f"{page} links to {target!r}, which does not exist"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{page}: no heading for {target!r}"


def test_the_two_drawings_differ_in_colour_only() -> None:
    light, dark = ((ROOT / "docs/figures" / name).read_text(encoding="utf-8") for name in DRAWINGS)
    bare = [re.sub(r"#[0-9a-f]{6}", "", text) for text in (light, dark)]
    assert bare[0] == bare[1]
    assert light != dark


DRAWINGS = ("system.svg", "system-dark.svg")


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_whole_and_self_contained(name: str) -> None:
    raw = (ROOT / "docs/figures" / name).read_text(encoding="utf-8")
    tree = ElementTree.fromstring(raw)
    assert {"viewBox", "role"} <= set(tree.attrib)
    said = " ".join("".join(node.itertext()) for node in tree.iter())
    for needed in ("Phase 1", "Phase 2", "Eq. 7", "Eq. 8–10", *(f"Eq. {number}" for number in range(11, 17))):
        assert needed in said, f"{name} lacks {needed!r}"
    assert "href" not in raw
    assert "url(" not in raw


def test_no_machine_path_is_written_down() -> None:
    homes = "|".join(("work", "root", "home", "Users", "mnt"))
    path = re.compile(rf"(?<![\w.}}])/(?:{homes})/\w")
    folders = ("src", "tests", "docs", "benchmarks", "experiments", "scripts")
    kinds = {".py", ".md", ".toml", ".txt", ".svg", ".html", ".json", ".cff", ""}
    pages = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix in kinds]
    pages += [p for p in ROOT.iterdir() if p.is_file() and p.suffix in kinds and not p.name.startswith(".")]
    for page in pages:
        found = path.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.relative_to(ROOT)} names the path {found[0] if found else ''!r} of one machine"


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_after(text: str, marker: str) -> list[list[str]]:
    """Cells of the table that follows ``marker``, without its two head lines."""
    assert marker in text, f"{marker!r} is gone"
    lines = text.split(marker, 1)[1].lstrip("\n").splitlines()
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table][2:]


def shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_are_told_with_the_settings_of_their_own(name: str) -> None:
    page, config = TEXTS["docs/backbones.md"], BACKBONES[name].config_class
    assert any(row[0] == f"`{name}`" for row in rows_after(page, "is one file.\n")), f"docs/backbones.md lacks {name!r}"
    wanted = own(config, document(BackboneConfig()))
    told = {r[0].strip("`"): r[2] for r in rows_after(page, f"<!-- settings: {config.__name__} -->")} if wanted else {}
    assert told == wanted


def own(config: type[Any], shared: Mapping[str, Any]) -> dict[str, str]:
    """Settings that ``shared`` has not, or has with another default."""
    return {k: shown(v) for k, v in document(config()).items() if k not in shared or shared[k] != v}


@pytest.mark.parametrize("name", COMPARED)
def test_what_is_compared_with_is_told_with_the_settings_of_its_own(name: str) -> None:
    """Of a class that builds on another, what it adds or sets otherwise."""
    config, above = COMPARED[name], COMPARED[name].__bases__[0]
    wanted = own(config, {} if above is object else document(above()))
    marker = f"<!-- settings: {name} -->"
    told = {row[0].strip("`"): row[1] for row in rows_after(TEXTS["docs/rivals.md"], marker)} if wanted else {}
    assert told == wanted


def test_every_rival_and_baseline_has_a_row() -> None:
    page = TEXTS["docs/rivals.md"]
    for names, marker in ((RIVALS, "## Rival frameworks\n"), (BASELINES, "what-plain-recommenders-reach)).\n")):
        assert [row[0].strip("`") for row in rows_after(page, marker)] == list(names)


def test_candidates_of_baselines_are_those_of_their_grids() -> None:
    told = {name.strip("`"): cell for name, cell in rows_after(TEXTS["docs/rivals.md"], "<!-- candidates -->")}
    wanted: dict[str, str] = {}
    for name, entry in BASELINES.items():
        tried = {key: dict.fromkeys(str(settings[key]) for settings in entry.grid) for key in entry.grid[0]}
        if tried:
            wanted[name] = "; ".join(f"`{key}` {', '.join(values)}" for key, values in tried.items())
    assert told == wanted


def test_results_of_the_backbones_are_those_of_the_records() -> None:
    assert record.markdown(ROOT / "experiments/results/beauty") in TEXTS["docs/backbones.md"]


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_table_is_the_config(name: str) -> None:
    cells = rows_after(TEXTS["docs/conventions.md"], f"<!-- settings: {name} -->")
    told = {row[0].strip("`"): row[2] for row in cells}
    defaults = document(CONFIGS[name]())
    assert told == {f.name: shown(defaults[f.name]) for f in fields(CONFIGS[name])}


def test_protocol_names_what_compat_sets() -> None:
    for key in COMPAT["hyperllm"]:
        assert f"`{key}" in TEXTS["docs/protocol.md"], f"docs/protocol.md does not say that compat sets {key!r}"


def test_encoders_table_is_the_registry() -> None:
    told = {row[0].strip("`") for row in rows_after(TEXTS["docs/data.md"], "named after the encoder.\n")}
    assert told == set(NAMES)


def test_usual_column_names_are_those_of_the_code() -> None:
    roles = {"id of the item table": "item"}
    for part, _, names, *_ in rows_after(TEXTS["docs/data.md"], "lists those there are.\n"):
        usual = USUAL[roles.get(part, part)]
        for name in re.findall(r"`(\w+)`", names):
            assert name in (*usual, "order", "id"), f"docs/data.md: {name!r} is no usual name of {part}"
            assert name == plain(name)


def test_floors_table_is_what_the_linter_enforces() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    floors = {
        room.strip().removeprefix("hyperllm."): number
        for number, layer in enumerate(reversed(contract["layers"]))
        for room in layer.split("|")
    }
    told: dict[str, int] = {}
    for floor, rooms, *_ in rows_after(TEXTS["docs/architecture.md"], "enforces it.\n"):
        for room in re.findall(r"`([\w/.]+)`", rooms.split("|")[0]):
            told[room.rstrip("/").removesuffix(".py")] = int(floor)
    assert told == floors


def test_every_file_of_a_workspace_is_told(workspace: Path) -> None:
    """Every table and weight file that a whole job leaves is in docs/data.md."""
    page = TEXTS["docs/data.md"]
    for path in workspace.rglob("*"):
        if path.is_dir() or path.name == "manifest.json" or "model" in path.parts:
            continue
        parts = list(path.relative_to(workspace).parts)
        if len(parts) > 2:
            parts[1] = "NAME"
        name = path.name.removesuffix(".parquet") if parts[0] == "split" else path.name
        assert f"`{parts[0]}" in page, f"docs/data.md does not tell of {'/'.join(parts)}"
        assert name in page, f"docs/data.md does not tell of {'/'.join(parts)}"
