"""Well-known public data sets: where their publishers keep them, and fetching them safely.

Knows names, addresses, terms and checksums, and how to unpack a zip. Does not know what is in the files, except that
old MovieLens tables are rewritten as CSV. Downloads nothing unless asked.

`fetch` keeps, beside the files, ``checksums.json``: the SHA-256 of each file and whether it was checked against the
publisher's own checksum or merely recorded at first download.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hyperllm import artifacts
from hyperllm.data.download import Progress, discard, download, read_text
from hyperllm.data.public_sets import PUBLIC, PublicSet, RemoteFile
from hyperllm.data.sources.movielens import modernise
from hyperllm.errors import DataError, choose

CHECKSUMS = "checksums.json"
Origin = Literal["publisher", "recorded at first download"]
FileProgress = Callable[[str, int, int | None], None]
"""Called with a file's name, bytes there, and bytes in all or None."""


@dataclass(frozen=True)
class Fetched:
    """A data set on disk. ``origins`` says of each file what its checksum was checked against."""

    name: str
    folder: Path
    files: Mapping[str, Path]
    origins: Mapping[str, Origin]
    arguments: tuple[str, ...]
    """What to pass to ``hyperllm prepare WORKSPACE`` to use it."""


def fetch(
    name: str,
    folder: Path,
    *,
    from_folder: Path | None = None,
    progress: FileProgress | None = None,
    registry: Mapping[str, PublicSet] = PUBLIC,
) -> Fetched:
    """Put the public set ``name`` into ``folder/name``, verified; files already there and unchanged are kept.

    With ``from_folder`` the files are copied from there instead of downloaded. Raises `ConfigError` for an unknown
    name and `DataError` for a refusal, a cut connection, or a file that is not what its checksum says.
    """
    chosen = choose(name, registry, what="public data set")
    here = folder / name
    here.mkdir(parents=True, exist_ok=True)
    if from_folder is not None:
        _require_all(chosen, from_folder)
    origins: dict[str, Origin] = {file.name: _obtain(file, here, from_folder, progress) for file in chosen.files}
    files = {file.name: here / file.name for file in chosen.files}
    for file in chosen.files:
        if file.name.endswith(".zip"):
            files |= _tables(unpack(here / file.name, here / "files"))
    absent = [file for file in chosen.use if file not in files]
    if absent:
        raise DataError(
            f"{name} was fetched into {str(here)!r}, but holds no {', '.join(absent)}; is it the publisher's file?"
        )
    wanted = [str(files[file]) for file in chosen.use]
    arguments = tuple(part for pair in zip(chosen.options, wanted, strict=False) for part in pair if part)
    return Fetched(name, here, files, origins, arguments)


def _require_all(chosen: PublicSet, from_folder: Path) -> None:
    missing = [file.name for file in chosen.files if not (from_folder / file.name).is_file()]
    if missing:
        raise DataError(
            f"{str(from_folder)!r} has no {', '.join(missing)}; expected {', '.join(f.name for f in chosen.files)}. "
            f"Get them from {chosen.homepage}."
        )


def _obtain(file: RemoteFile, here: Path, from_folder: Path | None, progress: FileProgress | None) -> Origin:
    """See that ``here/file.name`` is there and right; say what it was checked against."""
    target = here / file.name
    record = _records(here).get(file.name)
    if target.is_file() and record is not None:
        if artifacts.file_digest(target) != record["sha256"]:
            raise DataError(f"{str(target)!r} changed since it was fetched. Delete it and fetch again.")
        return record["origin"]
    arriving = target if target.is_file() else here / f".{file.name}.arriving"
    if arriving != target and from_folder is not None:
        shutil.copyfile(from_folder / file.name, arriving)
    elif not arriving.is_file():
        download(file.url, arriving, progress=_named(progress, file.name))
    origin = _verify(file, arriving, record, keep=arriving == target)
    arriving.replace(target)
    return origin


def _named(progress: FileProgress | None, name: str) -> Progress | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _verify(file: RemoteFile, path: Path, record: Mapping[str, Any] | None, *, keep: bool) -> Origin:
    """Check a file that arrived and record its SHA-256; a wrong one is deleted unless the user put it there."""
    sha256 = artifacts.file_digest(path)
    published = file.md5 or _published_md5(file)
    origin: Origin = "publisher" if published else "recorded at first download"
    found = _md5(path) if published else sha256
    expected = published or (record["sha256"] if record else sha256)
    if found != expected:
        if not keep:
            path.unlink()
            discard(path)
        where = "published" if origin == "publisher" else "recorded at first download, so the publisher changed it"
        raise DataError(
            f"{file.name} has the checksum {found}; expected {expected} ({where}). "
            + (f"Delete {str(path)!r} and fetch" if keep else "Fetch")
            + f" it again, or delete {CHECKSUMS} to accept a changed file."
        )
    records = _records(path.parent)
    records[file.name] = {"sha256": sha256, "origin": origin, "url": file.url, "bytes": path.stat().st_size}
    artifacts.write_json(path.parent / CHECKSUMS, records)
    return origin


def _records(here: Path) -> dict[str, Any]:
    try:
        return json.loads((here / CHECKSUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise DataError(f"{str(here / CHECKSUMS)!r} is damaged. Delete it and fetch again.") from None


def _published_md5(file: RemoteFile) -> str | None:
    text = None if file.md5_url is None else read_text(file.md5_url)
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text or "")
    return found[0].lower() if found else None


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip into ``folder``, whole or not at all; nothing is written outside it.

    Raises `DataError` for a damaged zip, and for one with a link, an absolute path or a path that climbs out.
    """
    done = folder / ".unpacked"
    stamp = artifacts.file_digest(archive)
    if done.is_file() and done.read_text(encoding="utf-8") == stamp:
        return folder
    work = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(work, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.infolist():
                _require_inside(archive, member, work)
            bundle.extractall(work)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(f"{str(archive)!r} is no whole zip file ({error}). Delete it and fetch it again.") from None
    (work / ".unpacked").write_text(stamp, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return folder


def _require_inside(archive: Path, member: zipfile.ZipInfo, folder: Path) -> None:
    path = Path(member.filename)
    link = stat.S_ISLNK(member.external_attr >> 16)
    if link or path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
        raise DataError(
            f"{str(archive)!r} holds {member.filename!r}, which would be written outside {str(folder)!r}. "
            "Nothing was unpacked; this is not the publisher's file."
        )


def _tables(folder: Path) -> dict[str, Path]:
    """The unpacked tables by file name, old formats rewritten as CSV first."""
    modernise(folder)
    return {path.name: path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")}
