"""Settings of the plain baselines, searched on validation once and kept in the workspace.

Knows where the winners are kept (``tunes/NAME.json``) and what makes them out of date. Does not know any baseline.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hyperllm import artifacts
from hyperllm.baselines import BASELINES
from hyperllm.baselines.tune import tuned
from hyperllm.experiments.workspace import Workspace


def tuned_settings(
    place: Workspace, name: str, *, tags: str | None, search: bool, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The settings of baseline ``name`` that did best on validation; None where none are kept and ``search`` is off.

    ``tags`` names the tag set of a baseline that needs one.
    """
    baseline, path = BASELINES[name], place.folder / "tunes" / f"{name}.json"
    inputs = {"split": place.fingerprint("split")}
    if baseline.needs_tags:
        chosen = place.chosen("tags", tags)
        if chosen is None:
            return None
        inputs["tags"] = place.fingerprint("tags", chosen)
    made_from = artifacts.digest([list(baseline.grid), inputs])
    kept: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # absent, or damaged: searched again
        kept = json.loads(path.read_text(encoding="utf-8"))
    if kept.get("made_from") != made_from:
        if not search:
            return None
        say(f"{name}: {len(baseline.grid)} candidates on validation")
        trials = tuned(place.split(), name, tags=place.tags(tags) if baseline.needs_tags else None)
        kept = {"made_from": made_from, "trials": [asdict(trial) for trial in trials]}
        path.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(path, kept)
    return dict(kept["trials"][0]["settings"])
