"""The report and the list of calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperllm.serving.http import about
from hyperllm.serving.http.about import FILES

Open = Callable[..., Any]
INDEX = Path(about.__file__).parent / "web" / "index.html"


def test_the_report_has_what_is_known(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/report")
    page.wait_for_selector(".calls .call")
    text = page.locator("main").inner_text()
    for part in ("Run shop", "recall@20", "0.2500", "1 min 24 s", "0.5123", "1.3 MB", "backbone", "hgcf", "none"):
        assert part in text, part
    ways = page.locator(".call .way").all_text_contents()
    assert {"/recommend", "/similar", "/explain", "/items", "/disk", "/health", "/fold-in"} <= set(ways)


def test_the_page_is_made_of_the_files_it_names(open_page: Open, address: str) -> None:
    """Every file is listed at the top of index.html, served, and used; nothing else is in the folder."""
    head = INDEX.read_text(encoding="utf-8").partition("-->")[0]
    named = set(re.findall(r"\b[a-z]+\.(?:html|js|css|svg)\b", head))
    assert named == {path.name for path in INDEX.parent.iterdir()} == set(FILES)
    page = open_page(address)
    page.wait_for_selector(".lines li")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name.split('/').pop())")
    assert named - {"index.html"} <= set(loaded)


def test_empty_parts_are_said_in_words(open_page: Open, own_address: str) -> None:
    page = open_page(f"{own_address}/#/report")
    page.wait_for_selector(".calls .call")
    assert "None are on record" in page.locator("main").inner_text()
