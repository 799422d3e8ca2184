"""``recommend``, ``similar``, ``explain``, ``fold-in``, ``add-items`` and ``index``: a trained model at work."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperllm.cli import show
from hyperllm.cli.cluster import RayAddress, address
from hyperllm.errors import ConfigError

if TYPE_CHECKING:
    from hyperllm.serving.arrange import Order
    from hyperllm.serving.frames import Recommendations, SimilarItems
    from hyperllm.serving.recommender import Recommender
    from hyperllm.serving.selection import Filter

Categories = Annotated[str | None, typer.Option(help="Only items in one of these categories, comma-separated.")]
Tags = Annotated[str | None, typer.Option(help="Only items with one of these tags, comma-separated.")]
Only = Annotated[str | None, typer.Option(help="Only these items, comma-separated ids.")]
Exclude = Annotated[str | None, typer.Option(help="None of these items, comma-separated ids.")]
Seen = Annotated[bool, typer.Option(help="Show items that the user has had, too.")]
Diversity = Annotated[float, typer.Option(help="From 0 to 1: show items that are less alike.")]
Breadth = Annotated[float, typer.Option(help="From -1, rather specific items, to 1, rather broad ones.")]
By = Annotated[str, typer.Option(help="What is broad: a small radius, or tags of a low level.")]
Places = Annotated[int, typer.Option(help="Items a user.")]
Why = Annotated[bool, typer.Option(help="Say why.")]
Approximate = Annotated[bool, typer.Option(help="Rank through the index that `hyperllm index` built.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("recommend")(recommend)
    app.command("similar")(similar)
    app.command("explain")(explain)
    app.command("fold-in")(fold_in)
    app.command("add-items")(add_items)
    app.command("remove-items")(remove_items)
    app.command("index")(index)


def ids(text: str | None) -> list[str]:
    """Comma-separated ids; one that holds a comma is put in double quotes."""
    return [part.strip() for row in csv.reader([text or ""], skipinitialspace=True) for part in row if part.strip()]


def opened(workspace: Path, run: str, *, approximate: bool = False) -> Recommender:
    """The recommender of a run, with what was added to it."""
    from hyperllm.experiments.workspace import Workspace
    from hyperllm.serving.recommender import Recommender

    return Recommender.load(Workspace.opened(workspace).run(run), approximate=approximate)


def _filter(categories: str | None, tags: str | None, only: str | None, exclude: str | None) -> Filter:
    from hyperllm.serving.selection import Filter

    allow = None if only is None else tuple(ids(only))
    return Filter(tuple(ids(categories)), tuple(ids(tags)), allow, tuple(ids(exclude)))


def _order(diversity: float, breadth: float, by: str) -> Order:
    from hyperllm.serving.arrange import Order

    return Order(diversity, breadth, by)  # type: ignore[arg-type]


def _show(found: Recommendations | SimilarItems, *, json: bool) -> None:
    if json:
        show.print_json(found.documents())
    else:
        typer.echo(str(found))


def recommend(
    workspace: Path,
    run: str,
    users: Annotated[str | None, typer.Option(help="User ids, comma-separated.")] = None,
    k: Places = 20,
    explain: Why = False,
    categories: Categories = None,
    tags: Tags = None,
    only: Only = None,
    exclude: Exclude = None,
    seen: Seen = False,
    diversity: Diversity = 0.0,
    breadth: Breadth = 0.0,
    by: By = "radius",
    approximate: Approximate = False,
    all_: Annotated[bool, typer.Option("--all", help="All users, to --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="Parquet file for --all; with --ray also a folder of them.")] = None,
    ray: RayAddress = None,
    json: Json = False,
) -> None:
    """The best items a user has not had yet."""
    if all_ == (users is not None) or all_ != (out is not None):
        raise ConfigError("recommend needs --users U1,U2, or --all together with --out FILE.parquet")
    if ray is not None and not all_:
        raise ConfigError("--ray is for --all: a few users need no cluster")
    asked: dict[str, Any] = {
        "filter_seen": not seen,
        "filter": _filter(categories, tags, only, exclude),
        "order": _order(diversity, breadth, by),
    }
    if out is not None and ray is not None:
        _recommend_on_ray(workspace, run, out, k, asked, ray)
        return
    shop = opened(workspace, run, approximate=approximate)
    if out is not None:
        with show.Bar("recommending") as bar:
            shop.recommend_all(out, k, **asked, progress=bar)
        typer.echo(f"{len(shop.users):,} users -> {out}")
        return
    _show(shop.recommend(ids(users), k, **asked, explain=explain), json=json)


def _recommend_on_ray(workspace: Path, run: str, out: Path, k: int, asked: dict[str, Any], ray: str) -> None:
    from hyperllm.experiments.workspace import Workspace
    from hyperllm.scale.cluster import joined
    from hyperllm.scale.recommending import Wanted, recommend_all

    wanted = Wanted(Workspace.opened(workspace).run(run), k, **asked)
    with joined(address(ray)) as cluster, show.Bar("recommending") as bar:
        rows = recommend_all(wanted, out, cluster, progress=bar)
    typer.echo(f"{rows:,} rows -> {out}")


def similar(
    workspace: Path,
    run: str,
    items: Annotated[str, typer.Option(help="Item ids, comma-separated.")],
    k: Annotated[int, typer.Option(help="Neighbours an item.")] = 20,
    categories: Categories = None,
    tags: Tags = None,
    only: Only = None,
    exclude: Exclude = None,
    approximate: Approximate = False,
    json: Json = False,
) -> None:
    """The nearest items of an item."""
    chosen = _filter(categories, tags, only, exclude)
    _show(opened(workspace, run, approximate=approximate).similar(ids(items), k, filter=chosen), json=json)


def explain(
    workspace: Path,
    run: str,
    user: Annotated[str, typer.Option(help="A user's id.")],
    item: Annotated[str, typer.Option(help="An item's id.")],
    json: Json = False,
) -> None:
    """Why an item suits a user, or how far it does: shared tags, history items that count, the score's parts."""
    found = opened(workspace, run).explain(user, item)
    if json:
        show.print_json(found.document())
        return
    reasons = found.reasons
    assert reasons is not None, "explain always gives reasons"
    typer.echo(f"{found.item_id} {found.title or ''}\n{reasons.parts}")
    if reasons.tag_path:
        typer.echo(f"{' > '.join(reasons.tag_path)}: the last tag is on {reasons.tagged} of the history")
    rows = [(near.item_id, near.title or "", near.score, near.effect) for near in reasons.nearest]
    if rows:
        show.print_table(("history item", "title", "similarity", "effect"), rows)
    elif not reasons.tag_path:
        typer.echo("nothing in the history speaks for it")


def fold_in(
    workspace: Path,
    run: str,
    items: Annotated[str | None, typer.Option(help="Ids of the items somebody chose, comma-separated.")] = None,
    table: Annotated[
        Path | None, typer.Option("--from", help="A table of users and items instead: CSV, TSV, JSONL(.gz) or Parquet.")
    ] = None,
    k: Places = 20,
    explain: Why = False,
    categories: Categories = None,
    tags: Tags = None,
    only: Only = None,
    exclude: Exclude = None,
    seen: Seen = False,
    diversity: Diversity = 0.0,
    breadth: Breadth = 0.0,
    by: By = "radius",
    json: Json = False,
) -> None:
    """The best items for people the model does not know, from the items they chose; nothing is trained or kept."""
    if (items is None) == (table is None):
        raise ConfigError("fold-in needs --items I1,I2, or --from FILE")
    found = opened(workspace, run).fold_in(
        {"guest": ids(items)} if table is None else table,
        k,
        filter_seen=not seen,
        filter=_filter(categories, tags, only, exclude),
        order=_order(diversity, breadth, by),
        explain=explain,
    )
    _show(found, json=json)


def add_items(
    workspace: Path,
    run: str,
    items: Annotated[Path, typer.Argument(help="Table of new items: CSV, TSV, JSONL(.gz) or Parquet.")],
    id_column: str | None = None,
    title_column: str | None = None,
    text_columns: Annotated[str | None, typer.Option(help="Comma-separated text columns.")] = None,
    category_column: str | None = None,
    method: Annotated[
        str, typer.Option(help="neighbours, or experts: where phase 1 would put the text.")
    ] = "neighbours",
    llm: Annotated[str | None, typer.Option(help="Let a language model write the profiles; see extract.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of its server.")] = None,
    workers: Annotated[int, typer.Option(help="Calls at once.")] = 8,
    budget: Annotated[float | None, typer.Option(help="US dollars that may be spent.")] = None,
    price: Annotated[str | None, typer.Option(help="Dollars for a million tokens in and out: 0.15,0.60.")] = None,
    json: Json = False,
) -> None:
    """Place new items in a trained model by their texts and tags; nothing is trained."""
    from hyperllm.experiments.newcomers import add_items as work
    from hyperllm.extraction.config import extract_config

    asked = {"llm": llm, "base_url": base_url, "workers": workers, "budget": budget, "price": price}
    columns = {"id_column": id_column, "title_column": title_column, "category_column": category_column}
    with show.Bar("asking about items") as bar:
        done = work(
            workspace,
            run,
            items,
            columns={**columns, "text_columns": ids(text_columns)},
            config=extract_config(asked) if llm else None,
            method=method,  # type: ignore[arg-type]
            progress=bar,
        )
    if json:
        show.print_json(done.document())
        return
    for note in done.notes:
        show.say(note)
    typer.echo(done.text())


def remove_items(
    workspace: Path,
    run: str,
    items: Annotated[str, typer.Option(help="Ids of added items, comma-separated.")],
) -> None:
    """Take added items out again; trained ones stay."""
    from hyperllm.experiments.newcomers import remove_items as work

    gone = work(workspace, run, ids(items))
    typer.echo(f"{len(gone):,} items taken out" + (f": {', '.join(gone[:20])}" if gone else ""))


def index(
    workspace: Path,
    run: str,
    connectivity: Annotated[int, typer.Option(help="Items that each item is linked with.")] = 32,
    expansion: Annotated[int, typer.Option(help="Items a walk keeps in sight: more finds more, slower.")] = 256,
    threads: Annotated[int, typer.Option(help="Threads to build with, 0 for all cores.")] = 0,
) -> None:
    """Build an approximate index of a run's items, for catalogues where exact ranking takes too long."""
    from hyperllm.experiments.workspace import Workspace
    from hyperllm.serving.index import ApproximateIndex, place_of
    from hyperllm.serving.model import ScoreModel

    folder = Workspace.opened(workspace).run(run)
    model = ScoreModel.load(folder / "model")
    with show.Bar("linking items") as bar:
        made = ApproximateIndex.build(
            model, connectivity=connectivity, expansion=expansion, threads=threads, progress=bar
        )
    made.save(place_of(folder))
    typer.echo(f"{len(model.items):,} items -> {place_of(folder)}; use it with --approximate")
