"""``run``, ``tune``, ``demo`` and ``doctor``: the whole job, its settings, and whether this machine is ready for it."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyperllm.cli import models, show
from hyperllm.cli.cluster import RayAddress, address, for_workers
from hyperllm.errors import ConfigError

if TYPE_CHECKING:
    from hyperllm.experiments.demo import DemoResult
    from hyperllm.experiments.recipe import Recipe
    from hyperllm.experiments.train import TrainRequest
    from hyperllm.experiments.trial import Pool, Trial

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("run")(run)
    app.command("tune")(tune)
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def run(
    file: Annotated[Path, typer.Argument(help="TOML file with a table a stage.")],
    workspace: Annotated[Path | None, typer.Option(help="Folder to work in; the file may name one.")] = None,
) -> None:
    """Run all stages that a file names; finished ones are found done."""
    from hyperllm.experiments.recipe import Recipe
    from hyperllm.experiments.recipe import run as work

    recipe = Recipe.read(file)
    with show.Bar("running") as bar:
        work(recipe, workspace=workspace, say=typer.echo, progress=show.TrainingBar(bar), count=bar)


def tune(
    workspace: Path,
    file: Annotated[
        Path | None, typer.Argument(help="TOML file whose table tune names candidates or a space for its table train.")
    ] = None,
    backbone: models.BackboneName = None,
    framework: models.FrameworkName = None,
    variant: models.VariantName = None,
    space: Annotated[str, typer.Option(help="paper, wide, or a TOML file of settings and ranges.")] = "paper",
    trials: Annotated[int, typer.Option(help="How many in all; more than last time adds some.", min=1)] = 12,
    sampler: Annotated[str, typer.Option(help="tpe, random or grid")] = "tpe",
    set_: models.Assignments = None,
    run: models.RunName = None,
    tags: models.TagSet = None,
    semantics: models.VectorSet = None,
    phase1: models.Phase1 = None,
    preset: models.PresetName = "default",
    device: models.Device = "auto",
    seed: int = 0,
    ray: RayAddress = None,
    at_once: Annotated[
        int | None, typer.Option(help="With --ray: trials that train at once, at most; 4.", min=1)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Search settings on validation, from a space or among a file's candidates; what looks bad early is pruned."""
    from hyperllm.config import parse_assignments
    from hyperllm.experiments.recipe import Recipe
    from hyperllm.experiments.train import TrainRequest

    request = TrainRequest(
        backbone=backbone,
        framework=framework,
        variant=variant,
        run=run,
        tags=tags,
        semantics=semantics,
        preset=preset,
        settings=parse_assignments(set_ or []),
        phase1=phase1 if ray is None else for_workers(phase1),
        device=device,
        seed=seed,
    )
    if file is not None and (request, space, trials, sampler) != (TrainRequest(), "paper", 12, "tpe"):
        raise ConfigError(f"{str(file)!r} says what is tuned and how; give either the file or options")
    if ray is not None:
        workspace = workspace.resolve()  # workers may stand elsewhere
    if file is None:
        with _pool(workspace, ray, at_once, [request]) as pool:
            _search(workspace, request, space, trials, sampler, json, pool)
    else:
        recipe = Recipe.read(file)
        with _pool(workspace, ray, at_once, recipe.requests()) as pool:
            _try(workspace, recipe, json, pool)


@contextmanager
def _pool(
    workspace: Path, ray: str | None, at_once: int | None, requests: Sequence[TrainRequest]
) -> Generator[Pool | None]:
    """Ray's for the last of these, or None for this process."""
    if ray is None:
        yield None
        return
    from hyperllm.scale.cluster import joined
    from hyperllm.scale.pool import RayPool

    with joined(address(ray)) as cluster:
        yield RayPool.of(workspace, cluster, at_once, gpus=any(r.device != "cpu" for r in requests[-1:]))


def _search(
    workspace: Path, request: TrainRequest, space: str, trials: int, sampler: str, json: bool, pool: Pool | None
) -> None:
    from hyperllm.experiments.search import search

    with show.Bar("tuning") as bar:
        found = search(
            workspace,
            request,
            space,
            trials=trials,
            sampler=sampler,
            progress=show.TrainingBar(bar),
            on_trial=lambda t: show.say(f"{t.score:.4f} {t.ended} {_settings(t.settings)}"),
            pool=pool,
        )
    if json:
        show.print_json(found.document())
        return
    _tell_trials(found.trials, found.searched)
    typer.echo(found.text())
    typer.echo(f"{found.run}: set = {_settings(found.trials[0].settings)}")


def _try(workspace: Path, recipe: Recipe, json: bool, pool: Pool | None) -> None:
    from hyperllm.experiments.recipe import search

    with show.Bar("tuning") as bar:
        trials = search(recipe, workspace=workspace, say=show.say, progress=show.TrainingBar(bar), count=bar, pool=pool)
    if json:
        show.print_json({"settings": trials[0].settings, "trials": [trial.document() for trial in trials]})
        return
    _tell_trials(trials)
    typer.echo(f"for [train] in {recipe.path}: set = {_settings(trials[0].settings)}")


def _tell_trials(trials: Sequence[Trial], names: Sequence[str] | None = None) -> None:
    """A table of them, with all their settings, or these."""
    rows = [
        (
            *(f"{t.score:.4f}", str(t.best_epoch), str(t.epochs), t.ended, f"{t.elapsed_s:.0f}"),
            _settings({name: t.settings[name] for name in names or t.settings}),
        )
        for t in trials
    ]
    heads = ("R@10+R@20+N@10+N@20", "at epoch", "of", "ended by", "s", "settings")
    show.print_table(heads, rows, title="validation, the best finished trial first")


def _settings(settings: Mapping[str, object]) -> str:
    """As TOML writes them."""
    pairs = (f"{key} = {dumps('none' if value is None else value)}" for key, value in settings.items())
    return f"{{ {', '.join(pairs)} }}" if settings else "{}"


def demo(
    out: Annotated[Path, typer.Option(help="Folder to fill.")] = Path("demo-shop"),
    seed: Annotated[int, typer.Option(help="Another seed, another shop.", min=0)] = 0,
    encoder: Annotated[str, typer.Option(help="minilm, mpnet, wordllama or hash.")] = "minilm",
    llm: Annotated[str, typer.Option(help="keywords (no language model) or scripted.")] = "keywords",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The whole job on an invented shop: HyperLLM against its base, EASE^R and popularity; a few minutes."""
    from hyperllm.experiments.demo import demo as work

    with show.Bar("demo") as bar:
        done = work(out, seed=seed, encoder=encoder, llm=llm, say=show.say, progress=_Watcher(bar))
    if json:
        show.print_json(done.document())
    else:
        _tell(done)


class _Watcher(show.TrainingBar):
    """Shows stages, counted work and training on one bar."""

    def __init__(self, bar: show.Bar) -> None:
        super().__init__(bar)
        self.stage = bar.rename
        self.count = bar


def _tell(done: DemoResult) -> None:
    comparison = done.comparison
    rows = [
        (run, *(f"{c.mean:.4f}{' *' if c.mark == 'best' else ''}" for c in (comparison.cell(run, m) for m in METRICS)))
        for run in comparison.runs
    ]
    heads = ("model", "R@10", "R@20", "N@10", "N@20")
    show.print_table(heads, rows, title=f"hidden test clicks of {comparison.users:,} users (* best)")
    rows = [(run, *(_gap(done, run, metric) for metric in METRICS)) for run in comparison.runs[1:]]
    title = f"{comparison.reference} minus the other model, 95 % interval (paired bootstrap)"
    show.print_table(heads, rows, title=title)
    first = done.recommendations[0].user_id
    shown = [(row.rank, row.title or row.item_id, _path(row.reasons)) for row in done.recommendations]
    show.print_table(("", "item", "because of"), shown, title=f"suggestions for user {first}")
    typer.echo(f"report: {done.report}   ({done.elapsed_s:.0f} s)")
    place = shlex.quote(str(done.workspace))
    typer.echo(
        f"next: hyperllm recommend {place} hyperllm --users {first} --k 5 --explain   ·   "
        f"hyperllm similar {place} hyperllm --items {done.recommendations[0].item_id}   ·   "
        f"hyperllm evaluate {place} hyperllm --groups 5   ·   hyperllm doctor {place}"
    )
    typer.echo(f"look at it: hyperllm serve {place} hyperllm   (then open http://127.0.0.1:8000)")


def _gap(done: DemoResult, run: str, metric: str) -> str:
    cell = done.comparison.cell(run, metric)
    if cell.difference is None or cell.low is None or cell.high is None:
        return ""
    return f"{-cell.difference:+.4f} [{-cell.high:+.4f}, {-cell.low:+.4f}]"


def _path(reasons: object) -> str:
    path = getattr(reasons, "tag_path", ())
    return " > ".join(path) or "no tag in common"


def doctor(
    workspace: Annotated[Path | None, typer.Argument(help="Also verify every artifact of this workspace.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Say what this machine has, and whether a workspace is whole; ends with 1 where something is broken."""
    from hyperllm.experiments.doctor import examine

    found = examine(workspace)
    if json:
        show.print_json(found.document())
    else:
        show.print_table(("", "found", ""), [(c.name, c.found, "" if c.good else "BROKEN") for c in found.checks])
        if found.parts is not None:
            rows = [(p.path, p.kind or "", p.state, p.note) for p in found.parts]
            show.print_table(("artifact", "kind", "state", ""), rows, title=f"workspace {workspace}")
        typer.echo("healthy" if found.healthy else "something is broken; see above")
    if not found.healthy:
        raise typer.Exit(1)
