"""The evaluate and compare stages on finished runs.

Knows where per-user tables are kept, which runs are seeds of one configuration, and that each look at the test part is
recorded. Does not know any metric.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import polars as pl

from hyperllm import artifacts
from hyperllm.errors import ConfigError
from hyperllm.evaluation.compare import Comparison, compare
from hyperllm.evaluation.evaluate import KIND, Candidates, Evaluation, Mask, Part, evaluate
from hyperllm.evaluation.groups import by_activity
from hyperllm.evaluation.ledger import record
from hyperllm.experiments.workspace import RUN, Workspace
from hyperllm.serving.folding import folded
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
    candidates: Candidates = "all",
    groups: int | None = None,
    command: str | None = None,
) -> Measured:
    """Rank items for every user of ``part``; the per-user table is kept in the run, a look at test is recorded.

    Users that were kept out of training (`hyperllm.data.split.without_users`) are folded in first.
    """
    place = Workspace.opened(workspace)
    folder = place.run(run)
    split = place.split()
    model = ScoreModel.load(folder / "model")
    if len(split.given):
        model, split = folded(model, split.given), split.told()
    result = evaluate(model, split, part=part, k=k, mask=mask, candidates=candidates)
    result.save(kept(folder, part, mask, candidates), run=run, inputs=_measured_on(place, run))
    record(workspace, result, run=run, command=command, config=artifacts.read(folder, RUN).config)
    return Measured(result, None if groups is None else by_activity(result, split, groups=groups))


def _measured_on(place: Workspace, run: str) -> dict[str, str]:
    return {"split": place.fingerprint("split"), "model": place.fingerprint("runs", run, "model")}


def kept(run_folder: Path, part: Part, mask: Mask, candidates: Candidates = "all") -> Path:
    """Where a run keeps one evaluation."""
    words = [part, mask.replace("+", "-"), *([] if candidates == "all" else [candidates])]
    return run_folder / "evaluations" / "-".join(words)


def compare_runs(
    workspace: Path,
    runs: Sequence[str],
    *,
    part: Part = "test",
    k: Sequence[int] = (10, 20),
    mask: Mask = "train",
    command: str | None = None,
) -> Comparison:
    """Paired comparison of runs with the first as the reference; a run not yet evaluated so is evaluated.

    One of ``runs`` may be several seeds of one configuration, joined by commas, such as ``base-0,base-1``; the
    comparison calls it ``base``, what the names begin with. Raises `ConfigError` where the runs differ in more than the
    seed.
    """
    groups, place = _groups(runs), Workspace.opened(workspace)
    for seeds in groups.values():
        _check_seeds(place, seeds)
    metrics = [f"{name}@{cut}" for cut in k for name in ("recall", "ndcg")]
    tables = {
        name: [per_user(workspace, run, part=part, k=k, mask=mask, metrics=metrics, command=command) for run in seeds]
        for name, seeds in groups.items()
    }
    return compare(tables, metrics=metrics)


def _groups(runs: Sequence[str]) -> dict[str, list[str]]:
    """Name -> seeds; names that would be empty or alike stay as they were typed."""
    seeds = [text.split(",") for text in runs]
    named = [run for group in seeds for run in group]
    if len(runs) < 2 or len(set(named)) < len(named):
        raise ConfigError(
            "compare needs at least two different runs, or groups of seeds such as base-0,base-1, and each run once; "
            f"found {' '.join(runs) or 'none'}"
        )
    names = [_shared_name(group) for group in seeds]
    return {
        text if names.count(name) > 1 or not name else name: group
        for text, name, group in zip(runs, names, seeds, strict=True)
    }


def _shared_name(runs: Sequence[str]) -> str:
    """What the names of several runs begin with, without the seed's first digits and the mark before it."""
    if len(runs) == 1:
        return runs[0]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*runs, strict=False))
    return "".join(letters[0] for letters in alike).rstrip(string.digits).rstrip("-_.")


def _check_seeds(place: Workspace, runs: Sequence[str]) -> None:
    """Raise unless the runs have one configuration, one split, tags and texts, and a seed each."""
    manifests = [artifacts.read(place.run(run), RUN) for run in runs]
    seeds = [manifest.config.get("seed") for manifest in manifests]
    # phase 1 may have been trained from the seed as well
    setups = [{**manifest.inputs, **manifest.config, "phase1": None, "seed": None} for manifest in manifests]
    for run, setup in zip(runs, setups, strict=True):
        other = sorted(key for key in setup | setups[0] if setup.get(key) != setups[0].get(key))
        if other:
            raise ConfigError(
                f"{runs[0]!r} and {run!r} are not seeds of one configuration: they differ in {', '.join(other)}. "
                "Compare them as two runs."
            )
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"the runs {', '.join(runs)} have the seeds {seeds}; expected a different one for each.")


def per_user(
    workspace: Path,
    run: str,
    *,
    metrics: Sequence[str],
    part: Part = "test",
    k: Sequence[int] = (10, 20),
    mask: Mask = "train",
    command: str | None = None,
) -> pl.DataFrame:
    """``metrics`` of a run for each user, as kept by an earlier evaluation of the same model, or measured now."""
    place = Workspace.opened(workspace)
    folder = kept(place.run(run), part, mask)
    config = {"run": run, "part": part, "mask": mask}
    if artifacts.is_current(folder, KIND, config=config, inputs=_measured_on(place, run)):
        stored = Evaluation.load(folder).per_user
        if set(metrics) <= set(stored.columns):
            return stored
    return evaluate_run(workspace, run, part=part, k=k, mask=mask, command=command).evaluation.per_user
