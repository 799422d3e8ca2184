"""One file over HTTP, safe to interrupt.

Knows byte ranges and validators; a target is whole or absent. Does not know any data set or checksum.

An unfinished download is ``.NAME.part`` beside ``.NAME.part.json``, which records the address and the server's
validator (ETag or Last-Modified). It is continued only if the server confirms by If-Range that its file is the same;
otherwise it starts again.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperllm import artifacts
from hyperllm.errors import DataError

Progress = Callable[[int, int | None], None]
"""Called with bytes there and bytes in all (None where the server does not say)."""

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Downloaded:
    """``path`` is whole; ``bytes_resumed`` of it were there before this call."""

    path: Path
    bytes_resumed: int


class _Cut(Exception):
    """The connection ended before the file did."""


class _Refused(Exception):
    """The server answered with a status that is no success."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


def download(
    url: str,
    target: Path,
    *,
    progress: Progress | None = None,
    attempts: int = 4,
    pause_s: float = 1.0,
    timeout_s: float = 60.0,
) -> Downloaded:
    """Fetch ``url`` into ``target``; a connection cut is resumed up to ``attempts`` times, and by the next call.

    Raises `DataError` where the server refuses, or keeps being cut off; then ``target`` is untouched and what arrived
    is kept for the next call.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url!r}; expected an address that starts with https:// or http://.")
    target.parent.mkdir(parents=True, exist_ok=True)
    reason: Exception | None = None
    for attempt in range(1, attempts + 1):
        try:
            return _attempt(url, target, progress, timeout_s)
        except _Refused as error:
            if error.status < 500:
                raise DataError(
                    f"{url!r} answered {error}. Has the publisher moved the file? "
                    "Download it by hand and pass its folder as from_folder."
                ) from None
            reason = error
        except (_Cut, OSError, http.client.HTTPException) as error:
            reason = error
        if attempt < attempts:
            time.sleep(pause_s * attempt)
    raise DataError(
        f"{url!r} could not be downloaded in {attempts} attempts ({reason}). What arrived is kept; "
        "run it again to resume."
    )


def read_text(url: str, *, timeout_s: float = 60.0) -> str | None:
    """A small text, or None where the server has none (404); raises `DataError` where it cannot be asked."""
    try:
        with _open(urllib.request.Request(url), timeout_s) as answer:
            return answer.read(65_536).decode("utf-8", "replace")
    except _Refused as error:
        if error.status in (403, 404, 410):
            return None
        raise DataError(f"{url!r} answered {error}. Try again later.") from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url!r} cannot be reached ({error}). Check the connection and try again.") from None


def _open(request: urllib.request.Request, timeout_s: float) -> Any:
    """The answer, to be closed by the caller; a refusal is closed here and raised as `_Refused`."""
    try:
        return urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            raise _Refused(error.code, str(error.reason)) from None


def _part(target: Path) -> tuple[Path, Path]:
    part = target.with_name(f".{target.name}.part")
    return part, part.with_name(f"{part.name}.json")


def discard(target: Path) -> None:
    """Forget an unfinished download of ``target``."""
    for path in _part(target):
        path.unlink(missing_ok=True)


def _attempt(url: str, target: Path, progress: Progress | None, timeout_s: float) -> Downloaded:
    part, notes = _part(target)
    before, validator = _resumable(url, part, notes)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if before and validator:
        request.add_header("Range", f"bytes={before}-")
        request.add_header("If-Range", validator)
    try:
        answer = _open(request, timeout_s)
    except _Refused as error:
        if error.status != 416:
            raise
        discard(target)  # the file is now shorter than what we have of it
        raise _Cut("the file changed on the server") from None
    with answer:
        try:
            start, total = _span(answer, before, validator)
        except _Cut:
            discard(target)
            raise
        artifacts.write_json(notes, {"url": url, "validator": _validator(answer)})
        _receive(answer, part, start, total, progress)
    part.replace(target)
    discard(target)
    return Downloaded(target, start)


def _resumable(url: str, part: Path, notes: Path) -> tuple[int, str | None]:
    """(bytes already here, validator to confirm them by); nothing is resumable without a validator."""
    try:
        recorded: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0, None
    if recorded.get("url") != url or not recorded.get("validator"):
        return 0, None
    return size, recorded["validator"]


def _validator(answer: Any) -> str | None:
    """What identifies this version of the file: a strong ETag, else its date."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _span(answer: Any, before: int, validator: str | None) -> tuple[int, int | None]:
    """(first byte this answer holds, bytes of the whole file); a server that ignores ranges starts at 0."""
    length = answer.headers.get("Content-Length")
    if answer.status != 206:
        return 0, None if length is None else int(length)
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != before:
        raise _Cut(f"the server sent the range {answer.headers.get('Content-Range')!r}, asked from byte {before}")
    if _validator(answer) not in (None, validator):
        raise _Cut("the file changed on the server")
    return before, None if found[2] == "*" else int(found[2])


def _receive(answer: Any, part: Path, start: int, total: int | None, progress: Progress | None) -> None:
    done = start
    with part.open("ab" if start else "wb") as stream:
        while True:
            try:
                chunk = answer.read(CHUNK_BYTES)
            except http.client.IncompleteRead as error:
                stream.write(error.partial)
                raise _Cut(f"cut after {done + len(error.partial):,} bytes") from None
            if not chunk:
                break
            stream.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total is not None and done != total:
        raise _Cut(f"cut after {done:,} of {total:,} bytes")
