"""The extract stage in a workspace: what is written, skipped, resumed, and never touched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from hyperllm import artifacts
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError, ProviderFaltered, ProviderUnavailable
from hyperllm.extraction import interview as room
from hyperllm.extraction import profiles
from hyperllm.extraction.config import EXTRACT_PRESETS, ExtractConfig, extract_config
from hyperllm.extraction.extract import extract
from hyperllm.extraction.scripted import scripted
from hyperllm.llm.chat import ScriptedChat
from hyperllm.llm.ledger import Ledger


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_keywords_write_profiles_and_tags(workspace):
    done = extract(workspace)
    assert (done.name, done.items, done.skipped) == ("keywords", 6, False)
    found = profiles.load_items(workspace / "profiles" / "keywords")
    assert [p.item_id for p in found] == [f"i{n}" for n in range(6)]
    assert pl.read_parquet(workspace / "profiles" / "items.parquet").height == 6
    graph = TagGraph.load(workspace / "tags" / "keywords")
    assert graph.directed
    assert {graph.names[t]: int(graph.level[t]) for t in range(len(graph.tags))}.items() >= {
        *(("Toys", 1), ("Puzzles", 2), ("Animals", 2), ("Jigsaws", 3), ("Oak", 3)),
    }
    assert done.taxonomy is not None
    assert len(graph.tags) == done.taxonomy.tags
    assert f"{done.taxonomy.tags} tags" in done.text()


def test_what_is_current_is_found_done_and_unchanged(workspace):
    extract(workspace)
    before = state(workspace)
    again = extract(workspace)
    assert again.skipped
    assert "found done" in again.text()
    assert state(workspace) == before
    assert not extract(workspace, ExtractConfig(limit=3)).skipped, "another limit is other work"


def test_the_scripted_model_profiles_users_too(workspace):
    done = extract(workspace, ExtractConfig(llm="scripted"))
    assert (done.items, done.users, done.left_out) == (6, 6, {})
    assert len(profiles.load_users(workspace / "profiles" / "scripted")) == 6
    assert "6 items and 6 users" in done.text()


def test_user_prompts_never_show_held_out_items(workspace, monkeypatch):
    shown: list[str] = []

    def listening() -> ScriptedChat:
        inner = scripted()

        def script(messages):
            shown.append(messages[-1].content)
            return inner.script(messages)

        return ScriptedChat(script)

    monkeypatch.setattr(room, "scripted", listening)
    extract(workspace, ExtractConfig(llm="scripted"))
    user_prompts = shown[6:]
    assert 1 <= len(user_prompts) <= 6, "users with the same training items share one prompt"
    assert {prompt.count("Summary:") for prompt in user_prompts} == {4}, "four of the six clicks are training"


def test_killed_halfway_it_goes_on_where_it_was(workspace, monkeypatch):
    calls: list[str] = []

    def failing_after(count: int):
        def make() -> ScriptedChat:
            inner = scripted()

            def script(messages):
                if len(calls) >= count:
                    raise ProviderUnavailable("the line went dead")
                calls.append(messages[-1].content)
                return inner.script(messages)

            return ScriptedChat(script)

        return make

    monkeypatch.setattr(room, "scripted", failing_after(7))
    with pytest.raises(ProviderUnavailable):
        extract(workspace, ExtractConfig(llm="scripted"))
    assert artifacts.peek(workspace / "profiles" / "scripted") is None
    monkeypatch.setattr(room, "scripted", failing_after(1000))
    done = extract(workspace, ExtractConfig(llm="scripted"))
    assert (done.items, done.users) == (6, 6)
    assert 7 < len(calls) == len(set(calls)) <= 12, "six items and six users, none asked twice"


def test_a_wider_limit_asks_only_what_is_new(workspace, monkeypatch):
    calls: list[str] = []

    def counting() -> ScriptedChat:
        inner = scripted()
        return ScriptedChat(lambda messages: calls.append(messages[-1].content) or inner.script(messages))

    monkeypatch.setattr(room, "scripted", counting)
    assert extract(workspace, ExtractConfig(llm="scripted", limit=2)).items == 2
    assert extract(workspace, ExtractConfig(llm="scripted", limit=4)).items == 4
    about_items = [call for call in calls if "<item>" in call]
    assert len(about_items) == len(set(about_items)) == 4


def test_an_import_is_never_touched(workspace):
    extract(workspace)
    (workspace / "tags" / "keywords").rename(workspace / "tags" / "published")
    before = state(workspace / "tags" / "published")
    extract(workspace)
    extract(workspace, ExtractConfig(llm="scripted"))
    assert state(workspace / "tags" / "published") == before
    with pytest.raises(ConfigError, match="unknown extractor 'published'"):
        ExtractConfig(llm="published")


def test_what_is_left_out_is_said(workspace, monkeypatch):
    def picky() -> ScriptedChat:
        inner = scripted()
        return ScriptedChat(lambda m: "no" if "bear" in m[1].content and "<item>" in m[1].content else inner.script(m))

    monkeypatch.setattr(room, "scripted", picky)
    done = extract(workspace, ExtractConfig(llm="scripted"))
    assert done.items == 5
    assert list(done.left_out) == ["item i2"]
    assert "left out 1, such as item i2: the reply holds no JSON object" in done.text()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"llm": "keyword"}, "'keywords'"),
        ({"limit": 0}, "greater than 0"),
        ({"llm": "published:"}, "unknown extractor"),
        ({"name": "published"}, "plain name"),
        ({"name": "../x"}, "plain name"),
        ({"prompt": "papr"}, "'paper'"),
        ({"only": "item"}, "'items'"),
        ({"batch": True}, "Batch API"),
        ({"workers": 0}, "greater than 0"),
        ({"worker": 3}, "'workers'"),
        ({"preset": "papers"}, "'paper'"),
        ({"hub_share": 2}, "hub_share"),
        ({"hub_share": 0}, "hub_share"),
        ({"merge_encoder": "bogus"}, "unknown encoder"),
    ],
)
def test_wrong_requests(options, reason):
    with pytest.raises(ConfigError, match=reason):
        extract_config(options)


def test_no_tag_at_all_is_an_error_and_writes_nothing(workspace, monkeypatch):
    monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(lambda messages: '{"summary": "s"}'))
    with pytest.raises(DataError, match="no tag could be found"):
        extract(workspace, ExtractConfig(llm="scripted"))
    assert not (workspace / "tags").exists()


def test_the_paper_preset_is_the_papers_choice_and_by_hand_wins():
    config = extract_config({"preset": "paper", "workers": "3"})
    assert (config.prompt, config.workers, config.hub_share) == ("paper", 3, None)
    assert config.llm == EXTRACT_PRESETS["paper"]["llm"] == "openai:meta-llama/Meta-Llama-3-8B-Instruct"
    assert config.set_name == "meta-llama-Meta-Llama-3-8B-Instruct-paper"
    assert extract_config({"preset": "paper", "llm": "scripted"}).set_name == "scripted-paper"


def test_only_items_sends_no_history_and_users_can_come_later(workspace, monkeypatch):
    calls: list[str] = []

    def counting() -> ScriptedChat:
        inner = scripted()
        return ScriptedChat(lambda messages: calls.append(messages[-1].content) or inner.script(messages))

    monkeypatch.setattr(room, "scripted", counting)
    done = extract(workspace, ExtractConfig(llm="scripted", only="items"))
    assert (done.items, done.users, len(calls)) == (6, 0, 6)
    assert not (workspace / "profiles" / "scripted" / "users.parquet").exists()
    calls.clear()
    done = extract(workspace, ExtractConfig(llm="scripted", only="users"))
    assert (done.items, done.users) == (6, 6)
    assert calls
    assert not any("<item>" in call for call in calls)
    calls.clear()
    assert extract(workspace, ExtractConfig(llm="scripted")).users == 6
    assert extract(workspace, ExtractConfig(llm="scripted", only="items")).users == 6, "what is known of users stays"
    assert calls == []


def test_the_budget_keeps_what_is_done_and_goes_on_later(workspace):
    first = ExtractConfig(llm="scripted", price="1000,0", budget=0.4)
    done = extract(workspace, first)
    assert done.stopped is not None
    assert 0 < done.items < 6
    assert profiles.load_items(workspace / "profiles" / "scripted")
    again = extract(workspace, first)
    assert not again.skipped, "an unfinished set is not current"
    whole = extract(workspace, ExtractConfig(llm="scripted", price="1000,0", budget=400))
    assert (whole.items, whole.users, whole.stopped) == (6, 6, None)
    assert extract(workspace, ExtractConfig(llm="scripted", price="1000,0")).skipped


def test_a_budget_without_a_price_is_refused_before_anything_is_sent(workspace):
    config = ExtractConfig(llm="openai:nobody-knows-it", base_url="http://example.invalid/v1", budget=1.0)
    with pytest.raises(ConfigError, match="--price"):
        extract(workspace, config)


def test_the_tag_set_carries_its_report(workspace):
    extract(workspace)
    report = json.loads((workspace / "tags" / "keywords" / "report.json").read_text())
    assert report["tags"] == len(TagGraph.load(workspace / "tags" / "keywords").tags)


def test_another_temperature_never_replaces_a_set_unasked(workspace):
    extract(workspace, ExtractConfig(llm="scripted", temperature=0.0))
    before = state(workspace / "profiles" / "scripted")
    (workspace / "profiles" / "scripted").rename(workspace / "profiles" / "mine")
    with pytest.raises(ConfigError, match=r"made with llm 'scripted'.*--name"):
        extract(workspace, ExtractConfig(llm="keywords", name="mine"))
    assert state(workspace / "profiles" / "mine") == before


def test_the_answer_limit_is_no_part_of_a_question(workspace, monkeypatch):
    extract(workspace, ExtractConfig(llm="scripted"))
    monkeypatch.setattr(room, "scripted", lambda: ScriptedChat(lambda messages: pytest.fail("asked again")))
    assert extract(workspace, ExtractConfig(llm="scripted", max_tokens=77)).skipped


def test_two_scripts_are_two_models(workspace, tmp_path):
    answers = {}
    for name in ("a", "b"):
        script = tmp_path / f"{name}.jsonl"
        tags = [{"name": "Home", "children": []}]
        line = {"match": "<item>", "answer": {"summary": f"By {name}.", "tags": tags}}
        script.write_text(json.dumps(line), encoding="utf-8")
        extract(workspace, ExtractConfig(llm=f"scripted:{script}", hub_share=None))
        found = profiles.load_items(workspace / "profiles" / f"scripted-{name}")
        answers[name] = {p.summary for p in found}
    assert answers == {"a": {"By a."}, "b": {"By b."}}


def test_tags_of_other_profiles_are_made_again(workspace, monkeypatch):
    """Killed between the two artifacts: the profiles are new, the tags are of the old ones."""

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    picky = scripted()
    monkeypatch.setattr(
        room, "scripted", lambda: ScriptedChat(lambda m: "no" if "bear" in m[1].content else picky.script(m))
    )
    extract(workspace, ExtractConfig(llm="scripted", only="items"))
    monkeypatch.setattr(room, "scripted", scripted)
    with monkeypatch.context() as patch:
        patch.setattr(TagGraph, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            extract(workspace, ExtractConfig(llm="scripted", only="items", retry=True))
    done = extract(workspace, ExtractConfig(llm="scripted", only="items"))
    assert not done.skipped
    graph = TagGraph.load(workspace / "tags" / "scripted")
    assert "i2" in graph.items.take(graph.tag_items[:, 1])


def test_users_wait_for_items_that_got_no_answer(workspace, monkeypatch):
    monkeypatch.setattr("hyperllm.llm.caller.FIRST_WAIT_S", 0.001)
    asked: list[str] = []

    def faltering() -> ScriptedChat:
        inner = scripted()

        def script(messages):
            asked.append(messages[-1].content)
            if "bear" in messages[-1].content:
                raise ProviderFaltered("lost")
            return inner.script(messages)

        return ScriptedChat(script)

    monkeypatch.setattr(room, "scripted", faltering)
    done = extract(workspace, ExtractConfig(llm="scripted"))
    assert (done.items, done.users, done.unanswered) == (5, 0, 1)
    assert "users were not asked about" in done.text()
    monkeypatch.setattr(room, "scripted", scripted)
    assert extract(workspace, ExtractConfig(llm="scripted")).users == 6


def test_found_done_says_what_is_there(workspace):
    extract(workspace, ExtractConfig(llm="scripted", limit=2))
    again = extract(workspace, ExtractConfig(llm="scripted", limit=2))
    assert (again.skipped, again.items, again.users) == (True, 2, 2)


def test_a_model_that_cannot_be_reached_leaves_no_call_behind(workspace, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        extract(workspace, ExtractConfig(llm="openai:gpt-4o-mini"))
    with Ledger.read(workspace / "calls.sqlite") as ledger:
        assert ledger is not None
        assert sum(tally.calls for tally in ledger.tallies()) == 0
