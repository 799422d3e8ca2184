"""The small record of an experiment, one JSON file that is committed: what was tried, what was chosen, what came out.

Knows what of a run is worth keeping once its workspace is gone, and how records become a table beside the published
numbers. Does not train or evaluate.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.errors import ConfigError
from hyperllm.evaluation.evaluate import Evaluation
from hyperllm.experiments.trial import Trial
from hyperllm.experiments.workspace import RUN
from hyperllm.training.report import SELECTION as METRICS
from hyperllm.training.report import that_trained


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
    _write(path, {**read(path), "trials": [trial.document() for trial in trials]})


def keep_run(path: Path, folder: Path, evaluation: Evaluation, published: Mapping[str, float]) -> None:
    """Put a finished run and its evaluation into the record.

    What stood there of this run is replaced; runs of another configuration or other inputs, seeds apart, are dropped.
    """
    manifest = artifacts.read(folder, RUN)
    record = read(path)
    setup = {key: value for key, value in manifest.config.items() if key != "seed"}
    inputs = {key: value for key, value in manifest.inputs.items() if key != "phase1"}
    entry = {
        "run": folder.name,
        "seed": manifest.config.get("seed"),
        "config_sha256": artifacts.digest(manifest.config),
        "setup_sha256": artifacts.digest([setup, inputs]),
        "inputs": dict(manifest.inputs),
        "phases": manifest.facts.get("phases", {}),
        "peak_memory_mb": manifest.facts.get("peak_memory_mb"),
        "part": evaluation.part,
        "mask": evaluation.mask,
        "metrics": {name: round(evaluation.metrics[name], 6) for name in METRICS if name in evaluation.metrics},
    }
    kept = [run for run in record.get("runs", []) if run["run"] != entry["run"]]
    others = [run for run in kept if run["setup_sha256"] == entry["setup_sha256"]]
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
        means = [_spread([run["metrics"][name] for run in runs if name in run["metrics"]]) for name in METRICS]
        published = [f"{record['published'][name]:.4f}"[1:] for name in METRICS if name in record["published"]]
        last = [list(that_trained(run["phases"]).values())[-1] for run in runs if run["phases"]]
        peaks = [run["peak_memory_mb"] for run in runs if run["peak_memory_mb"] is not None]
        cost = (
            f"{statistics.mean(p['elapsed_s'] / p['epochs'] for p in last):.1f}" if last else "",
            f"{max(peaks)}" if peaks else "",
            f"{statistics.mean(p['valid'].get('saturated', 0.0) for p in last):.2f}" if last else "",
            " ".join(str(p["best_epoch"]) for p in last),
        )
        found.append((path.stem, str(len(runs)), *means, " / ".join(published), *cost))
    return found


HEADS = ("experiment", "seeds", "R@10", "R@20", "N@10", "N@20", "published", "s/epoch", "MB", "saturated", "best epoch")


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = statistics.mean(values)
    text = f"{mean:.4f}" if len(values) == 1 else f"{mean:.4f} ± {statistics.stdev(values):.4f}"
    return text.replace("0.", ".")


def markdown(folder: Path) -> str:
    """The rows as a table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (HEADS, ["---"] * len(HEADS), *rows(folder)))


if __name__ == "__main__":
    print(markdown(Path(sys.argv[1])))
