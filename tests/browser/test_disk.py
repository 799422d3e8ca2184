"""The disk: what is drawn, what a drag, a zoom and a click do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.browser.running import until

Open = Callable[..., Any]

SEEN = """() => {
  const { items, map, scale } = document.querySelector("canvas").disk;
  return { x: [...items.vx].slice(0, 40), y: [...items.vy].slice(0, 40), scale };
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
GAPS = """async (seen) => {
  const m = await import("/web/moebius.js");
  const at = (n) => ({ x: seen.x[n], y: seen.y[n] });
  return Array.from({ length: 39 }, (_, n) => m.distance(at(n), at(n + 1)));
}"""

UNDER = """async (pixel) => {
  const m = await import("/web/moebius.js"), disk = document.querySelector("canvas").disk;
  return m.apply(m.inverse(disk.map), disk.under(pixel));
}"""


@pytest.fixture
def page(open_page: Open, address: str) -> Any:
    page = open_page(f"{address}/#/disk")
    page.wait_for_selector(".legend .key")
    page.evaluate(FRAME)
    return page


def box(page: Any) -> dict[str, float]:
    return page.locator("canvas").bounding_box()


def pixel(page: Any, item: str) -> tuple[float, float]:
    """Where an item is on the screen."""
    found = page.evaluate(
        "(id) => { const d = document.querySelector('canvas').disk; const n = d.data.items.id.indexOf(id);"
        " return d.pixel(d.point({ kind: 'item', index: n })); }",
        item,
    )
    return box(page)["x"] + found["x"], box(page)["y"] + found["y"]


def test_a_drag_is_an_isometry_that_carries_the_point_along(page: Any) -> None:
    before = page.evaluate(SEEN)
    x, y = pixel(page, "i030")
    middle = box(page)["x"] + box(page)["width"] / 2, box(page)["y"] + box(page)["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(middle[0] + 30, middle[1] - 60, steps=6)
    page.mouse.up()
    page.evaluate(FRAME)
    after = page.evaluate(SEEN)
    assert after["x"] != before["x"]
    assert page.evaluate(GAPS, after) == pytest.approx(page.evaluate(GAPS, before), abs=1e-6)
    assert pixel(page, "i030") == pytest.approx((middle[0] + 30, middle[1] - 60), abs=2)


def test_the_wheel_zooms_towards_the_pointer(page: Any) -> None:
    before = page.evaluate(SEEN)
    x, y = (round(value) for value in pixel(page, "i030"))  # a wheel event knows whole pixels
    where = {"x": x - box(page)["x"], "y": y - box(page)["y"]}
    point = page.evaluate(UNDER, where)
    page.mouse.move(x, y)
    for _ in range(5):
        page.mouse.wheel(0, -240)
    until(page, "document.querySelector('canvas').disk.scale > 3")
    page.evaluate(FRAME)
    after = page.evaluate(SEEN)
    seen = page.evaluate("(point) => document.querySelector('canvas').disk.pixel(point)", point)
    assert (seen["x"], seen["y"]) == pytest.approx((where["x"], where["y"]), abs=1)
    assert page.evaluate(GAPS, after) == pytest.approx(page.evaluate(GAPS, before), abs=1e-6)
    page.get_by_role("button", name="Start over").click()
    page.evaluate(FRAME)
    assert page.evaluate(SEEN) == before


def test_keys_and_buttons_move_and_zoom(page: Any) -> None:
    before = page.evaluate(SEEN)
    page.focus("canvas")
    page.keyboard.press("ArrowLeft")
    page.evaluate(FRAME)
    moved = page.evaluate(SEEN)
    assert moved["x"][0] > before["x"][0]
    assert "In the middle" in page.locator(".canvas-side .said").text_content()
    page.keyboard.press("+")
    page.get_by_role("button", name="Zoom in").click()
    assert page.evaluate(SEEN)["scale"] == pytest.approx(1.95)
    page.get_by_role("button", name="Zoom out").click()
    page.focus("canvas")
    page.keyboard.press("0")
    page.evaluate(FRAME)
    assert page.evaluate(SEEN) == before
    page.keyboard.press("Enter")
    page.wait_for_selector(".picked h2")


def test_a_double_click_centres_and_a_click_opens(page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    x, y = pixel(page, "i030")
    page.mouse.dblclick(x, y)
    page.wait_for_selector(".picked h2")
    until(
        page,
        "(({ canvas, middle }) => canvas.disk.nearest(middle, 3) !== null)(document.querySelector('canvas').disk)",
    )
    page.get_by_role("button", name="Close").click()
    page.wait_for_selector(".picked h2", state="detached")
    assert page.url.endswith("#/disk")


def test_a_user_is_lit_up_and_listed(page: Any) -> None:
    page.get_by_role("combobox", name="Light up a user").fill("u02")
    page.click("[role=option] >> text=User u02")
    page.wait_for_selector(".lit ol li")
    lit = page.evaluate("document.querySelector('canvas').disk.lit")
    assert len(lit["recommended"]) == 10
    assert len(lit["history"]) == 4
    assert abs(lit["user"]["x"]) < 1
    assert page.locator(".lit ol a").count() == 10
    assert page.locator(".lit ul a").count() == 4
    page.locator(".lit ol a").first.click()
    page.wait_for_selector(".picked h2")
    assert "user=u02" in page.url
    page.get_by_role("button", name="Put out").click()
    page.wait_for_selector(".lit ol", state="detached")
    page.go_back()
    page.wait_for_selector(".lit ol li")


def test_the_legend_counts_and_hides(page: Any) -> None:
    keys = dict(
        zip(
            page.locator(".key .text").all_text_contents(),
            page.locator(".key .detail").all_text_contents(),
            strict=True,
        )
    )
    assert keys == {"Hair Care": "40", "Skin Care": "40", "Makeup": "40", "Tags": "11"}
    page.click(".key >> text=Makeup")
    assert page.evaluate("document.querySelector('canvas').disk.items.shown.reduce((a, b) => a + b)") == 80
    tint = "getComputedStyle(document.querySelector('.key .swatch')).backgroundColor"
    by_day = page.evaluate(tint)
    page.click("#theme")
    assert page.evaluate(tint) != by_day
    page.get_by_label("tag level").check()
    page.wait_for_selector(".key >> text=Level 1")
    assert page.url.endswith("colour=level")


def test_the_tooltip_tells_the_title(page: Any) -> None:
    page.mouse.move(*pixel(page, "i000"))
    page.wait_for_selector(".tip:visible")
    assert page.locator(".tip strong").text_content()
    page.mouse.move(5, 5)
    page.wait_for_selector(".tip", state="hidden")


def test_twenty_thousand_points_stay_smooth(page: Any) -> None:
    """Fewer are drawn while moving where a machine is slow; a software-drawn frame still has to be quick."""
    page.evaluate("""() => {
      const disk = document.querySelector("canvas").disk, n = 20000, data = structuredClone(disk.data);
      const r = (k) => 0.95 * Math.sqrt((k % 997) / 997);
      data.items = { id: [], title: [], x: [], y: [], category: [] };
      for (let k = 0; k < n; k++) {
        data.items.id.push(`p${k}`); data.items.title.push(`Point ${k}`); data.items.category.push(k % 3);
        data.items.x.push(r(k) * Math.cos(k)); data.items.y.push(r(k) * Math.sin(k));
      }
      disk.load(data);
    }""")
    size = box(page)
    page.mouse.move(size["x"] + 300, size["y"] + 300)
    page.mouse.down()
    frames: list[float] = []
    for step in range(30):
        page.mouse.move(size["x"] + 300 + 4 * step, size["y"] + 300 + 2 * step)
        page.evaluate(FRAME)
        frames.append(page.evaluate("document.querySelector('canvas').disk.frameMs"))
    page.mouse.up()
    assert sorted(frames[10:])[len(frames[10:]) // 2] < 60, frames


def test_two_fingers_zoom(open_page: Open, address: str) -> None:
    page = open_page(f"{address}/#/disk", width=390, height=800, has_touch=True, is_mobile=True)
    page.wait_for_selector(".legend .key")
    page.evaluate(FRAME)
    before = page.evaluate(SEEN)
    size, session = box(page), page.context.new_cdp_session(page)
    x, y = size["x"] + size["width"] / 2, size["y"] + size["height"] / 2

    def touch(kind: str, apart: float | None) -> None:
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 30)
    for apart in (40, 60, 80, 90):
        touch("touchMove", apart)
    touch("touchEnd", None)
    page.evaluate(FRAME)
    after = page.evaluate(SEEN)
    assert after["scale"] == pytest.approx(3, rel=0.1)
    assert page.evaluate(GAPS, after) == pytest.approx(page.evaluate(GAPS, before), abs=1e-6)
    assert page.locator(".picked h2").count() == 0
