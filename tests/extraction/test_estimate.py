"""The estimate: what would be sent, by the code that sends it, without sending."""

from __future__ import annotations

import pytest

from hyperllm.errors import ConfigError
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.estimate import ASSUMED_REPAIRS, estimate
from hyperllm.extraction.extract import extract
from hyperllm.llm.ledger import NAME
from hyperllm.testing.chat_server import ChatServer


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_before_anything_is_asked_everything_is_open_and_no_key_is_needed(workspace):
    found = estimate(workspace, ExtractConfig(llm="openai:gpt-4o-mini"))
    assert [(line.kind, line.open, line.measured) for line in found.lines] == [("item", 6, False), ("user", 6, False)]
    assert found.price is not None
    document = found.document()
    assert document["price_usd"] == pytest.approx(
        (document["input_tokens"] * 0.15 + document["output_tokens"] * 0.6) / 1e6
    )
    assert "genai-prices" in found.text()
    assert "assumed" in found.text()
    assert not (workspace / NAME).exists(), "looking leaves nothing behind"


def test_tokens_come_near_what_is_charged(workspace):
    foreseen = estimate(workspace, ExtractConfig(llm="scripted", only="items"))
    extract(workspace, ExtractConfig(llm="scripted", only="items"))
    (line,) = foreseen.lines
    words = 6 * 200  # the scripted model counts words; a token is about three quarters of one
    assert words / 2 < line.input_tokens / (1 + ASSUMED_REPAIRS) * 0.75 < words * 2


def test_what_is_done_is_not_counted_and_what_was_measured_is_used(workspace):
    with ChatServer() as server:
        config = ExtractConfig(llm="openai:fake", base_url=server.url, limit=2, price="1,2")
        extract(workspace, config)
        asked = server.stats().requests
        rest = estimate(workspace, ExtractConfig(llm="openai:fake", base_url=server.url, price="1,2"))
        assert server.stats().requests == asked, "nothing is sent"
    items, users = rest.lines
    assert (items.open, items.measured, users.measured) == (4, True, True)
    assert rest.spent_usd > 0
    with ChatServer() as server:
        whole = ExtractConfig(llm="openai:fake", base_url=server.url, price="1,2")
        extract(workspace, whole)
        done = estimate(workspace, whole)
    assert [line.open for line in done.lines] == [0, 0]
    assert done.document()["price_usd"] == 0


def test_rates_and_workers_bound_the_time(workspace):
    slow = estimate(workspace, ExtractConfig(llm="scripted", workers=1, calls_per_minute=1))
    assert slow.lines[0].elapsed_s == pytest.approx(60 * slow.lines[0].calls)
    quick = estimate(workspace, ExtractConfig(llm="scripted", workers=100))
    assert quick.lines[0].elapsed_s < 1


def test_only_one_kind_and_unknown_prices(workspace):
    found = estimate(workspace, ExtractConfig(llm="openai:nobody", base_url="http://example.com/v1", only="users"))
    assert [line.kind for line in found.lines] == ["user"]
    assert found.document()["price_usd"] is None
    assert "--price" in found.text()


def test_keywords_cost_nothing_to_ask(workspace):
    with pytest.raises(ConfigError, match="costs nothing"):
        estimate(workspace, ExtractConfig())
