"""A language model from one file: what is said where it cannot be had, what it is started with, and a real one."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyperllm.errors import ConfigError, ProviderUnavailable
from hyperllm.llm import gguf as room
from hyperllm.llm.chat import Message
from hyperllm.llm.gguf import GGUFChat, gguf_name

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF, but no model")
    return path


def _absent(name: str):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class Params(SimpleNamespace):
    """What the package takes its settings in."""

    made: Params | None = None

    def __init__(self) -> None:
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace())
        Params.made = self


def test_a_missing_file_is_said_first(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "import_module", _absent)
    for path in (tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ConfigError, match="is not a file; expected a model in GGUF format"):
            GGUFChat(path)


def test_a_missing_package_is_named_with_its_extra(model, monkeypatch):
    monkeypatch.setattr(room, "import_module", _absent)
    with pytest.raises(ProviderUnavailable, match=r"pip install 'hyperllm\[local\]'"):
        GGUFChat(model)


def test_a_file_that_is_no_model_is_said(model, monkeypatch):
    def refuse(params: Params):
        raise RuntimeError("Failed to init server")

    package = SimpleNamespace(CommonParams=Params, Server=refuse)
    monkeypatch.setattr(room, "import_module", lambda name: package)
    with pytest.raises(ProviderUnavailable, match=r"small\.gguf' cannot be loaded as a GGUF model \(Failed"):
        GGUFChat(model)


def test_the_server_is_silent_locked_and_wide_enough(model, monkeypatch):
    package = SimpleNamespace(
        CommonParams=Params, Server=lambda params: SimpleNamespace(listening_address="http://127.0.0.1:1")
    )
    monkeypatch.setattr(room, "import_module", lambda name: package)
    chat = GGUFChat(model, at_once=3, threads=2, max_tokens=7, temperature=0.5)
    wanted = Params.made
    assert wanted is not None
    assert (wanted.model.path, wanted.cpuparams.n_threads) == (str(model), 2)
    assert (wanted.n_parallel, wanted.n_ctx) == (3, 3 * 4096)
    assert (wanted.verbosity, wanted.cache_ram_mib) == (0, 0)
    assert [chat._chat.at.key] == wanted.api_keys
    assert len(wanted.api_keys[0]) > 20
    assert wanted.api_keys[0] not in repr(vars(chat))
    assert chat.name == gguf_name(model)
    assert dict(chat.settings) == {"temperature": 0.5, "max_tokens": 7}
    asyncio.run(chat.close())


def test_a_real_model_answers_in_its_form_and_leaves_nothing_behind(capfd):
    given = os.environ.get("HYPERLLM_GGUF")
    if not given:
        pytest.skip("HYPERLLM_GGUF does not name a model")
    pytest.importorskip("xllamacpp")
    before = threading.active_count()

    async def main() -> dict[str, str]:
        chat = GGUFChat(Path(given), threads=1, max_tokens=32)
        try:
            loaded = _memory_mb()
            reply = await chat.complete([Message("user", "Which colour has the sky?")], schema=SCHEMA)
            assert reply.input_tokens > 0
            assert reply.output_tokens > 0
        finally:
            await chat.close()
        del chat
        gc.collect()
        deadline = time.monotonic() + 10
        while loaded - _memory_mb() < Path(given).stat().st_size / 2e6 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        assert loaded - _memory_mb() > Path(given).stat().st_size / 2e6
        return json.loads(reply.text)

    assert asyncio.run(main())["colour"] in ("red", "blue")
    assert threading.active_count() == before
    assert capfd.readouterr() == ("", "")


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
