"""Pieces of a page and drawings: texts escaped, axes round, marks where they belong."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.experiments import page
from hyperllm.experiments.drawing import Curve, Dots, Interval, curves, dots, intervals, ticks

NASTY = '<b onclick="x">&amp; "quoted" \'single\' $title'


def test_texts_are_escaped_wherever_they_go() -> None:
    pieces = [
        page.section(NASTY, [page.paragraph(NASTY), page.facts([(NASTY, NASTY)])]),
        page.table([NASTY], [[NASTY]], caption=NASTY),
        page.details(NASTY, page.figure("", NASTY)),
        dots([Dots(NASTY, (0.1, 0.2))], [(NASTY, 0), ("b", 1)], x_name=NASTY, label=NASTY),
    ]
    whole = page.page(NASTY, pieces)
    assert "<b onclick" not in whole
    assert whole.count("&lt;b onclick") >= 10


def test_the_best_cells_are_marked_for_eyes_and_ears() -> None:
    html = page.table(["m", "x"], [["a", "1"], ["b", "2"]], caption="c", best=frozenset({(1, 1)}), own=0)
    assert re.search(r'best"><span role="img" aria-label="best: ">★</span> 2</td>', html)
    assert '<tr class="own"><th scope="row">a</th><td class="number">1</td>' in html


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_cover_the_range_with_a_few_round_steps(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), span)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 9


def test_ticks_by_hand() -> None:
    assert ticks(0.0, 0.1) == [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert ticks(-0.013, 0.031) == [-0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.04]
    assert ticks(0.2, 0.2) != []


def _svg(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_a_curve_has_a_point_an_epoch_and_its_best_marked() -> None:
    found = _svg(curves([Curve("a", [1, 2, 3], [0.1, 0.3, 0.2], 0, best=1)], x_name="epoch", label="l"))
    line = found.find("polyline")
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    dot = found.find("circle")
    assert dot is not None
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == points[1]
    assert points[1][1] == min(y for _, y in points)  # upwards is better
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_intervals_show_zero_and_all_bars_inside_the_drawing() -> None:
    rows = [Interval("R", "over a", 0.02, -0.01, 0.05, 0), Interval("R", "over b", 0.3, 0.2, 0.4, 1)]
    found = _svg(intervals(rows, x_name="x", label="l"))
    width = float(found.attrib["viewBox"].split()[2])
    bars = [line for line in found.iter("line") if line.attrib["stroke-width"] == "3"]
    assert len(bars) == 2
    assert all(0 < float(bar.attrib["x1"]) < float(bar.attrib["x2"]) < width for bar in bars)
    zero = next(line for line in found.iter("line") if "soft" in line.attrib["stroke"])
    assert float(bars[0].attrib["x1"]) < float(zero.attrib["x1"]) < float(bars[1].attrib["x1"])
    assert any(text.text == "0" for text in found.iter("text"))


def test_dots_stand_in_order_of_their_values() -> None:
    found = _svg(dots([Dots("g", (0.4, 0.2))], [("a", 0), ("b", 1)], x_name="x", label="l"))
    a, b = (float(circle.attrib["cx"]) for circle in found.iter("circle"))
    assert a > b
    assert [t.text for t in found.iter("title")] == ["g, a: 0.4000", "g, b: 0.2000"]


def test_one_interval_alone_can_be_drawn() -> None:
    assert "<svg" in intervals([Interval("R", "over a", 0.0, 0.0, 0.0, 0)], x_name="x", label="l")


def test_a_flat_curve_can_be_drawn() -> None:
    assert "polyline" in curves([Curve("a", [1], [0.2], 0)], x_name="x", label="l")


@pytest.mark.parametrize("numbers", [True, False])
def test_columns_are_flush_right_only_where_they_hold_numbers(numbers: bool) -> None:
    assert ("number" in page.table(["a", "b"], [["x", "y"]], caption="c", numbers=numbers)) is numbers


def test_a_page_takes_more_style_and_a_script_and_has_none_otherwise() -> None:
    told = page.page("t", [page.section("h", [], anchor="here")], style=".x { color: red }", script="let $body = 1;\n")
    assert '<section id="here">' in told
    assert ".x { color: red }</style>" in told
    assert "<script>\nlet $body = 1;\n</script>\n</body>" in told
    assert "<script" not in page.page("t", [])
