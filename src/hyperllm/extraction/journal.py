"""Replies already paid for, kept line by line while a stage runs.

One JSON line a finished piece of work, flushed to disk. A line that a kill cut short is dropped on reading, and so is
what follows a damaged one. Knows keys and JSON values only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Append-only ``key -> value`` on disk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._values = self._read()

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if not self._path.exists():
            return found
        whole = 0
        with self._path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                try:
                    key, value = json.loads(line)
                except ValueError:
                    break
                found[key] = value
                whole += len(line)
        os.truncate(self._path, whole)
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def add(self, key: str, value: Any) -> None:
        """Keep ``value``; it is on disk when this returns."""
        self._values[key] = value
        with self._path.open("ab") as stream:
            stream.write(json.dumps([key, value], ensure_ascii=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
