"""Search, lists and reasons, with the keyboard and with hostile words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.browser.running import until
from tests.browser.shop import HACK, HOSTILE_USER, NAMED

Open = Callable[..., Any]


def titles(page: Any) -> list[str]:
    page.wait_for_selector(".cards .entry")
    page.wait_for_selector("[aria-busy]", state="detached")
    return page.locator(".entry h3 a").all_text_contents()


def test_the_keyboard_alone_leads_to_recommendations(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.wait_for_selector(".lines li")
    page.keyboard.press("/")
    field = page.locator("[data-search]")
    assert field.evaluate("node => node === document.activeElement")
    assert field.get_attribute("role") == "combobox"
    page.keyboard.type("u03")
    page.wait_for_selector("[role=option] >> text=User u03")
    assert field.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    chosen = page.locator(f"#{field.get_attribute('aria-activedescendant')}")
    assert chosen.get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert field.get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("[role=option] >> text=User u03")
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/user/u03")
    assert len(titles(page)) == 10
    until(page, "document.title === 'User u03 · HyperLLM'")


def test_enter_before_the_answer_takes_the_first_of_it(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.focus("[data-search]")
    page.keyboard.type(NAMED)
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/item/i007")
    page.wait_for_selector(f"h1 >> text={NAMED}")
    assert page.locator(".small-disk canvas").is_visible()
    assert len(titles(page)) == 12


def test_what_is_not_there_is_said(open_page: Open, address: str) -> None:
    page = open_page(address, allowed=("404",))
    page.fill("[data-search]", "zzzz")
    page.wait_for_selector(".options >> text=Nothing found.")
    page.goto(f"{address}/#/user/nobody")
    page.wait_for_selector(".failed >> text=nobody")


def test_filters_and_knobs_change_the_list_and_the_address(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/user/u01")
    plain = titles(page)
    page.select_option("#k", "5")
    until(page, "document.querySelectorAll('.entry').length === 5")
    assert "k=5" in page.url
    page.get_by_role("combobox", name="Only from").fill("makeup")
    page.click("[role=option] >> text=Makeup")
    until(page, "[...document.querySelectorAll('.entry .meta')].every((line) => line.textContent.includes('Makeup'))")
    assert "category=Makeup" in page.url
    page.click(".chip")
    page.wait_for_selector(".chip", state="detached")
    for name in ("diversity", "breadth"):
        page.locator(f"#{name}").evaluate("(node) => { node.value = 1; node.dispatchEvent(new Event('input')); }")
    page.wait_for_url("**breadth=1**")
    page.wait_for_timeout(400)
    assert titles(page) != plain[:5]
    page.get_by_label("high in the tag tree").check()
    page.wait_for_url("**by=level**")
    page.get_by_label("Also what is in the history").check()
    page.wait_for_url("**seen=true**")
    again = titles(page)
    page.reload()
    assert titles(page) == again, "the address is the state"
    page.click("text=Reset")
    until(page, "document.querySelectorAll('.entry').length === 10")
    assert page.url.endswith("#/user/u01")
    assert titles(page) == plain


def test_what_is_in_the_history_is_marked(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/user/u01?seen=true&k=100")
    titles(page)
    assert page.locator(".badge").count() == 4


def test_an_explanation_shows_the_path_the_effects_and_the_parts(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/user/u01")
    titles(page)
    card = page.locator(".entry").first
    assert "Brushes" in card.locator(".why").text_content()
    card.get_by_role("button", name="Why this?").click()
    panel = card.locator(".explanation")
    assert panel.locator(".crumbs li").all_text_contents() == ["Beauty", "Hair Care", "Brushes"]
    rows = panel.locator(".near tbody tr")
    assert rows.count() >= 1
    assert all(float(text) > 0 for text in rows.locator(".effect .digits").all_text_contents())
    assert panel.locator(".parts li").count() == 2
    assert "why=" in page.url
    page.reload()
    page.wait_for_selector(".explanation:not([hidden]) .crumbs")


def test_back_and_forward_go_through_the_views(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.click(".lines a >> nth=0")
    page.wait_for_url("**/#/user/**")
    titles(page)
    page.click(".entry h3 a >> nth=0")
    page.wait_for_url("**/#/item/**")
    page.go_back()
    page.wait_for_url("**/#/user/**")
    page.go_back()
    page.wait_for_selector(".hero")
    assert page.title() == "HyperLLM"
    page.go_forward()
    titles(page)


def test_hostile_words_stay_words(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/item/i000")
    page.wait_for_selector("h1")
    assert page.locator("h1").text_content() == HACK
    assert HACK in page.locator(".description").text_content()
    titles(page)
    page.goto(f"{address}/#/user/{quote(HOSTILE_USER, safe='')}")
    page.wait_for_selector(f"h1 >> text=User {HOSTILE_USER}")
    titles(page)
    page.click("text=See on the disk")
    page.wait_for_selector(".lit ol li")
    for route in ("#/item/i001", "#/item/i002", "#/item/i003", "#/item/i020", "#/item/i040"):
        page.goto(f"{address}/{route}")
        page.wait_for_selector("h1")
        titles(page)
    page.goto(f"{address}/#/tags?q={quote(HACK)}")
    page.wait_for_selector(".empty >> text=No tag holds")
    assert page.locator("main img, main script, main svg").count() == 0


def test_a_user_without_history_is_told_so(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/user/u35")
    page.wait_for_selector(".past .empty")
    assert len(titles(page)) == 10
