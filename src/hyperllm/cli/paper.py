"""``paper``: the tables and figures of the paper on the data at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hyperllm.cli import show
from hyperllm.errors import ConfigError, choose


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command("paper")(paper)


def paper(
    target: Annotated[
        str, typer.Argument(help="table1 … table4, beyond (accuracy), best, parts, groups, figure2 … figure5, or all.")
    ],
    workspace: Annotated[Path | None, typer.Argument(help="A prepared workspace; or give --published.")] = None,
    published: Annotated[Path | None, typer.Option(help="Folder of train/valid/test .tsv to start from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files; WORKSPACE/paper by default.")] = None,
    backbones: Annotated[str | None, typer.Option(help="Comma-separated; the paper's five by default.")] = None,
    frameworks: Annotated[str | None, typer.Option(help="Rows of table4; the paper's five by default.")] = None,
    plain: Annotated[str | None, typer.Option(help="Plain rows of the tables, or none; seven by default.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds a cell; more count where they are finished.", min=1)] = 1,
    preset: Annotated[str, typer.Option(help="Settings of the cells: default, plain or paper.")] = "default",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for every cell; repeatable.")] = None,
    tags: Annotated[str | None, typer.Option(help="Tag set; the imported one, else the newest, by default.")] = None,
    semantics: Annotated[str | None, typer.Option(help="Set of text vectors; likewise.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Text encoder, where there are no vectors yet.")] = None,
    train: Annotated[bool, typer.Option(help="Train the cells that are not finished, or show what is there.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train and measure what a table or figure of the paper needs, and draw it; finished cells are found done."""
    from hyperllm.backbones import BACKBONES
    from hyperllm.cli.models import command_line
    from hyperllm.config import parse_assignments
    from hyperllm.experiments.paper.cells import Options, Study
    from hyperllm.experiments.paper.command import TARGETS, complete, opened
    from hyperllm.experiments.paper.command import paper as work
    from hyperllm.experiments.paper.facts import BACKBONES as FIVE
    from hyperllm.experiments.paper.facts import FRAMEWORKS as ROWS
    from hyperllm.experiments.paper.measuring import PLAINS, Asked
    from hyperllm.experiments.workspace import Workspace
    from hyperllm.frameworks import FRAMEWORKS

    if target != "all":
        choose(target, TARGETS, what="table or figure")
    asked = Asked(
        _listed(backbones, FIVE, BACKBONES, "backbone"),
        _listed(frameworks, ROWS, FRAMEWORKS, "framework"),
        _listed(plain, PLAINS, dict.fromkeys(PLAINS), "baseline"),
    )
    with show.Bar("paper") as bar:
        options = Options(seeds, preset, parse_assignments(set_ or []), tags, semantics, device, train)
        place, files = opened(workspace, published, out, say=show.say)
        if target != "table1" and train:
            complete(Workspace.opened(place), say=show.say, count=bar, encoder=encoder)
        study = Study(
            place, options, show.say, show.TrainingBar(bar), command_line(), (published or place).resolve().name
        )
        for path in work(target, study, asked, files):
            typer.echo(path)


def _listed(text: str | None, default: tuple[str, ...], known: Mapping[str, object], what: str) -> tuple[str, ...]:
    """The names of a comma-separated option."""
    if text is None:
        return default
    if text == "none" and what == "baseline":
        return ()
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        choose(name, known, what=what)
    if len(set(names)) < len(names):
        raise ConfigError(f"{text!r} names a {what} twice")
    return names
