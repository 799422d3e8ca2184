"""extract, status, cost and embed with a model behind a server, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Command

from hyperllm.data.prepare import prepare
from hyperllm.data.sources.table import read_table
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig

KEY = "sk-a-secret-of-the-user-0123456789"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    clicks, items = tmp_path / "clicks.csv", tmp_path / "items.csv"
    clicks.write_text("user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u in range(6) for i in range(8)))
    kinds = ["amber", "coral", "fern", "jade"]
    items.write_text("item_id,title\n" + "".join(f"i{i},{kinds[i % 4]} vase number{i}\n" for i in range(8)))
    prepare(tmp_path / "shop", read_table(clicks, items))
    return tmp_path / "shop"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_estimate_then_extract_then_status_and_cost(hyperllm: Command, shop: Path) -> None:
    with ChatServer(ServerConfig(api_key=KEY)) as server:
        options = ("extract", str(shop), "--llm", "openai:gpt-4o-mini", "--base-url", server.url, "--price", "0.15,0.6")
        foreseen = hyperllm(*options, "--estimate", "--json").document
        assert server.stats().requests == 0
        done = hyperllm(*options, "--json").document
        assert (done["items"], done["users"]) == (8, 6)
        assert hyperllm(*options).out.strip() == "gpt-4o-mini: found done"
    assert foreseen["calls"] >= 8
    spent = hyperllm("cost", str(shop), "--json").document
    assert spent["price_usd"] > 0
    assert {line["kind"] for line in spent["lines"]} == {"item", "user"}
    told = hyperllm("status", str(shop), "--json").document
    assert told["stages"]["profiles"]["gpt-4o-mini"]["facts"]["items"] == 8
    for command in ("status", "cost"):
        assert "gpt-4o-mini" in hyperllm(command, str(shop)).out
    assert pl.read_parquet(shop / "profiles" / "items.parquet").height == 8


def test_a_budget_that_is_used_up_ends_with_1_and_a_larger_one_goes_on(hyperllm: Command, shop: Path) -> None:
    with ChatServer() as server:
        options = ("extract", str(shop), "--llm", "openai:m", "--base-url", server.url, "--price", "100,0")
        ended = hyperllm(*options, "--budget", "0.1")
        assert ended.code == 1
        assert "stopped early" in ended.out
        assert hyperllm("cost", str(shop), "--json").document["price_usd"] <= 0.1
        assert hyperllm(*options, "--budget", "20").code == 0


@pytest.mark.parametrize("fault", [None, "server_error", "bad_request", "refusal", "html"])
def test_the_key_is_nowhere_but_in_the_request(
    hyperllm: Command, shop: Path, fault: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperllm.llm.caller.FIRST_WAIT_S", 0.001)
    plan = FaultPlan(0, {}, always={"number3": fault}) if fault else None
    with ChatServer(ServerConfig(api_key=KEY, faults=plan)) as server:
        ended = hyperllm("--debug", "extract", str(shop), "--llm", "openai:m", "--base-url", server.url)
        assert server.stats().authorized > 0
    assert KEY not in ended.out + ended.err
    for path in shop.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_wrong_key_ends_at_once_and_says_where_to_look(hyperllm: Command, shop: Path) -> None:
    with ChatServer(ServerConfig(api_key="another")) as server:
        ended = hyperllm("extract", str(shop), "--llm", "openai:m", "--base-url", server.url, "--workers", "2")
    assert ended.code == 1
    assert "401" in ended.err
    assert "key" in ended.err
    assert server.stats().requests <= 4
    assert KEY not in ended.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--llm", "openai:"), "needs a name"),
        (("--llm", "gguf:missing.gguf"), "not a file"),
        (("--llm", "scripted:none.jsonl"), "no script"),
        (("--llm", "openai:m", "--base-url", "host/v1"), "https://host/v1"),
        (("--llm", "openai:m", "--only", "tags"), "only"),
        (("--llm", "openai:m", "--price", "cheap"), "0.15,0.60"),
        (("--set", "wokers=3"), "workers"),
    ],
)
def test_wrong_requests_end_with_2(hyperllm: Command, shop: Path, options: tuple[str, ...], reason: str) -> None:
    ended = hyperllm("extract", str(shop), *options)
    assert ended.code == 2, ended.err
    assert reason in ended.err


def test_a_script_answers(hyperllm: Command, shop: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    tags = [{"name": "Home", "children": [{"name": "Vase", "children": ["Amber"]}]}]
    line = {"match": "number0", "answer": {"summary": "An amber vase.", "tags": tags}}
    script.write_text(json.dumps(line) + "\n")
    assert hyperllm("extract", str(shop), "--llm", f"scripted:{script}").code == 0
    found = pl.read_parquet(shop / "profiles" / "items.parquet").row(0, named=True)
    assert (found["summary"], found["tags_level_3"]) == ("An amber vase.", ["Amber"])


def test_embed_through_a_server_is_counted_too(hyperllm: Command, shop: Path) -> None:
    with ChatServer() as server:
        options = ("embed", str(shop), "--encoder", "openai:text-embedding-3-small", "--base-url", server.url)
        assert hyperllm(*options, "--dimensions", "24", "--price", "0.02").code == 0
        asked = server.stats().embeddings
        assert "found done" in hyperllm(*options, "--dimensions", "24").out
        assert server.stats().embeddings == asked
    (line,) = hyperllm("cost", str(shop), "--json").document["lines"]
    assert (line["kind"], line["input_tokens"] > 0) == ("text", True)
    assert (shop / "semantics" / "text-embedding-3-small").is_dir()


def test_the_papers_preset_reaches_every_stage(hyperllm: Command, shop: Path) -> None:
    with ChatServer(ServerConfig(embedding_dim=3072)) as server:
        reach = ("--preset", "paper", "--base-url", server.url)
        assert hyperllm("extract", str(shop), *reach).code == 0
        assert hyperllm("embed", str(shop), *reach).code == 0
    manifest = hyperllm("status", str(shop), "--json").document["stages"]["semantics"]["text-embedding-3-large"]
    assert manifest["facts"]["dim"] == 3072
