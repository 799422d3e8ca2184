"""Names of chat models, what each one needs, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError
from hyperllm.llm.chats import ChatOptions, folder_name, make_chat, model_name, price_of
from hyperllm.llm.loop import wait_for
from hyperllm.llm.openai import KEY_VARIABLE, URL_VARIABLE, OpenAIChat

LOCAL = ChatOptions(base_url="http://localhost:1/v1")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in (KEY_VARIABLE, URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_the_options_reach_the_model(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-0123456789abcdef")
    options = ChatOptions("http://localhost:1/v1", max_tokens=7, temperature=0.5, timeout_s=3.0)
    chat = make_chat("openai: some/model ", options)
    assert isinstance(chat, OpenAIChat)
    assert (chat.name, dict(chat.settings)) == ("some/model", {"temperature": 0.5, "max_tokens": 7})
    assert (chat.at.base_url, chat.at.timeout_s, chat.at.key) == ("http://localhost:1/v1", 3.0, "sk-0123456789abcdef")
    assert model_name("openai: some/model ") == chat.name
    wait_for(chat.close)


@pytest.mark.parametrize("llm", ["openai:", "openai:  ", "gguf:", "gguf: "])
def test_a_kind_without_a_name_asks_for_one(llm):
    for find in (model_name, lambda name: make_chat(name, LOCAL)):
        with pytest.raises(ConfigError, match="needs a name, such as"):
            find(llm)


def test_a_local_file_is_named_by_its_content(tmp_path):
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF one")
    first = model_name(f"gguf:{path}")
    path.write_bytes(b"GGUF two")
    assert first.startswith("gguf:small:")
    assert model_name(f"gguf:{path}") != first
    assert str(tmp_path) not in first


def test_a_file_that_is_not_there_is_said(tmp_path):
    for find in (model_name, lambda name: make_chat(name, LOCAL)):
        with pytest.raises(ConfigError, match=r"absent\.gguf' is not a file"):
            find(f"gguf:{tmp_path / 'absent.gguf'}")


def test_prices_follow_the_server_and_local_files_are_free():
    paid = price_of("openai:gpt-4o-mini", ChatOptions(), given=None)
    assert paid is not None
    assert paid.input_per_million > 0
    for llm, options in (("gguf:/models/a.gguf", ChatOptions()), ("openai:gpt-4o-mini", LOCAL)):
        free = price_of(llm, options, given=None)
        assert free is not None
        assert free.of(10**6, 10**6) == 0
    assert price_of("openai:mine", ChatOptions("https://example.org/v1"), given=None) is None


def test_the_environment_names_the_server(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://localhost:2/v1")
    chat = make_chat("openai:m", ChatOptions())
    assert isinstance(chat, OpenAIChat)
    assert chat.at.base_url == "http://localhost:2/v1"
    free = price_of("openai:gpt-4o-mini", ChatOptions(), given=None)
    assert free is not None
    assert free.input_per_million == 0


@given(st.sampled_from(["openai:", "gguf:", ""]), st.text(max_size=30))
def test_every_name_makes_a_plain_folder(kind, name):
    folder = folder_name(kind + name)
    assert folder == Path(folder).name
    assert folder not in (".", "..")
    assert folder.isascii()
    assert not folder.startswith((".", "-"))


def test_folders_are_called_as_people_would():
    assert folder_name("openai:meta/Llama-3") == "meta-Llama-3"
    assert folder_name("gguf:/models/qwen2.5-7b.gguf") == "qwen2.5-7b"
