"""The report and the list of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]


def test_the_report_has_what_is_known(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/report")
    page.wait_for_selector(".calls .call")
    text = page.locator("main").inner_text()
    for part in ("Run shop", "recall@20", "0.2500", "1 min 24 s", "0.5123", "1.3 MB", "backbone", "hgcf", "none"):
        assert part in text, part
    ways = page.locator(".call .way").all_text_contents()
    assert {"/recommend", "/similar", "/explain", "/items", "/disk", "/health", "/fold-in"} <= set(ways)


def test_empty_parts_are_said_in_words(open_page: Open, own_address: str) -> None:
    page = open_page(f"{own_address}/#/report")
    page.wait_for_selector(".calls .call")
    assert "None are on record" in page.locator("main").inner_text()
