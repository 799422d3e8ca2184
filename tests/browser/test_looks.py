"""What holds for every view: contrast by day and by night, narrow screens, names for everything, the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from tests.browser.running import serving, until
from tests.browser.shop import HOSTILE_USER

from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live

Open = Callable[..., Any]
VIEWS = {
    "find": "#/",
    "user": "#/user/u01?why=i021&seen=true",
    "hostile": f"#/user/{quote(HOSTILE_USER, safe='')}",
    "item": "#/item/i003",
    "tags": "#/tags/t04",
    "disk": "#/disk?user=u01&item=i030",
    "new": "#/new",
    "report": "#/report",
}
CONTRAST = """() => {
  const numbers = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length < 4 ? [...found, 1] : found;
  };
  const over = (top, under) => top.slice(0, 3).map((value, n) => value * top[3] + under[n] * (1 - top[3]));
  const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, share, n) => sum + share * linear(rgb[n] / 255), 0);
  const ground = (node) => {
    const all = [];
    for (let each = node; each; each = each.parentElement) all.push(numbers(getComputedStyle(each).backgroundColor));
    return all.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const bad = [];
  let seen = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    const field = node.matches("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
    const shown = node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!(own || field) || !shown || node.closest(".said, .skip")) continue;
    seen += 1;
    const under = ground(node), colours = [getComputedStyle(node).color];
    if (field && node.placeholder) colours.push(getComputedStyle(node, "::placeholder").color);
    for (const colour of colours) {
      const [a, b] = [light(over(numbers(colour), under)), light(under)].sort((x, y) => y - x);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < 4.5) bad.push([node.tagName, node.className, node.textContent.slice(0, 30), colour, contrast]);
    }
  }
  return { seen, bad };
}"""
NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, textarea, canvas")].filter((node) => {
  const labels = [...(node.labels ?? [])].map((label) => label.textContent);
  return ![node.getAttribute("aria-label"), node.textContent, ...labels].join("").trim();
}).map((node) => node.outerHTML)"""


def settled(page: Any) -> None:
    page.wait_for_selector("main h1")
    page.wait_for_selector(".waiting", state="detached")
    page.wait_for_timeout(150)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_page: Open, address: str, scheme: str) -> None:
    page = open_page(address, color_scheme=scheme, reduced_motion="reduce")
    for route in VIEWS.values():
        page.goto(f"{address}/{route}")
        settled(page)
        found = page.evaluate(CONTRAST)
        assert found["seen"] > 12
        assert found["bad"] == [], route
        assert page.evaluate(NAMELESS) == [], route
        assert page.locator("h1").count() == 1, route


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_sticks_out_of_a_narrow_screen(open_page: Open, address: str, width: int) -> None:
    page = open_page(address, width=width, height=700)
    for route in VIEWS.values():
        page.goto(f"{address}/{route}")
        settled(page)
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], (route, wide)


def test_day_and_night_follow_the_system_until_one_chooses(open_page: Open, address: str) -> None:
    page = open_page(address, color_scheme="dark")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    until(page, f"{theme} === 'light'")
    page.click("#theme")
    assert page.evaluate(theme) == "dark"
    page.reload()
    assert page.evaluate(theme) == "dark"
    assert page.locator("#theme").text_content() == "☀ Light"


def test_focus_is_visible_and_goes_to_the_heading_of_a_new_view(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.wait_for_selector(".lines a")
    page.focus(".lines a")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    until(page, "document.activeElement.tagName === 'H1'")


def test_a_key_is_asked_for_and_kept_for_the_tab(open_page: Open, model_folder: Any) -> None:
    key = "a-key-of-many-letters"
    with serving(Live(model_folder, run="locked"), Settings(api_keys=(key,))) as address:
        page = open_page(f"{address}/#/user/u01", allowed=("401",))
        page.wait_for_selector("dialog[open]")
        page.fill("#key", "a-wrong-key-this-is")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open] #key:focus")
        until(page, "document.querySelector('#key').value === ''")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector(".entry")
        assert page.evaluate("sessionStorage.getItem('hyperllm-key')") == key
        assert page.evaluate("localStorage.length") == 0
        page.reload()
        page.wait_for_selector(".entry")


def test_a_server_that_went_away_is_said_in_words(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/user/u01", allowed=("ERR_FAILED",))
    page.wait_for_selector(".entry")
    page.route("**/recommend**", lambda route: route.abort())
    page.select_option("#k", "20")
    page.wait_for_selector(".failed >> text=The server does not answer")
    page.unroute("**/recommend**")
    page.click("text=Try again")
    until(page, "document.querySelectorAll('.entry').length === 20")
