"""Downloads against a server that cuts, changes and refuses."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hyperllm.data.download import download, read_text
from hyperllm.errors import DataError

BODY = bytes(range(256)) * 4096  # 1 MiB


class Shelf(ThreadingHTTPServer):
    """A file server with a mind of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/f": BODY}
        self.tag: str | None = '"one"'
        self.modified: str | None = None
        self.ranges = True
        self.confirms = True  # whether If-Range is honoured
        self.cuts: list[int] = []  # bytes after which the next answers end
        self.status: list[int] = []  # statuses of the next answers
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/f"


class Handler(BaseHTTPRequestHandler):
    server: Shelf

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        shelf = self.server
        shelf.asked.append(dict(self.headers))
        if shelf.status:
            self.send_error(shelf.status.pop(0))
            return
        body = shelf.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = self.first_byte()
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        for name, value in (("ETag", shelf.tag), ("Last-Modified", shelf.modified)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = shelf.cuts.pop(0) if shelf.cuts else len(body)
        self.wfile.write(body[start : start + cut])

    def first_byte(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (self.server.tag, self.server.modified)
        return int(wanted[1]) if wanted and self.server.ranges and (same or not self.server.confirms) else 0


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_with_progress(shelf, tmp_path):
    seen: list[tuple[int, int | None]] = []
    done = download(shelf.url, tmp_path / "f", progress=lambda there, total: seen.append((there, total)))
    assert (tmp_path / "f").read_bytes() == BODY
    assert done.bytes_resumed == 0
    assert seen[-1] == (len(BODY), len(BODY))
    assert [there for there, _ in seen] == sorted(there for there, _ in seen)
    assert leftovers(tmp_path) == ["f"]


@pytest.mark.parametrize("validator", ["tag", "modified"])
def test_a_cut_connection_is_resumed_within_the_call(shelf, tmp_path, validator):
    if validator == "modified":
        shelf.tag, shelf.modified = 'W/"weak"', "Wed, 21 Oct 2015 07:28:00 GMT"
    shelf.cuts = [300_000, 300_000]
    done = download(shelf.url, tmp_path / "f", pause_s=0)
    assert (tmp_path / "f").read_bytes() == BODY
    assert done.bytes_resumed == 600_000
    assert [asked.get("Range") for asked in shelf.asked] == [None, "bytes=300000-", "bytes=600000-"]
    assert leftovers(tmp_path) == ["f"]


def cut_once(shelf: Shelf, target: Path) -> None:
    shelf.cuts = [300_000]
    with pytest.raises(DataError, match=r"could not be downloaded in 1 attempts \(cut after 300,000 of .*run it again"):
        download(shelf.url, target, attempts=1)
    assert not target.exists()


def test_a_cut_download_is_resumed_by_the_next_call(shelf, tmp_path):
    cut_once(shelf, tmp_path / "f")
    assert download(shelf.url, tmp_path / "f").bytes_resumed == 300_000
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_that_ignores_ranges_is_read_from_the_start(shelf, tmp_path):
    cut_once(shelf, tmp_path / "f")
    shelf.ranges = False
    assert download(shelf.url, tmp_path / "f").bytes_resumed == 0
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("confirms", [True, False], ids=["honest", "ignores If-Range"])
@pytest.mark.parametrize("body", [BODY[::-1], BODY[:1000]], ids=["other bytes", "shorter"])
def test_a_file_that_changed_is_never_stitched(shelf, tmp_path, body, confirms):
    cut_once(shelf, tmp_path / "f")
    shelf.files["/f"], shelf.tag, shelf.confirms = body, '"two"', confirms
    assert download(shelf.url, tmp_path / "f", pause_s=0).bytes_resumed == 0
    assert (tmp_path / "f").read_bytes() == body


def test_without_a_validator_nothing_is_resumed(shelf, tmp_path):
    shelf.tag = None
    cut_once(shelf, tmp_path / "f")
    assert download(shelf.url, tmp_path / "f").bytes_resumed == 0
    assert (tmp_path / "f").read_bytes() == BODY


def test_another_address_starts_anew(shelf, tmp_path):
    cut_once(shelf, tmp_path / "f")
    shelf.files["/g"] = b"other"
    download(shelf.url.replace("/f", "/g"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"other"


def test_a_busy_server_is_asked_again(shelf, tmp_path):
    shelf.status = [503, 500]
    download(shelf.url, tmp_path / "f", pause_s=0)
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final_and_leaves_the_old_file(shelf, tmp_path, status):
    (tmp_path / "f").write_bytes(b"old")
    shelf.status = [status]
    with pytest.raises(DataError, match=f"answered {status} .*from_folder"):
        download(shelf.url, tmp_path / "f")
    assert len(shelf.asked) == 1
    assert (tmp_path / "f").read_bytes() == b"old"


def test_nobody_answers(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_address[1]
    with pytest.raises(DataError, match="2 attempts"):
        download(f"http://127.0.0.1:{port}/f", tmp_path / "f", attempts=2, pause_s=0)
    with pytest.raises(DataError, match="cannot be reached"):
        read_text(f"http://127.0.0.1:{port}/f")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://x/y", "f"])
def test_only_the_web_is_read(tmp_path, url):
    with pytest.raises(DataError, match="https://"):
        download(url, tmp_path / "f")


def test_a_small_text_or_none(shelf):
    shelf.files["/f"] = b"hello"
    assert read_text(shelf.url) == "hello"
    assert read_text(shelf.url + "/absent") is None
    shelf.status = [500]
    with pytest.raises(DataError, match="answered 500"):
        read_text(shelf.url)
