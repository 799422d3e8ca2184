"""What is known of a run, for the server's report.

Reads manifests and finished evaluations, also while another process works; changes nothing. Does not know HTTP.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.errors import ArtifactError
from hyperllm.serving import storage

_SIZES = ("users", "items", "dim")


def report(run: Path) -> dict[str, Any]:
    """``settings``, ``phases``, ``metrics`` by evaluation and ``sizes``; a part of which nothing is known is empty."""
    about, model = _manifest(run), _manifest(run / storage.SUBFOLDER)
    told = {
        "settings": about.config if about else {},
        "phases": about.facts.get("phases", {}) if about else {},
        "metrics": _metrics(run / "evaluations"),
        "sizes": _sizes(run / storage.SUBFOLDER, model) | _costs(about),
    }
    return _finite(told)


def _manifest(folder: Path) -> artifacts.Manifest | None:
    """None also where the folder is being replaced at this moment."""
    try:
        return artifacts.peek(folder)
    except (ArtifactError, OSError):
        return None


def _metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("[!.]*/metrics.json")):
        try:
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # an evaluation that is being replaced, or is none
    return found


def _sizes(folder: Path, model: artifacts.Manifest | None) -> dict[str, Any]:
    if model is None:
        return {}
    sizes = {name: model.facts[name] for name in _SIZES if name in model.facts}
    try:
        return sizes | {"model_bytes": sum((folder / name).stat().st_size for name in model.files)}
    except OSError:
        return sizes


def _costs(about: artifacts.Manifest | None) -> dict[str, Any]:
    peak = about.facts.get("peak_memory_mb") if about else None
    return {} if peak is None else {"training_memory_mb": peak}


def _finite(value: Any) -> Any:
    """A JSON value in which what is not a finite number is null."""
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
