"""Fetching public sets: verified, recorded, unpacked safely, and never half."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.public import fetch, unpack
from hyperllm.data.public_sets import PUBLIC, PublicSet, RemoteFile
from hyperllm.data.sources.amazon import read_amazon
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError, DataError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served under."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def zipped(members: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        for name, text in members.items():
            bundle.writestr(name, text)
    return stream.getvalue()


TABLES = zipped(
    {
        "ml-tiny/ratings.csv": "userId,movieId,rating,timestamp\n1,7,5,10\n2,7,4,20\n",
        "ml-tiny/movies.csv": "movieId,title,genres\n7,Seven,Crime|Drama\n",
    }
)


def movies(address: str, **more: str | None) -> dict[str, PublicSet]:
    file = RemoteFile("ml-tiny.zip", f"{address}/ml-tiny.zip", **more)
    use, options = ("ratings.csv", "movies.csv"), ("--interactions", "--items")
    return {"ml-tiny": PublicSet("ml-tiny", "Tiny", "https://example.org", "none", (file,), use, options)}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_fetched_files_can_be_prepared(tmp_path, site):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(TABLES)
    seen: list[str] = []
    got = fetch(
        "ml-tiny", tmp_path / "data", progress=lambda name, done, total: seen.append(name), registry=movies(address)
    )
    assert set(seen) == {"ml-tiny.zip"}
    assert got.arguments[0::2] == ("--interactions", "--items")
    report = prepare(tmp_path / "w", read_table(*got.arguments[1::2]), config=PrepareConfig(core=1))
    assert (report.card.users, report.card.items, report.card.items_without_text) == (2, 1, 0)


@pytest.mark.parametrize("form", ["{0}  ml-tiny.zip\n", "MD5 (ml-tiny.zip) = {0}\n"])
def test_the_publishers_checksum_beside_the_file_is_used(tmp_path, site, form):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(TABLES)
    (folder / "ml-tiny.zip.md5").write_text(form.format(md5(TABLES)))
    registry = movies(address, md5_url=f"{address}/ml-tiny.zip.md5")
    assert fetch("ml-tiny", tmp_path / "data", registry=registry).origins == {"ml-tiny.zip": "publisher"}
    record = json.loads((tmp_path / "data" / "ml-tiny" / "checksums.json").read_text())["ml-tiny.zip"]
    assert record["origin"] == "publisher"
    assert record["sha256"] == hashlib.sha256(TABLES).hexdigest()


def test_without_a_publishers_checksum_the_first_download_is_recorded_and_labelled(tmp_path, site):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(TABLES)
    registry = movies(address, md5_url=f"{address}/absent.md5")
    got = fetch("ml-tiny", tmp_path / "data", registry=registry)
    assert got.origins == {"ml-tiny.zip": "recorded at first download"}
    (got.folder / "ml-tiny.zip").unlink()
    (folder / "ml-tiny.zip").write_bytes(TABLES + b"more")
    with pytest.raises(DataError, match="recorded at first download, so the publisher changed it"):
        fetch("ml-tiny", tmp_path / "data", registry=registry)
    assert not (got.folder / "ml-tiny.zip").exists()


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(tmp_path, site):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(TABLES[:-5])
    registry = movies(address, md5=md5(TABLES))
    with pytest.raises(DataError, match=f"checksum .*; expected {md5(TABLES)}"):
        fetch("ml-tiny", tmp_path / "data", registry=registry)
    assert list((tmp_path / "data" / "ml-tiny").iterdir()) == []
    (folder / "ml-tiny.zip").write_bytes(TABLES)
    assert fetch("ml-tiny", tmp_path / "data", registry=registry).origins == {"ml-tiny.zip": "publisher"}


def test_what_is_there_is_not_fetched_again_but_checked(tmp_path, site):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(TABLES)
    got = fetch("ml-tiny", tmp_path / "data", registry=movies(address))
    (folder / "ml-tiny.zip").unlink()
    assert fetch("ml-tiny", tmp_path / "data", registry=movies(address)) == got
    (got.folder / "ml-tiny.zip").write_bytes(TABLES[:-1])
    with pytest.raises(DataError, match="changed since it was fetched"):
        fetch("ml-tiny", tmp_path / "data", registry=movies(address))


def test_an_absent_file_is_a_404_with_the_way_out(tmp_path, site):
    with pytest.raises(DataError, match=r"answered 404 .*from_folder"):
        fetch("ml-tiny", tmp_path / "data", registry=movies(site[1]))


def test_files_from_a_folder_are_verified_and_copied(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    registry = movies("http://127.0.0.1:9", md5=md5(TABLES))
    with pytest.raises(DataError, match=r"has no ml-tiny\.zip"):
        fetch("ml-tiny", tmp_path / "data", from_folder=mine, registry=registry)
    (mine / "ml-tiny.zip").write_bytes(TABLES[:-1])
    with pytest.raises(DataError, match="checksum"):
        fetch("ml-tiny", tmp_path / "data", from_folder=mine, registry=registry)
    (mine / "ml-tiny.zip").write_bytes(TABLES)
    got = fetch("ml-tiny", tmp_path / "data", from_folder=mine, registry=registry)
    assert (got.folder / "ml-tiny.zip").read_bytes() == TABLES
    assert (mine / "ml-tiny.zip").exists()


def test_an_archive_without_the_tables_is_refused(tmp_path, site):
    folder, address = site
    (folder / "ml-tiny.zip").write_bytes(zipped({"README": "hello"}))
    with pytest.raises(DataError, match=r"holds no ratings\.csv, movies\.csv"):
        fetch("ml-tiny", tmp_path / "data", registry=movies(address))


def link() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        bundle.writestr(info, "/etc")
    return stream.getvalue()


HOSTILE = {
    "climbs": zipped({"good.csv": "x", "../evil": "x"}),
    "climbs within": zipped({"a/../../evil": "x"}),
    "absolute": zipped({"/tmp/evil": "x"}),
    "backslash": zipped({"..\\evil": "x"}),
    "drive": zipped({"C:/evil": "x"}),
    "link": link(),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_is_written_outside(tmp_path, case):
    archive = tmp_path / "a.zip"
    archive.write_bytes(HOSTILE[case])
    with pytest.raises(DataError, match="would be written outside"):
        unpack(archive, tmp_path / "in" / "files")
    assert not (tmp_path / "in" / "files").exists()
    assert not list(tmp_path.rglob("evil"))


def test_a_damaged_zip_keeps_what_was_unpacked_before(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(TABLES)
    unpack(archive, tmp_path / "files")
    archive.write_bytes(TABLES[:-30])
    with pytest.raises(DataError, match="no whole zip file"):
        unpack(archive, tmp_path / "files")
    assert (tmp_path / "files" / "ml-tiny" / "movies.csv").is_file()
    assert not (tmp_path / ".files.unpacking").exists()


def test_an_amazon_set_is_used_as_it_comes(tmp_path, site):
    folder, address = site
    review = {"reviewerID": "A", "asin": "B", "overall": 5, "unixReviewTime": 1}
    (folder / "r.json.gz").write_bytes(gzip.compress(json.dumps(review).encode()))
    (folder / "m.json.gz").write_bytes(gzip.compress(repr({"asin": "B", "title": "it's"}).encode()))
    files = tuple(RemoteFile(name, f"{address}/{name}") for name in ("r.json.gz", "m.json.gz"))
    known = PublicSet("a", "A", "https://example.org", "none", files, ("r.json.gz", "m.json.gz"), ("--amazon", ""))
    got = fetch("a", tmp_path / "data", registry={"a": known})
    assert got.arguments[0] == "--amazon"
    assert read_amazon(*got.arguments[1:]).catalog.texts() == ["it's."]


def test_an_unknown_name_is_answered_with_a_guess(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean 'ml-100k'\?"):
        fetch("ml-100", tmp_path)


def test_the_register_is_whole():
    assert {"ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small"} <= set(PUBLIC)
    for name in ("amazon-2014-beauty", "amazon-2018-luxury-beauty", "amazon-2023-video-games"):
        assert name in PUBLIC
    for name, known in PUBLIC.items():
        assert name == known.name
        assert known.title
        assert known.homepage.startswith("https://")
        assert len(known.licence) > 40
        assert len(known.options) == len(known.use)
        for file in known.files:
            assert urlsplit(file.url).scheme == "https"
            assert file.url.endswith(f"/{file.name}")
            assert file.md5 is None or len(file.md5) == 32
