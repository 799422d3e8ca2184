"""A new item: placed while one writes, kept on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.shop import HACK

Open = Callable[..., Any]


def test_an_item_is_placed_live_and_kept(open_page: Open, own_address: str) -> None:
    page = open_page(f"{own_address}/#/new", allowed=("409",))
    assert page.get_by_role("button", name="Keep this item").is_disabled()
    page.fill("#new-title", f"Shampoo for tests {HACK}")
    page.fill("#new-categories", "Beauty > Hair Care > Shampoos")
    page.wait_for_selector(".placed .pill >> text=Shampoos")
    page.wait_for_selector(".placed .small-disk canvas")
    assert page.locator(".placed .lines li").count() >= 1
    assert page.request.get(f"{own_address}/health").json()["added"] == 0
    made = page.input_value("#new-item_id")
    assert made.startswith("shampoo-for-tests")
    page.get_by_role("button", name="Keep this item").click()
    page.wait_for_selector("form [role=status] >> text=Kept.")
    assert page.request.get(f"{own_address}/health").json()["added"] == 1
    assert page.locator("#news .note").count() == 0, "one's own change is no news"
    page.fill("#new-description", "Another of the same id")
    page.fill("#new-item_id", made)
    page.get_by_role("button", name="Keep this item").click()
    page.wait_for_selector("form >> text=choose another id")
    page.goto(f"{own_address}/#/item/{made}")
    page.wait_for_selector(f"h1 >> text={HACK}")
    page.wait_for_selector(".facts >> text=after training")


def test_a_change_by_others_is_told(open_page: Open, own_address: str) -> None:
    page = open_page(f"{own_address}/#/user/u01")
    page.wait_for_selector(".entry")
    other = {"item_id": "other", "title": "Shampoo of others", "categories": ["Beauty", "Hair Care", "Shampoos"]}
    assert page.request.post(f"{own_address}/items", data={"items": [other], "keep": True}).status == 201
    page.select_option("#k", "20")
    page.wait_for_selector("#news >> text=A newer model is in place")
    page.click("#news button")
    page.wait_for_selector("#news .note", state="detached")
    page.wait_for_selector(".entry")
