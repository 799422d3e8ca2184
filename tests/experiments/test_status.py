"""Status and cost: true at any moment, also while another process works."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import Incomplete
from hyperllm.experiments.status import costs, status
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.llm.ledger import NAME, Call, Ledger


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    clicks, items = tmp_path / "clicks.csv", tmp_path / "items.csv"
    clicks.write_text("user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u in range(4) for i in range(5)))
    items.write_text("item_id,title\n" + "".join(f"i{i},vase number{i}\n" for i in range(5)))
    prepare(tmp_path / "shop", read_table(clicks, items), config=PrepareConfig(core=1))
    return tmp_path / "shop"


def test_a_fresh_workspace_has_stages_and_no_costs(shop):
    found = status(shop)
    assert {stage.name: stage.text() for stage in found.stages}["profiles"] == "none"
    assert found.series == ()
    assert costs(shop).remarks() == ["no language model was asked"]


def test_what_was_asked_is_counted_by_set_and_kind(shop):
    extract(shop, ExtractConfig(llm="scripted", price="1,1"))
    items, users = status(shop).series
    assert items.row() == ["scripted", "item", 5, 5, 0, 0, 0, 0, 0]
    assert users.tally.done >= 1
    assert users.open == 0, "users with equal histories share a call, and all are done"
    assert status(shop).document()["stages"]["tags"]["scripted"]["facts"]["tags"] > 0
    found = costs(shop).document()
    assert found["price_usd"] == pytest.approx((found["input_tokens"] + found["output_tokens"]) / 1e6)
    assert "given by the user" in " ".join(costs(shop).remarks())


def test_calls_on_their_way_and_lost_ones_are_shown(shop):
    with Ledger.opened(shop / NAME) as ledger:
        ledger.want("model", "item", 7, None)
        ledger.begin(Call(b"q" * 32, 1, "model", "item"))
        (line,) = status(shop).series
        assert (line.on_the_way, line.open, line.tally.lost) == (1, 7, 0)
    with Ledger.opened(shop / NAME):
        pass
    (line,) = status(shop).series
    assert (line.on_the_way, line.tally.lost) == (0, 1)
    assert any("killed" in remark for remark in costs(shop).remarks())


def test_a_set_that_stopped_early_says_so(shop):
    extract(shop, ExtractConfig(llm="scripted", price="1000,0", budget=0.4))
    assert "unfinished" in next(stage for stage in status(shop).stages if stage.name == "profiles").text()


def test_no_workspace_is_an_error(tmp_path):
    with pytest.raises(Incomplete):
        status(tmp_path / "nowhere")
