"""Opening a model that somebody may be replacing at this moment.

Knows where a run keeps its model and how to notice that it changed. Does not know who wants it. A writer moves the old
folder aside and the new one into its place (`artifacts.writing`); between the two there is no folder, and putting the
old one back, as other commands do after a crash, would make the writer fail. So a model is read through a link in a
folder of our own, beside which there is nothing to put back.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hyperllm import artifacts
from hyperllm.errors import ArtifactError, Incomplete
from hyperllm.serving import storage
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender

Mark = tuple[int, int, int]
Stamp = tuple[Mark | None, Mark | None]


@dataclass(frozen=True, eq=False)
class Opened:
    """A model in memory as it was trained, its fingerprint, and the mark of the manifest it was read with."""

    model: ScoreModel
    fingerprint: str
    mark: Mark


def place(folder: Path) -> Path:
    """The model folder of ``folder``, which is that folder or a run's; nothing is touched."""
    inner = folder / storage.SUBFOLDER
    return inner if (inner / artifacts.MANIFEST).exists() else folder


def mark(model: Path) -> Mark | None:
    """What changes when the model in its own folder does, or None where there is none at this moment."""
    return _mark(model / artifacts.MANIFEST)


def stamp(path: Path) -> Stamp:
    """What changes when somebody writes the SQLite file ``path``, itself or its log."""
    return _mark(path), _mark(path.with_name(f"{path.name}-wal"))


def _mark(path: Path) -> Mark | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def load(folder: Path) -> Opened:
    """Read the model in its own ``folder`` into memory.

    Raises an `ArtifactError` that says what is wrong; `Incomplete` also where the model was replaced meanwhile, so that
    files of two models never mix.
    """
    before = mark(folder)
    if before is None:
        raise Incomplete(f"there is no finished model in {str(folder)!r}; name a run or an exported model.")
    with tempfile.TemporaryDirectory(prefix="hyperllm-") as own:
        link = Path(own) / "model"
        link.symlink_to(folder.absolute(), target_is_directory=True)
        try:
            model = Recommender(ScoreModel.load(link)).in_memory().model
            fingerprint = artifacts.fingerprint(link)
        except ArtifactError as error:
            raise type(error)(str(error).replace(str(link), str(folder))) from None
    if mark(folder) != before:
        raise Incomplete(f"the model in {str(folder)!r} was replaced while it was read; try again.")
    return Opened(model, fingerprint, before)
