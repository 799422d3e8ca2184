"""Items that come later are asked about once, through the workspace's ledger."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from hyperllm.data.catalog import Catalog
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.later import later_profiles
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.ledger import Ledger


def test_each_is_asked_once_and_the_silent_not_at_all(tmp_path: Path) -> None:
    new = Catalog.of(pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["Wooden train", "Paint brush", None]}))
    config = ExtractConfig(llm="scripted")
    first, outcome = later_profiles(tmp_path, config, new)
    assert set(first) == {"a", "b"}
    assert all(profile.summary and any(profile.tags) for profile in first.values())
    assert outcome.verdicts["done"] == 2
    with Ledger.opened(tmp_path / LEDGER) as ledger:
        calls = sum(tally.calls for tally in ledger.tallies())
    again, outcome = later_profiles(tmp_path, config, new)
    assert again == first
    with Ledger.opened(tmp_path / LEDGER) as ledger:
        assert sum(tally.calls for tally in ledger.tallies()) == calls
