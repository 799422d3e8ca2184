"""Paid work is paid once: kills at every call, other limits, and a catalogue that grows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import DataError, ProviderUnavailable
from hyperllm.extraction import interview as room
from hyperllm.extraction import profiles
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.extraction.scripted import scripted
from hyperllm.llm.chat import ScriptedChat


class Meter:
    """Stands for the scripted model; counts calls, and is gone after ``lasts`` of them."""

    def __init__(self, monkeypatch) -> None:
        self.calls: list[str] = []
        self.lasts = 10**9
        inner = scripted()

        def script(messages):
            if len(self.calls) >= self.lasts:
                raise ProviderUnavailable("the server is gone")
            self.calls.append(messages[-1].content)
            return inner.script(messages)

        monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(script))


@pytest.fixture
def meter(monkeypatch) -> Meter:
    return Meter(monkeypatch)


def fill(folder: Path, *, items: int = 4) -> Path:
    """Five users, each of whom clicked every item."""
    folder.mkdir(parents=True, exist_ok=True)
    clicks, texts = folder / "clicks.csv", folder / "items.csv"
    lines = [f"u{u},i{i}" for u in range(5) for i in range(items)]
    clicks.write_text("user_id,item_id\n" + "\n".join(lines), encoding="utf-8")
    names = ["amber", "bronze", "coral", "denim", "ebony", "fern"]
    lines = [f"i{i},{names[i]} {names[-1 - i]} vase,Home > Vases" for i in range(items)]
    texts.write_text("item_id,title,categories\n" + "\n".join(lines), encoding="utf-8")
    prepare(folder / "shop", read_table(clicks, texts), config=PrepareConfig(core=1))
    return folder / "shop"


def shown(workspace: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(workspace / "profiles" / "scripted" / f"{what}.parquet") for what in ("items", "users")]


def test_killed_at_every_call_the_result_is_the_same_and_no_call_is_repeated(tmp_path, meter):
    whole = fill(tmp_path / "whole")
    extract(whole, ExtractConfig(llm="scripted"))
    total = len(meter.calls)
    assert total > 4, "items and users"
    for lasts in range(total):
        meter.calls.clear()
        meter.lasts = lasts
        workspace = fill(tmp_path / str(lasts))
        with pytest.raises(ProviderUnavailable):
            extract(workspace, ExtractConfig(llm="scripted"))
        assert artifacts.peek(workspace / "profiles" / "scripted") is None
        assert artifacts.peek(workspace / "tags" / "scripted") is None
        meter.lasts = 10**9
        extract(workspace, ExtractConfig(llm="scripted"))
        assert len(meter.calls) == len(set(meter.calls)) == total
        for ours, theirs in zip(shown(workspace), shown(whole), strict=True):
            assert ours.equals(theirs)


def test_a_sample_first_and_a_sample_afterwards_cost_nothing_extra(tmp_path, meter):
    workspace = fill(tmp_path)
    assert extract(workspace, ExtractConfig(llm="scripted", limit=2)).items == 2
    extract(workspace, ExtractConfig(llm="scripted"))
    total = len(meter.calls)
    extract(workspace, ExtractConfig(llm="scripted", limit=1))
    assert profiles.load_items(workspace / "profiles" / "scripted")[0].item_id == "i0"
    assert extract(workspace, ExtractConfig(llm="scripted")).items == 4
    assert len(meter.calls) == total == len(set(meter.calls))


def test_only_new_items_are_asked_when_the_catalogue_grows(tmp_path, meter):
    workspace = fill(tmp_path)
    extract(workspace, ExtractConfig(llm="scripted"))
    about_items = {call for call in meter.calls if "<item>" in call}
    fill(tmp_path, items=5)
    done = extract(workspace, ExtractConfig(llm="scripted"))
    assert (done.items, done.skipped) == (5, False)
    assert len(meter.calls) == len(set(meter.calls))
    fresh = {call for call in meter.calls if "<item>" in call} - about_items
    assert len(fresh) == 1
    assert "ebony" in fresh.pop()


def test_another_prompt_version_asks_anew(tmp_path, meter):
    workspace = fill(tmp_path)
    extract(workspace, ExtractConfig(llm="scripted"))
    before = len(meter.calls)
    assert not extract(workspace, ExtractConfig(llm="scripted", prompt="paper")).skipped
    assert len(meter.calls) > before
    for name, version in (("scripted", "hyperllm-1"), ("scripted-paper", "paper")):
        found = profiles.load_items(workspace / "profiles" / name)
        assert {p.origin.prompt_version for p in found} == {version}, "versions never mix"


def test_unusable_answers_are_quarantined_and_asked_again_on_request(tmp_path, monkeypatch):
    workspace = fill(tmp_path)
    monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(lambda messages: "I would rather not"))
    with pytest.raises(DataError, match=r"no tag could be found: 4 were left out, such as item i0: the reply holds no"):
        extract(workspace, ExtractConfig(llm="scripted"))
    assert not (workspace / "profiles" / "scripted").exists()
    monkeypatch.setattr(room, "scripted", scripted)
    with pytest.raises(DataError, match="left out"):
        extract(workspace, ExtractConfig(llm="scripted"))
    assert extract(workspace, ExtractConfig(llm="scripted", retry=True)).left_out == {}


def test_a_user_and_an_item_of_one_name_are_left_out_apart(tmp_path, monkeypatch):
    clicks, texts = tmp_path / "clicks.csv", tmp_path / "items.csv"
    clicks.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u in range(5) for i in range(5)), encoding="utf-8")
    texts.write_text("item_id,title\n" + "".join(f"{i},vase number{i}\n" for i in range(5)), encoding="utf-8")
    prepare(tmp_path / "shop", read_table(clicks, texts))
    inner = scripted()

    def picky(messages):
        about_item = "<item>" in messages[1].content
        return "no" if not about_item or "number0" in messages[1].content else inner.script(messages)

    monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(picky))
    done = extract(tmp_path / "shop", ExtractConfig(llm="scripted"))
    assert {"item 0", "user 0"} <= set(done.left_out)
    assert (done.items, done.users) == (4, 0)


def test_the_same_reply_with_half_a_surrogate_pair_is_kept(tmp_path, monkeypatch):
    workspace = fill(tmp_path)
    inner = scripted()
    monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(lambda messages: f"{inner.script(messages)} \ud83d"))
    extract(workspace, ExtractConfig(llm="scripted"))
    assert profiles.load_items(workspace / "profiles" / "scripted")[0].origin.raw.endswith(" ?")
