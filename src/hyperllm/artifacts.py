"""An artifact is a folder whose last file is ``manifest.json``.

Knows how to write one so that it is complete or absent, how to check that it is whole, and how to tell whether it was
made from the same inputs and settings. Does not know what any payload means.

A writer works in a hidden sibling, ``.NAME.partial``; the manifest is written last and the folder renamed into place,
so a process killed at any moment leaves the old artifact, the new one, or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperllm.errors import Corrupt, Incomplete, WrongKind

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself.

    ``config`` are the settings that made it, ``inputs`` maps a name to the fingerprint of what it was made from,
    ``files`` maps a relative path to its SHA-256, ``facts`` are counts and remarks that no later stage depends on.
    """

    kind: str
    schema: int
    config: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, str]
    facts: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over kind, schema and payload: equal payloads have equal fingerprints."""
        return digest({"kind": self.kind, "schema": self.schema, "files": self.files})

    def made_from(self, config: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
        """Whether these settings and inputs are the ones recorded."""
        return digest(self.config) == digest(config) and digest(self.inputs) == digest(inputs)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_texts(*columns: Iterable[str]) -> str:
    """`digest` of a list of lists of texts, of which it holds one text at a time."""
    told = hashlib.sha256(b"[")
    for number, column in enumerate(columns):
        told.update(b", [" if number else b"[")
        for place, text in enumerate(column):
            told.update((", " if place else "").encode() + json.dumps(text).encode())
        told.update(b"]")
    told.update(b"]")
    return told.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def partial(folder: Path) -> Path:
    """Where an unfinished ``folder`` is being written."""
    return folder.with_name(f".{folder.name}.partial")


def _payload(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of each file; a nested artifact counts through its own manifest."""
    found: dict[str, str] = {}
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if here != folder and MANIFEST in files:
            found[(here / MANIFEST).relative_to(folder).as_posix()] = file_digest(here / MANIFEST)
            folders[:] = []
            continue
        for name in sorted(files):
            path = here / name
            if path != folder / MANIFEST:
                found[path.relative_to(folder).as_posix()] = file_digest(path)
    return dict(sorted(found.items()))


@contextmanager
def writing(
    folder: Path,
    kind: str,
    *,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    facts: dict[str, Any] | None = None,
    keep_partial: bool = False,
) -> Generator[Path]:
    """Yield a working folder; on a clean exit seal it and move it to ``folder``, replacing what was there.

    ``facts`` is read at the end, so the body may fill it. With ``keep_partial`` the working folder survives an
    exception and is handed out again next time: that is how long work resumes.
    """
    _require_ours(folder, kind)
    work = partial(folder)
    if work.exists() and not keep_partial:
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
    except BaseException:
        if not keep_partial:
            shutil.rmtree(work, ignore_errors=True)
        raise
    for hidden in work.glob(".*"):  # scratch of the writer: checkpoints and the like
        shutil.rmtree(hidden) if hidden.is_dir() else hidden.unlink()
    manifest = {
        "kind": kind,
        "schema": SCHEMA,
        "config": dict(config or {}),
        "inputs": dict(inputs or {}),
        "files": _payload(work),
        "facts": facts or {},
    }
    write_json(work / MANIFEST, manifest)
    recover(folder)
    old = folder.with_name(f".{folder.name}.replaced")
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def _require_ours(folder: Path, kind: str) -> None:
    """An artifact of another kind is never replaced."""
    if folder.exists() and not folder.is_dir():
        raise WrongKind(f"{str(folder)!r} is a file; a {kind} is a folder. Choose another name.")
    there = peek(folder)
    if there is not None and there.kind != kind:
        raise WrongKind(f"{str(folder)!r} holds a {there.kind}; a {kind} would replace it. Choose another folder.")


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that ``path`` holds the old text or the new, never half of it."""
    scratch = path.with_name(f".{path.name}.new")
    with scratch.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)


def read(folder: Path, kind: str) -> Manifest:
    """The manifest of a whole, unchanged artifact of this kind; each file's hash is checked."""
    manifest = peek(folder)
    if manifest is None:
        recover(folder)
        manifest = peek(folder)
    if manifest is None:
        state = "was never finished" if folder.exists() or partial(folder).exists() else "does not exist"
        raise Incomplete(f"{str(folder)!r} {state}; expected a {kind}. Run the command that makes it (again).")
    if manifest.kind != kind:
        raise WrongKind(f"{str(folder)!r} holds a {manifest.kind}; expected a {kind}.")
    if manifest.schema != SCHEMA:
        raise WrongKind(f"{str(folder)!r} has format {manifest.schema}; this version reads format {SCHEMA}.")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise Corrupt(f"{str(path)!r} is missing. Delete {str(folder)!r} and run the command that makes it again.")
        if file_digest(path) != expected:
            raise Corrupt(
                f"{str(path)!r} was cut short or changed after it was written. "
                f"Delete {str(folder)!r} and run the command that makes it again."
            )
    return manifest


def peek(folder: Path) -> Manifest | None:
    """The manifest without checking any payload; None where there is none."""
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Manifest(**raw)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{str(folder / MANIFEST)!r} cannot be read ({error}). Delete {str(folder)!r}.") from None


def fingerprint(folder: Path) -> str:
    """The fingerprint of a finished artifact, payload unchecked; raises `Incomplete`."""
    manifest = peek(folder)
    if manifest is None:
        raise Incomplete(f"{str(folder)!r} does not exist or was never finished.")
    return manifest.fingerprint


def recover(folder: Path) -> None:
    """Put back an artifact whose replacement was killed between its two renames."""
    old = folder.with_name(f".{folder.name}.replaced")
    if old.exists() and not folder.exists():
        old.rename(folder)


def is_current(folder: Path, kind: str, *, config: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
    """Whether ``folder`` is whole, of this kind, and made from exactly these settings and inputs."""
    recover(folder)
    manifest = peek(folder)
    if manifest is None or manifest.kind != kind or not manifest.made_from(config, inputs):
        return False
    read(folder, kind)
    return True
