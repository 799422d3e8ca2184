"""Held-out clicks and what is written about a user: nothing may pass from one to the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperllm.data.interactions import Pairs
from hyperllm.data.prepare import load_split, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.data.split import Split
from hyperllm.extraction import interview as room
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.extraction.interview import Interview
from hyperllm.extraction.items import item_texts
from hyperllm.extraction.prompts import VERSIONS
from hyperllm.extraction.scripted import scripted
from hyperllm.llm.chat import ScriptedChat
from hyperllm.llm.ledger import Ledger

USERS, ITEMS = 20, 30


@pytest.fixture
def shop(tmp_path) -> Path:
    """Twenty users with some fifteen of thirty items each; the title of an item names no other item."""
    rng = np.random.default_rng(7)
    clicks, items = tmp_path / "clicks.csv", tmp_path / "items.csv"
    lines = [f"{u},{i}" for u in range(USERS) for i in rng.permutation(ITEMS)[: rng.integers(12, 18)]]
    clicks.write_text("user_id,item_id\n" + "\n".join(lines), encoding="utf-8")
    lines = [f"{i},{unmistakable(i)} thing,All > Kind{'abc'[i % 3]}" for i in range(ITEMS)]
    items.write_text("item_id,title,categories\n" + "\n".join(lines), encoding="utf-8")
    prepare(tmp_path / "shop", read_table(clicks, items))
    return tmp_path / "shop"


def unmistakable(item: int) -> str:
    return "zq" + "".join(chr(ord("a") + int(digit)) for digit in f"{item:02d}") + "xw"


def interview(split: Split, workspace: Path, version: str, ledger: Path) -> dict[str, str]:
    """User id -> the prompt about that user."""
    config = ExtractConfig(llm="scripted", prompt=version)
    with Ledger.opened(ledger / "calls.sqlite") as opened:
        asking = Interview(workspace, config, split, opened, None)
        asking.ask()
        return {q.about: "\n".join(m.content for m in q.messages) for q in asking.user_questions()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_users_prompt_names_every_training_item_and_no_held_out_one(shop, tmp_path, version):
    split = load_split(shop)
    prompts = interview(split, shop, version, tmp_path / "journal")
    assert len(prompts) == len(split.users)
    for row, user in enumerate(split.users.ids):
        mine = {name: set(split.items.take(p.item[p.user == row])) for name, p in parts(split).items()}
        assert mine["valid"]
        assert mine["test"]
        named = {item for item in split.items.ids if unmistakable(int(item)) in prompts[user]}
        assert named == mine["train"]


def parts(split: Split) -> dict[str, Pairs]:
    return {"train": split.train, "valid": split.valid, "test": split.test}


@pytest.mark.parametrize("version", VERSIONS)
def test_prompts_stay_the_same_to_the_letter_whatever_is_held_out(shop, tmp_path, version):
    split = load_split(shop)
    rng = np.random.default_rng(1)
    pairs = split.valid
    shuffled = Pairs(rng.permutation(pairs.user), (pairs.item + 11) % len(split.items))
    nothing = Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    changed = [replace(split, valid=split.test, test=shuffled), replace(split, valid=nothing, test=nothing)]
    before = interview(split, shop, version, tmp_path / "0")
    for number, other in enumerate(changed, start=1):
        assert interview(other, shop, version, tmp_path / str(number)) == before


def test_training_clicks_do_change_the_prompts(shop, tmp_path):
    split = load_split(shop)
    fewer = Pairs(split.train.user[:-1], split.train.item[:-1])
    before = interview(split, shop, "paper", tmp_path / "0")
    after = interview(replace(split, train=fewer), shop, "paper", tmp_path / "1")
    assert {user for user in before if before[user] != after[user]} == {split.users.ids[split.train.user[-1]]}


def test_item_prompts_see_no_click_at_all(shop, monkeypatch):
    shown: list[str] = []
    inner = scripted()

    def listening() -> ScriptedChat:
        return ScriptedChat(lambda messages: shown.append(messages[-1].content) or inner.script(messages))

    monkeypatch.setattr(room, "scripted", listening)
    extract(shop, ExtractConfig(llm="scripted", only="items"))
    texts = dict(item_texts(shop, load_split(shop).items))
    assert sorted(shown) == sorted(f"<item>\n{text}\n</item>" for text in texts.values())
    assert all("".join(texts.values()).count(unmistakable(int(item))) == 1 for item in texts)
