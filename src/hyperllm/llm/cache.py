"""Where downloaded models live.

Knows the user's cache folder on each platform and how to fill one of its folders so that it is whole or absent, even
when two processes fill it at once. Does not know what a model is.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hyperllm import artifacts
from hyperllm.errors import ArtifactError, ProviderUnavailable

KIND = "model files"


def cache_folder() -> Path:
    """``$HYPERLLM_CACHE``, else the platform's cache folder for ``hyperllm``."""
    if chosen := os.environ.get("HYPERLLM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hyperllm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "hyperllm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyperllm"


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``models/NAME`` of the cache, filled once by ``fill(empty_folder)``.

    Every file's hash is recorded when the folder is filled and checked each time; a damaged folder is filled again.
    Raises `ProviderUnavailable` where the folder cannot be written.
    """
    target = cache_folder() / "models" / name
    if _whole(target):
        return target
    try:
        return _filled(target, fill)
    except OSError as error:
        raise ProviderUnavailable(
            f"the model folder {str(target)!r} cannot be written ({error.strerror or error}); "
            "set HYPERLLM_CACHE to a folder that can"
        ) from None


def _filled(target: Path, fill: Callable[[Path], None]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with artifacts.writing(stage / target.name, KIND) as work:
            fill(work)
        _move_in(stage / target.name, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return target


def _whole(folder: Path) -> bool:
    try:
        artifacts.read(folder, KIND)
    except ArtifactError:
        return False
    return True


def _move_in(made: Path, target: Path) -> None:
    if _whole(target):  # another process was faster
        return
    if target.exists():
        shutil.rmtree(target, ignore_errors=True)
    try:
        made.rename(target)
    except OSError:
        if not _whole(target):
            raise
