"""A server that fails in every way: everybody ends as done or quarantined, and every charged call is accounted for."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ProviderUnavailable
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.llm import caller as retrying
from hyperllm.llm.ledger import NAME, Ledger, Tally
from hyperllm.testing.chat_server import KINDS, ChatServer, FaultPlan, ServerConfig

ITEMS = 150
BUSY = ("rate_limit", "overloaded")
LOST = (*BUSY, "server_error", "bad_gateway", "reset", "cut_body", "html", "not_json", "no_choices")
BAD = ("empty", "null_content", "cut_answer", "malformed_answer", "bad_edges", "two_levels")
NO = ("refusal", "content_filter", "bad_request")
ALWAYS = {
    "number7x": ("server_error", "unanswered", "500"),
    "number17x": ("malformed_answer", "quarantined", "no JSON object"),
    "number27x": ("refusal", "quarantined", "refused"),
    "number37x": ("content_filter", "quarantined", "content filter"),
    "number47x": ("bad_request", "quarantined", "400"),
    "number57x": ("cut_answer", "quarantined", "cut off at its length limit"),
    "number67x": ("two_levels", "quarantined", "two levels"),
    "number77x": ("html", "unanswered", "no JSON object"),
    "number87x": ("rate_limit", "unanswered", "429"),
    "number97x": ("reset", "unanswered", "was lost"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    clicks, items = folder / "clicks.csv", folder / "items.csv"
    clicks.write_text("user_id,item_id\n" + "".join(f"u,{i}\nv,{i}\nw,{i}\n" for i in range(ITEMS)), encoding="utf-8")
    lines = [f"{i},number{i}x thing of kind{'abc'[i % 3]}\n" for i in range(ITEMS)]
    items.write_text("item_id,title\n" + "".join(lines), encoding="utf-8")
    prepare(folder / "shop", read_table(clicks, items), config=PrepareConfig(core=1))
    return folder / "shop"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def tally(workspace: Path, series: str) -> Tally:
    with Ledger.read(workspace / NAME) as ledger:
        assert ledger is not None
        (found,) = [t for t in ledger.tallies() if t.series == series and t.kind == "item"]
        return found


def ask(shop: Path, plan: FaultPlan, name: str, **more: object) -> tuple[Tally, int, dict[str, int]]:
    """(what the ledger says, what the server charged for, how often each fault struck); ``name`` is the model's."""
    with ChatServer(ServerConfig(faults=plan)) as server:
        options = {"workers": 16, "timeout": 5.0, "only": "items", **more}
        extract(shop, ExtractConfig(llm=f"openai:{name}", base_url=server.url, **options))  # type: ignore[arg-type]
        stats = server.stats()
    return tally(shop, name), stats.billed, dict(stats.faults)


def test_every_kind_of_fault_is_covered_here():
    assert {*LOST, *BAD, *NO, "stall"} == set(KINDS)


@pytest.mark.parametrize("seed", [0, 1])
def test_lost_calls_are_asked_again_and_every_charged_call_is_known(shop, seed):
    rates = dict.fromkeys(LOST, 0.02)
    found, billed, faults = ask(shop, FaultPlan(seed, rates, retry_after_s=0.05), f"lost{seed}")
    assert found.done == ITEMS
    assert set(faults) <= set(LOST)
    assert len(faults) >= 6
    assert found.failed == sum(faults.values()), "each fault is one call that failed"
    assert billed == found.answered + faults.get("cut_body", 0), "a body that was cut was charged for"
    assert found.answered == ITEMS


def test_malformed_answers_cost_one_repair_each_and_refusals_none(shop):
    rates = {**dict.fromkeys(BAD, 0.02), **dict.fromkeys(NO, 0.01)}
    found, billed, faults = ask(shop, FaultPlan(3, rates), "bad")
    assert found.done + found.quarantined == ITEMS
    assert found.unanswered == 0
    assert found.refused == sum(faults.get(kind, 0) for kind in NO)
    assert found.answered + found.refused - faults.get("bad_request", 0) == billed
    assert found.answered + found.refused == ITEMS + found.calls - ITEMS
    assert found.repairs >= sum(faults.get(kind, 0) for kind in BAD) - found.quarantined


def test_items_that_always_fail_end_with_the_right_reason_and_harm_nobody(shop):
    plan = FaultPlan(4, {}, always={text: kind for text, (kind, _, _) in ALWAYS.items()}, retry_after_s=0.02)
    found, _, _ = ask(shop, plan, "always")
    assert found.done == ITEMS - len(ALWAYS)
    rows = pl.read_parquet(shop / "profiles" / "always" / "left_out.parquet").iter_rows(named=True)
    ended = [(row["verdict"], row["reason"]) for row in rows]
    assert len(ended) == len(ALWAYS)
    for _, verdict, reason in ALWAYS.values():
        assert any(v == verdict and reason in r for v, r in ended), (verdict, reason, ended)


def test_a_stalled_call_is_given_up_and_asked_again(shop):
    plan = FaultPlan(5, {"stall": 0.05}, stall_s=30.0)
    found, billed, faults = ask(shop, plan, "stall", limit=60, timeout=0.5)
    assert found.done == 60
    assert found.failed == faults["stall"] > 0
    assert billed == 60


def test_a_server_that_is_gone_ends_the_work_soon_and_keeps_it(shop):
    with ChatServer() as server:
        url = server.url
    with pytest.raises(ProviderUnavailable, match="came to nothing"):
        extract(shop, ExtractConfig(llm="openai:gone", base_url=url, only="items"))
    with ChatServer() as server:
        config = ExtractConfig(llm="openai:gone", base_url=server.url, only="items")
        assert extract(shop, config).items == ITEMS
