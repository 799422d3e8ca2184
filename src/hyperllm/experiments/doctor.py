"""Is this machine ready, and is this workspace whole?

Knows where to look: versions, threads, memory, accelerator, cache, optional parts, and every artifact of a workspace.
Repairs nothing, fetches nothing, and does not know how the answer is shown.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hyperllm import artifacts
from hyperllm.errors import ArtifactError, Incomplete
from hyperllm.llm import packaged
from hyperllm.llm.cache import KIND as CACHED
from hyperllm.llm.cache import cache_folder

State = Literal["complete", "unfinished", "corrupt"]
LIBRARIES = ("hyperllm", "torch", "numpy", "polars", "pyarrow", "scipy", "pydantic", "safetensors", "typer")
ENCODERS = ("sentence-transformers", "tokenizers", "transformers")
SINGLE = ("dataset", "split")
NAMED = ("profiles", "tags", "semantics")
FOR_DEVELOPERS = {"dev", "docs"}


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and whether it is as it must be."""

    name: str
    found: str
    good: bool = True


@dataclass(frozen=True)
class Part:
    """One artifact of a workspace; ``note`` says what is wrong and what to do."""

    path: str
    kind: str | None
    state: State
    note: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks of the machine, and the parts of the workspace where one was named."""

    checks: tuple[Check, ...]
    parts: tuple[Part, ...] | None

    @property
    def healthy(self) -> bool:
        """No check failed and nothing is corrupt; unfinished work is no illness."""
        return all(c.good for c in self.checks) and all(p.state != "corrupt" for p in self.parts or ())

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        parts = None if self.parts is None else [asdict(part) for part in self.parts]
        return {"healthy": self.healthy, "checks": [asdict(check) for check in self.checks], "workspace": parts}


def examine(workspace: Path | None = None) -> Diagnosis:
    """Look at the machine and, where one is named, at every artifact of ``workspace``."""
    checks = (*_versions(), *_machine(), *_cache(), *_extras(), _writable(Path.cwd(), "current folder"))
    if workspace is None:
        return Diagnosis(checks, None)
    if not workspace.is_dir():
        missing = Check("workspace", f"{str(workspace)!r} is no folder; make one with `hyperllm prepare`", good=False)
        return Diagnosis((*checks, missing), ())
    return Diagnosis((*checks, _writable(workspace, "workspace")), tuple(inspect(workspace)))


def inspect(workspace: Path) -> list[Part]:
    """Verify every file of every artifact in ``workspace``, stages first, then named sets, then runs."""
    found = [workspace / name for name in SINGLE]
    for kind in NAMED:
        found += _named(workspace / kind)
    for run in _named(workspace / "runs"):
        found += [run, run / "model", *_named(run / "evaluations")]
    return [_part(folder, workspace) for folder in found if _exists(folder)]


def _named(folder: Path) -> list[Path]:
    """Finished and unfinished artifacts below ``folder``, by name."""
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for suffix in (".partial", ".replaced"):
        names |= {path.name[1 : -len(suffix)] for path in folder.glob(f".*{suffix}")}
    return [folder / name for name in sorted(names)]


def _exists(folder: Path) -> bool:
    return folder.exists() or artifacts.partial(folder).exists() or _replaced(folder).exists()


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _part(folder: Path, workspace: Path) -> Part:
    path = folder.relative_to(workspace).as_posix()
    kind = None
    try:
        manifest = artifacts.peek(folder)
        kind = None if manifest is None else manifest.kind
        if manifest is None:
            return Part(path, None, "unfinished", "repeat the command that makes it; it goes on or starts over")
        artifacts.read(folder, manifest.kind)
    except Incomplete as error:
        return Part(path, kind, "unfinished", str(error))
    except ArtifactError as error:
        return Part(path, kind, "corrupt", str(error))
    again = artifacts.partial(folder).exists()
    return Part(path, kind, "complete", "a newer one is unfinished" if again else "")


def _versions() -> list[Check]:
    checks = [Check("python", platform.python_version(), sys.version_info >= (3, 11))]
    for library in (*LIBRARIES, *ENCODERS):
        version = _version(library)
        checks.append(Check(library, version or "not installed: pip install hyperllm", version is not None))
    return checks


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> list[Check]:
    import torch  # slow to import, and needed only here

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        gpu = f"{torch.cuda.get_device_name(0)}, {memory / 2**30:.0f} GiB"
    else:
        gpu = "none; training runs on the processor"
    return [
        Check("system", f"{platform.system()} {platform.machine()}"),
        Check("threads", f"{torch.get_num_threads()} used by torch, {os.cpu_count()} processors"),
        Check("memory", _memory()),
        Check("gpu", gpu),
    ]


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"
    return f"{total / 2**30:.1f} GiB"


def _cache() -> list[Check]:
    folder = cache_folder()
    checks = [_writable(folder, "cache")]
    for model in (packaged.MINILM, packaged.MPNET, packaged.WORDLLAMA):
        where = folder / "models" / f"{model.name}-{model.version}"
        checks.append(Check(f"encoder {model.name}", _cached(where, model.size_mb)))
    return checks


def _cached(folder: Path, size_mb: int) -> str:
    if artifacts.peek(folder) is None:
        return f"not fetched yet ({size_mb} MB on first use)"
    try:
        artifacts.read(folder, CACHED)
    except ArtifactError:
        return "damaged; it is fetched again on next use"
    return f"ready ({size_mb} MB)"


def _extras() -> list[Check]:
    """The optional parts of the installed package, and whether each can be used."""
    wanted: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("hyperllm") or []:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        library = re.match(r"[\w.-]+", requirement)
        if extra and library and extra[1] not in FOR_DEVELOPERS:
            wanted.setdefault(extra[1], []).append(library[0])
    checks: list[Check] = []
    for extra, libraries in sorted(wanted.items()):
        missing = [library for library in libraries if _version(library) is None]
        advice = f"absent ({', '.join(missing)}): pip install 'hyperllm[{extra}]'"
        checks.append(Check(f"extra {extra}", advice if missing else f"present ({', '.join(libraries)})"))
    return checks


def _writable(folder: Path, what: str) -> Check:
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    note = "" if good else ": cannot be written; choose another folder or change its permissions"
    if what == "cache" and not good:
        note += " (HYPERLLM_CACHE names another one)"
    return Check(what, f"{folder}{note}", good)
