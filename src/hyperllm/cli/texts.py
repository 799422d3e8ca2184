"""``extract`` and ``embed``: texts to tags, and texts to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperllm.cli import show


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("extract")(extract)
    app.command("embed")(embed)


def extract(
    workspace: Path,
    llm: Annotated[str, typer.Option(help="keywords (no language model) or scripted.")] = "keywords",
    limit: Annotated[int | None, typer.Option(help="Only the first so many items.")] = None,
) -> None:
    """Write summaries, three levels of tags and their edges for every item."""
    from hyperllm.extraction.items import extract as run

    with show.Bar(f"extracting with {llm}") as bar:
        done = run(workspace, llm=llm, limit=limit, progress=bar)
    typer.echo(done.text())


def embed(
    workspace: Path,
    encoder: Annotated[
        str, typer.Option(help="minilm, mpnet, wordllama, hash, or file:PATH to import vectors.")
    ] = "minilm",
    profiles: Annotated[
        str | None, typer.Option(help="Profile set whose summaries are encoded; none for item texts.")
    ] = None,
    tags: Annotated[str | None, typer.Option(help="Tag set whose names join the texts, or none.")] = None,
    users: Annotated[str, typer.Option(help="mean of the training items' vectors, or summary.")] = "mean",
) -> None:
    """Turn texts of items and users into vectors."""
    from hyperllm.extraction.encode import embed as run

    with show.Bar(f"encoding with {encoder}") as bar:
        done = run(workspace, encoder=encoder, profiles=profiles, tags=tags, users=users, progress=bar)
    typer.echo(done.text())
