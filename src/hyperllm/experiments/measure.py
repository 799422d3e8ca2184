"""The evaluate and compare stages on finished runs.

Knows where per-user tables are kept and that each look at the test part is recorded. Does not know any metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hyperllm import artifacts
from hyperllm.errors import ConfigError
from hyperllm.evaluation.compare import Comparison, compare
from hyperllm.evaluation.evaluate import KIND, Evaluation, Mask, Part, evaluate
from hyperllm.evaluation.groups import by_activity
from hyperllm.evaluation.ledger import record
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class Measured:
    """An evaluation, and its user groups where they were asked for."""

    evaluation: Evaluation
    groups: pl.DataFrame | None


def evaluate_run(
    workspace: Path,
    run: str,
    *,
    part: Part = "test",
    k: Sequence[int] = (10, 20),
    mask: Mask = "train",
    groups: int | None = None,
    command: str | None = None,
) -> Measured:
    """Rank all items for every user of ``part``; the per-user table is kept in the run, a look at test is recorded."""
    place = Workspace.opened(workspace)
    folder = place.run(run)
    split = place.split()
    result = evaluate(ScoreModel.load(folder / "model"), split, part=part, k=k, mask=mask)
    result.save(kept(folder, part, mask), run=run, inputs=_measured_on(place, run))
    record(workspace, result, run=run, command=command, config=artifacts.read(folder, RUN).config)
    return Measured(result, None if groups is None else by_activity(result, split, groups=groups))


def _measured_on(place: Workspace, run: str) -> dict[str, str]:
    return {"split": place.fingerprint("split"), "model": place.fingerprint("runs", run, "model")}


def kept(run_folder: Path, part: Part, mask: Mask) -> Path:
    """Where a run keeps one evaluation."""
    return run_folder / "evaluations" / f"{part}-{mask.replace('+', '-')}"


def compare_runs(
    workspace: Path,
    runs: Sequence[str],
    *,
    part: Part = "test",
    k: Sequence[int] = (10, 20),
    mask: Mask = "train",
    command: str | None = None,
) -> Comparison:
    """Paired comparison of runs with the first as the reference; a run not yet evaluated so is evaluated."""
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise ConfigError("compare needs at least two different runs")
    metrics = [f"{name}@{cut}" for cut in k for name in ("recall", "ndcg")]
    tables: dict[str, pl.DataFrame] = {}
    for run in runs:
        tables[run] = _per_user(workspace, run, part=part, k=k, mask=mask, metrics=metrics, command=command)
    return compare(tables, metrics=metrics)


def _per_user(
    workspace: Path, run: str, *, part: Part, k: Sequence[int], mask: Mask, metrics: list[str], command: str | None
) -> pl.DataFrame:
    place = Workspace.opened(workspace)
    folder = kept(place.run(run), part, mask)
    config = {"run": run, "part": part, "mask": mask}
    if artifacts.is_current(folder, KIND, config=config, inputs=_measured_on(place, run)):
        stored = Evaluation.load(folder).per_user
        if set(metrics) <= set(stored.columns):
            return stored
    return evaluate_run(workspace, run, part=part, k=k, mask=mask, command=command).evaluation.per_user
