"""The small record of an experiment, one JSON file that is committed: what was tried, what was chosen, what came out.

Knows what of a run is worth keeping once its workspace is gone, and how records become a table beside the published
numbers. Does not train or evaluate.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.errors import ConfigError
from hyperllm.evaluation.evaluate import Evaluation
from hyperllm.experiments.tune import Trial
from hyperllm.experiments.workspace import RUN

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def read(path: Path) -> dict[str, Any]:
    """The record, or an empty one where there is none yet; raises `ConfigError` where the file is something else."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{str(path)!r} is not the record of an experiment: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{str(path)!r} is not the record of an experiment; expected a JSON object")
    return found


def keep_trials(path: Path, trials: Sequence[Trial]) -> None:
    """Put a search's trials, best first, into the record."""
    _write(path, {**read(path), "trials": [asdict(trial) for trial in trials]})


def keep_run(path: Path, folder: Path, evaluation: Evaluation, published: Mapping[str, float]) -> None:
    """Put a finished run and its evaluation into the record; an earlier entry of the same configuration is replaced."""
    manifest = artifacts.read(folder, RUN)
    record = read(path)
    config = artifacts.digest(manifest.config)
    entry = {
        "run": folder.name,
        "seed": manifest.config.get("seed"),
        "config_sha256": config,
        "inputs": dict(manifest.inputs),
        "phases": manifest.facts.get("phases", {}),
        "peak_memory_mb": manifest.facts.get("peak_memory_mb"),
        "part": evaluation.part,
        "mask": evaluation.mask,
        "metrics": {name: round(evaluation.metrics[name], 6) for name in METRICS if name in evaluation.metrics},
    }
    others = [run for run in record.get("runs", []) if run["config_sha256"] != config]
    runs = sorted([*others, entry], key=lambda run: (str(run["run"]), run["seed"] or 0))
    _write(path, {**record, "published": dict(published), "config": manifest.config, "runs": runs})


def _write(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    order = ("published", "config", "trials", "runs")
    artifacts.write_json(path, {key: record[key] for key in order if key in record})


def rows(folder: Path) -> list[tuple[str, ...]]:
    """A row a record of ``folder``: name, seeds, test metrics and the published ones, and what the runs cost."""
    found: list[tuple[str, ...]] = []
    for path in sorted(folder.glob("*.json")):
        record = read(path)
        runs = record.get("runs", [])
        if not runs:
            continue
        means = [_spread([run["metrics"][name] for run in runs]) for name in METRICS]
        published = [f"{record['published'][name]:.4f}" if name in record["published"] else "" for name in METRICS]
        last = [list(run["phases"].values())[-1] for run in runs if run["phases"]]
        cost = (
            f"{statistics.mean(p['elapsed_s'] / p['epochs'] for p in last):.2f}" if last else "",
            f"{max(run['peak_memory_mb'] or 0 for run in runs):.0f}",
            f"{statistics.mean(p['valid'].get('saturated', 0.0) for p in last):.2f}" if last else "",
            " ".join(str(p["best_epoch"]) for p in last),
        )
        found.append((path.stem, str(len(runs)), *means, " / ".join(published), *cost))
    return found


HEADS = ("experiment", "seeds", *METRICS, "published", "s an epoch", "peak MB", "saturated", "best epoch")


def _spread(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.4f}" if len(values) == 1 else f"{mean:.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    for row in (HEADS, ["---"] * len(HEADS), *rows(Path(sys.argv[1]))):
        print("| " + " | ".join(row) + " |")
