"""Replies already paid for, kept line by line while a stage runs.

One JSON line a finished piece of work, flushed to disk. A line that a kill cut short is dropped on reading; a damaged
line before the end is an error, for what follows it is paid for as well. Knows keys and JSON values only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hyperllm.errors import Corrupt


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
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    key, value = json.loads(line)
                    found[key] = value
                except (ValueError, TypeError, RecursionError) as error:
                    raise Corrupt(
                        f"line {number} of {str(self._path)!r} was changed after it was written ({error}). Delete that "
                        "line to keep the other replies, or the file to ask for all of them again."
                    ) from None
                whole += len(line)
        os.truncate(self._path, whole)
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def forget(self, keys: Collection[str]) -> None:
        """Drop ``keys``, so that they are asked again; the others stay."""
        if not keys:
            return
        self._values = {key: value for key, value in self._values.items() if key not in keys}
        scratch = self._path.with_name(f"{self._path.name}.new")
        scratch.write_bytes(b"".join(_line(key, value) for key, value in self._values.items()))
        scratch.replace(self._path)

    def add(self, key: str, value: Any) -> None:
        """Keep ``value``; it is on disk when this returns."""
        with self._path.open("ab") as stream:
            stream.write(_line(key, value))
            stream.flush()
            os.fsync(stream.fileno())
        self._values[key] = value


def _line(key: str, value: Any) -> bytes:
    return json.dumps([key, value]).encode() + b"\n"
