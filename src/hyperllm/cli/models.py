"""``train``, ``evaluate``, ``compare`` and ``export``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperllm.cli import show
from hyperllm.cli.cluster import RayAddress, address, for_workers
from hyperllm.errors import ConfigError

if TYPE_CHECKING:
    from hyperllm.experiments.train import TrainedRun

BackboneName = Annotated[str | None, typer.Option(help="hgcf, hrcf, hicf, hgch, hypercl, lgcf, lhgcn, lightgcn")]
FrameworkName = Annotated[
    str | None,
    typer.Option(help="hyperllm, base, kar, kar-tuned, rlmrec-con, rlmrec-gen, alpharec, herec, llminit"),
]
VariantName = Annotated[
    str | None, typer.Option(help="full, structural, semantic, only-semantic, no-meta, no-contrast")
]
RunName = Annotated[str | None, typer.Option(help="Name of the run.")]
TagSet = Annotated[str | None, typer.Option(help="Tag set, or none.")]
VectorSet = Annotated[str | None, typer.Option(help="Set of text vectors.")]
PresetName = Annotated[str, typer.Option(help="Named settings.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, any number of times.")]
Phase1 = Annotated[
    Path | None,
    typer.Option(help="Start phase 2 from this .npz, or run:NAME from another run's; phase 1 is done."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    for command in (train, evaluate, compare, export):
        app.command(command.__name__)(command)


def train(
    workspace: Path,
    backbone: BackboneName = None,
    framework: FrameworkName = None,
    variant: VariantName = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="popularity, itemknn, rp3beta, ease, ease-tags, als or content, instead of a backbone"),
    ] = None,
    run: RunName = None,
    tags: TagSet = None,
    semantics: VectorSet = None,
    preset: PresetName = "default",
    set_: Assignments = None,
    phase1: Phase1 = None,
    compat: Annotated[bool, typer.Option(help="Repeat the published code's quirks.")] = False,
    device: Device = "auto",
    seed: int = 0,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = True,
    track: Annotated[Path | None, typer.Option(help="Write TensorBoard events to this folder.")] = None,
    ray: RayAddress = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes on Ray; without, one a processor.")] = None,
    replicas: Annotated[
        int, typer.Option(min=1, help="Of all processes, so many crews: each has all columns, they share batches.")
    ] = 1,
    share_graph: Annotated[
        bool, typer.Option(help="Replicas share out the rows of the graph, too: for one that is too big.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Train a model; only training and validation interactions are read."""
    from hyperllm.config import parse_assignments
    from hyperllm.experiments.tracking import Listeners, TensorBoard
    from hyperllm.experiments.train import TrainRequest

    request = TrainRequest(
        backbone=backbone,
        framework=framework,
        variant=variant,
        baseline=baseline,
        run=run,
        tags=tags,
        semantics=semantics,
        preset=preset,
        settings=parse_assignments(set_ or []),
        phase1=phase1 if ray is None else for_workers(phase1),
        compat=compat,
        device=device,
        seed=seed,
        resume=resume,
    )
    work = trainer(ray, workers, replicas, share_graph=share_graph)
    if not speaks():
        work(workspace, request)
        return
    with show.Bar("training") as bar:
        listeners = [show.TrainingBar(bar)] + ([] if track is None else [TensorBoard(track)])
        done = work(workspace, request, progress=Listeners(listeners))
    if json:
        show.print_json({"run": done.name, "folder": str(done.folder), "skipped": done.skipped, **done.facts})
        return
    if done.aside is not None:
        show.say(f"the earlier run {done.name!r} had other settings and is kept as {done.aside!r}")
    typer.echo(f"{done.name}: {'nothing to do, already trained' if done.skipped else 'trained'} -> {done.folder}")
    for phase, facts in done.facts.get("phases", {}).items():
        scores = " ".join(f"{k} {v:.4f}" for k, v in facts["valid"].items())
        did = f"{facts['epochs']} epochs, {facts['elapsed_s']} s, best {facts['best_epoch']}"
        if "share" in facts:
            did = f"linear expert, share {facts['share']:g} of {facts['epochs']} tried, {facts['elapsed_s']} s"
        typer.echo(f"  {phase}: {did}: {scores}")


def trainer(
    ray: str | None, workers: int | None, replicas: int, *, share_graph: bool = False
) -> Callable[..., TrainedRun]:
    """What trains: this process, those that torchrun started, or workers of Ray."""
    from hyperllm.experiments.train import train as alone
    from hyperllm.scale import launch

    division = launch.Division(replicas, share_graph)
    if ray is not None:
        from hyperllm.scale.training import train as on_ray

        return partial(on_ray, workers=workers, division=division, address=address(ray))
    if workers is not None:
        raise ConfigError("--workers is for --ray; torchrun has --nproc-per-node")
    if launch.launched():
        return partial(launch.train, division=division)
    if replicas != 1:
        raise ConfigError("--replicas is for several processes; start them with --ray or torchrun")
    return alone


def speaks() -> bool:
    """Whether this process shows anything: of those that torchrun started, only the first."""
    from hyperllm.scale import launch

    return not launch.launched() or launch.first()


def cutoffs(text: str) -> list[int]:
    """``10,20`` to numbers."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ConfigError(f"--k expects numbers such as 10,20; found {text!r}") from None
    if not found or found[0] < 1:
        raise ConfigError(f"--k expects positive numbers; found {text!r}")
    return found


def evaluate(
    workspace: Path,
    run: str,
    part: Annotated[str, typer.Option(help="test or valid")] = "test",
    k: Annotated[str, typer.Option(help="Cut-offs, comma-separated.")] = "10,20",
    mask: Annotated[str, typer.Option(help="train, or train+valid")] = "train",
    candidates: Annotated[str, typer.Option(help="all, or cold: items without a training interaction")] = "all",
    groups: Annotated[int | None, typer.Option(help="Also this many equal user groups by activity.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Rank all items, or the cold ones, for every held-out user; each look at the test part is recorded."""
    from hyperllm.evaluation.beyond import NAMES
    from hyperllm.experiments.measure import evaluate_run

    cuts = cutoffs(k)
    done = evaluate_run(
        workspace,
        run,
        part=part,  # type: ignore[arg-type]
        k=cuts,
        mask=mask,  # type: ignore[arg-type]
        candidates=candidates,  # type: ignore[arg-type]
        groups=groups,
        command=command_line(),
    )
    result = done.evaluation
    if json:
        document: dict[str, Any] = result.document(run)
        if done.groups is not None:
            document["groups"] = done.groups.to_dicts()
        show.print_json(document)
        return
    ranked = "" if candidates == "all" else f"{candidates} items alone, "
    what = "cold items" if candidates == "cold" else "items"
    counted = f"{result.users:,} users ({result.users_skipped:,} without held-out {what})"
    typer.echo(f"{run}: {part}, mask {mask}, {ranked}{counted}")
    names = sorted({name.split("@")[0] for name in result.metrics})
    rows = [(name, *(result.metrics[f"{name}@{c}"] for c in cuts)) for name in names]
    show.print_table(("metric", *(f"@{c}" for c in cuts)), rows)
    rows = [(name, *(result.beyond.get(f"{name}@{c}", "") for c in cuts)) for name in NAMES]
    show.print_table(("metric", *(f"@{c}" for c in cuts)), rows, title="beyond accuracy")
    if done.groups is not None:
        show.print_table(done.groups.columns, done.groups.rows(), title="users by training interactions, fewest first")


def compare(
    workspace: Path,
    runs: Annotated[list[str], typer.Argument(help="A run, or seeds of one joined by commas: base-0,base-1")],
    part: str = "test",
    k: str = "10,20",
    mask: str = "train",
    latex: Annotated[bool, typer.Option(help="Print a LaTeX table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Compare runs user by user against the first: differences, bootstrap intervals, corrected p-values."""
    from hyperllm.evaluation import tables
    from hyperllm.experiments.measure import compare_runs

    result = compare_runs(workspace, runs, part=part, k=cutoffs(k), mask=mask, command=command_line())  # type: ignore[arg-type]
    if json:
        show.print_json([asdict(cell) for cell in result.cells])
    elif latex:
        typer.echo(tables.latex(result))
    else:
        typer.echo(tables.text(result))


def export(
    workspace: Path,
    run: str,
    out: Annotated[Path, typer.Argument(help="A new folder; a Parquet file with --vectors.")],
    vectors: Annotated[
        str | None, typer.Option(help="Item vectors for a database instead: dot for flat search, l2 for its own graph.")
    ] = None,
) -> None:
    """Write a run's NumPy-only model folder, or its item vectors, with what was added; neither needs the workspace."""
    from hyperllm import artifacts
    from hyperllm.experiments.workspace import Workspace
    from hyperllm.serving.recommender import Recommender
    from hyperllm.serving.vectors import export_vectors

    folder = Workspace.opened(workspace).run(run)
    if vectors is not None:
        count = export_vectors(Recommender.load(folder).model, out, metric=vectors)  # type: ignore[arg-type]
        typer.echo(f"vectors of {count:,} items -> {out}")
        return
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and artifacts.peek(out) is None)):
        raise ConfigError(f"{str(out)!r} is not an empty folder or an earlier export; choose another one")
    model = Recommender.load(folder).model
    model.save(out)
    typer.echo(f"{len(model.users):,} users and {len(model.items):,} items -> {out}")


def command_line() -> str:
    """This command as typed."""
    return shlex.join(["hyperllm", *sys.argv[1:]])
