"""``recommend`` and ``similar``: a trained model at work, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperllm.cli import show
from hyperllm.errors import ConfigError
from hyperllm.serving.recommender import Recommender


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("recommend")(recommend)
    app.command("similar")(similar)


def ids(text: str) -> list[str]:
    """Comma-separated ids."""
    return [part.strip() for part in text.split(",") if part.strip()]


def opened(workspace: Path, run: str) -> Recommender:
    """The recommender of a run."""
    from hyperllm.experiments.workspace import Workspace

    return Recommender.load(Workspace.opened(workspace).run(run) / "model")


def recommend(
    workspace: Path,
    run: str,
    users: Annotated[str | None, typer.Option(help="User ids, comma-separated.")] = None,
    k: Annotated[int, typer.Option(help="Items a user.")] = 20,
    explain: Annotated[bool, typer.Option(help="Say why.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All users, to --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="Parquet file for --all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The best items a user has not had yet."""
    if all_ == (users is not None) or all_ != (out is not None):
        raise ConfigError("recommend needs --users U1,U2, or --all together with --out FILE.parquet")
    shop = opened(workspace, run)
    if out is not None:
        with show.Bar("recommending") as bar:
            shop.recommend_all(out, k, progress=bar)
        typer.echo(f"{len(shop.users):,} users -> {out}")
        return
    found = shop.recommend(ids(users or ""), k, explain=explain)
    if json:
        show.print_json(found.documents())
    else:
        typer.echo(str(found))


def similar(
    workspace: Path,
    run: str,
    items: Annotated[str, typer.Option(help="Item ids, comma-separated.")],
    k: Annotated[int, typer.Option(help="Neighbours an item.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The nearest items of an item."""
    found = opened(workspace, run).similar(ids(items), k)
    if json:
        show.print_json(found.documents())
    else:
        typer.echo(str(found))
