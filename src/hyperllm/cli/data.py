"""``prepare`` and ``data list|fetch``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from hyperllm.cli import show
from hyperllm.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("prepare")(prepare)
    group = typer.Typer(help="Well-known public data sets.", no_args_is_help=True)
    group.command("list")(list_sets)
    group.command("fetch")(fetch_set)
    app.add_typer(group, name="data")


def prepare(
    workspace: Annotated[Path, typer.Argument(help="Folder to fill; made if absent.")],
    interactions: Annotated[Path | None, typer.Option(help="CSV, TSV, JSONL(.gz) or Parquet of events.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of item texts.")] = None,
    amazon: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Amazon reviews and metadata, 2014, 2018 or 2023 layout.")
    ] = None,
    published: Annotated[Path | None, typer.Option(help="Folder of train/valid/test .tsv; its split is kept.")] = None,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    time_column: str | None = None,
    id_column: Annotated[str | None, typer.Option(help="Id column of the item table.")] = None,
    title_column: str | None = None,
    text_columns: Annotated[str | None, typer.Option(help="Comma-separated text columns of the item table.")] = None,
    category_column: str | None = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep events rated at least so; 4 where rated.")] = None,
    core: Annotated[int, typer.Option(help="Keep users and items with at least so many events.")] = 5,
    split: Annotated[str, typer.Option(help="per-user, leave-one-out or time.")] = "per-user",
    duplicates: Annotated[str, typer.Option(help="Event of a repeated pair that stays: first, last, max.")] = "first",
    cold_items: Annotated[float, typer.Option(help="Share of items kept out of training, to be tested alone.")] = 0.0,
    new_users: Annotated[float, typer.Option(help="Share of users kept out of training, to be met afterwards.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the per-user split, the cold items or the new users.")] = 0,
    memory_limit: Annotated[
        str | None, typer.Option(help="Most memory to take, such as 2GB: data wait on disk; the result is the same.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Read raw files, filter them, split them."""
    from hyperllm.data.prepare import PrepareConfig
    from hyperllm.data.prepare import prepare as run
    from hyperllm.data.sources.requests import AmazonRequest, PublishedRequest, TableRequest
    from hyperllm.data.streaming.prepare import prepare_within

    options = {"--interactions": interactions, "--amazon": amazon, "--published": published}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise ConfigError(f"prepare needs exactly one of {', '.join(options)}; found {' and '.join(given) or 'none'}")
    filters = {"--min-rating": min_rating, "--core": core != 5, "--split": split != "per-user"}
    filters |= {"--duplicates": duplicates != "first", "--seed": 0 if cold_items or new_users else seed}
    events = {"--user-column": user_column, "--item-column": item_column, "--rating-column": rating_column}
    texts = {"--time-column": time_column, "--id-column": id_column, "--title-column": title_column}
    texts |= {"--text-columns": text_columns, "--category-column": category_column, "--items": items}
    useless = {"--published": filters | events | texts, "--amazon": events | texts}
    for option, value in useless.get(given[0], {}).items():
        if value:
            raise ConfigError(f"{option} has no use beside {given[0]}; drop one of them")
    config = PrepareConfig(
        min_rating=min_rating,
        core=core,
        split=split,  # type: ignore[arg-type]
        duplicates=duplicates,  # type: ignore[arg-type]
        seed=seed,
        cold_items=cold_items,
        new_users=new_users,
    )
    columns: dict[str, Any] = {
        "user_column": user_column,
        "item_column": item_column,
        "rating_column": rating_column,
        "time_column": time_column,
        "id_column": id_column,
        "title_column": title_column,
        "text_columns": [c.strip() for c in text_columns.split(",")] if text_columns else (),
        "category_column": category_column,
    }
    if amazon is not None:
        request = AmazonRequest(*amazon)
    elif published is not None:
        request = PublishedRequest(published)
    else:
        assert interactions is not None
        request = TableRequest(interactions, items, **columns)
    if memory_limit is None:
        report = run(workspace, request.read(), config=config, source=request.kind)
    else:
        report = prepare_within(workspace, request, limit=memory_limit, config=config)
    if json:
        show.print_json(report.facts())
    else:
        typer.echo(report.text())


def list_sets() -> None:
    """Names, sizes and licences of the sets that `fetch` knows."""
    from hyperllm.data.public_sets import PUBLIC

    show.print_table(("name", "what", "licence"), [(name, s.title, s.licence) for name, s in PUBLIC.items()])


def fetch_set(
    name: Annotated[str, typer.Argument(help="A name from `hyperllm data list`.")],
    out: Annotated[Path, typer.Option(help="Where to put the files; a folder NAME is made below it.")] = Path("data"),
    source: Annotated[Path | None, typer.Option("--from", help="Take the files from this folder.")] = None,
) -> None:
    """Download a public set (resumable, verified) and say how to prepare it."""
    from hyperllm.data.public import fetch
    from hyperllm.data.public_sets import PUBLIC

    with show.Bar(f"fetching {name}") as bar:
        fetched = fetch(name, out, from_folder=source, progress=lambda file, done, total: bar(done, total, file))
    typer.echo(f"{name} -> {fetched.folder}\nlicence: {PUBLIC[name].licence}")
    for file, origin in fetched.origins.items():
        typer.echo(f"{file}: checksum from the publisher" if origin == "publisher" else f"{file}: checksum {origin}")
    typer.echo(f"next: {shlex.join(['hyperllm', 'prepare', 'WORKSPACE', *fetched.arguments])}")
