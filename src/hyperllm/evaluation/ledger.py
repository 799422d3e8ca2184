"""The append-only record of every test evaluation, ``evaluations.jsonl`` in the workspace.

Knows how to add one line so that it survives a crash, and how to read the lines back. Does not know how a number was
computed. The record exists so that nobody has to guess how often the test part was looked at.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hyperllm.artifacts import digest
from hyperllm.evaluation.evaluate import Evaluation

FILE = "evaluations.jsonl"


def record(
    workspace: Path,
    evaluation: Evaluation,
    *,
    run: str,
    command: str | None = None,
    config: Any = None,
) -> bool:
    """Append one line for an evaluation of the test part; other parts are not recorded. Returns whether it wrote.

    ``config`` is any JSON value that made the run; its SHA-256 is stored. The line is on disk when this returns.
    """
    if evaluation.part != "test":
        return False
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **evaluation.document(run),
        "command": command,
        "config_sha256": None if config is None else digest(config),
    }
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / FILE).open("ab+") as stream:
        raw = json.dumps(line).encode() + b"\n"
        stream.write(raw if _ends_a_line(stream) else b"\n" + raw)
        stream.flush()
        os.fsync(stream.fileno())
    return True


def recorded(workspace: Path) -> list[dict[str, Any]]:
    """All recorded test evaluations, oldest first; a line that a crash cut short is passed over."""
    path = workspace / FILE
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _ends_a_line(stream: Any) -> bool:
    """Whether the file is empty or closed by a newline; an earlier process may have died in mid-line."""
    if stream.seek(0, os.SEEK_END) == 0:
        return True
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"
