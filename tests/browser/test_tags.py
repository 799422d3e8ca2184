"""The tag tree, by keys and by links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.running import until
from tests.browser.shop import HOSTILE_TAG

Open = Callable[..., Any]


def focused(page: Any) -> str:
    return page.evaluate("document.activeElement.querySelector('.text')?.textContent ?? ''")


def test_arrow_keys_walk_the_tree(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/tags")
    page.wait_for_selector("[role=treeitem][aria-level='2']")
    page.focus("[role=treeitem]")
    assert focused(page) == "Beauty"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert focused(page) == "Beauty"
    page.keyboard.press("h")
    assert focused(page) == "Hair Care"
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("[role=treeitem][aria-level='3'] >> text=Shampoos")
    page.keyboard.press("ArrowRight")
    assert focused(page) in ("Brushes", "Shampoos")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tag-panel h2 >> text=S")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    open_item = page.locator("[role=treeitem]", has_text="Hair Care").nth(1)
    assert open_item.get_attribute("aria-expanded") in ("true", "false")
    page.keyboard.press("ArrowLeft")
    assert page.locator("[role=treeitem][tabindex='0']").count() == 1


def test_a_tag_shows_parents_children_and_items(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/tags")
    page.fill("#tag-search", "shampoo")
    page.wait_for_selector("[role=treeitem] >> text=Shampoos")
    assert "q=shampoo" in page.url
    page.click("[role=treeitem] >> text=Shampoos")
    page.wait_for_selector(".tag-panel h2 >> text=Shampoos")
    until(page, "document.title === 'Tag Shampoos · HyperLLM'")
    assert page.locator(".tag-panel .pill").all_text_contents() == ["Hair Care", HOSTILE_TAG]
    assert page.locator(".tag-panel .lines li").count() == 20
    assert page.locator(".tag-panel .lines li:visible").count() == 12
    page.click("text=Show all 20")
    assert page.locator(".tag-panel .lines li:visible").count() == 20
    page.click(f".pill >> text={HOSTILE_TAG}")
    page.wait_for_selector(f".tag-panel h2 >> text={HOSTILE_TAG}")
    page.go_back()
    page.wait_for_selector(".tag-panel h2 >> text=Shampoos")
    page.click("text=See on the disk")
    page.wait_for_selector(".picked h2 >> text=Shampoos")
    assert page.evaluate("document.querySelector('canvas').disk.lit.focus.kind") == "tag"
