"""Markdown, CSV and LaTeX of one small sheet."""

from __future__ import annotations

import csv as tables
import io
import re

import pytest

from hyperllm.evaluation.compare import Cell
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.render import csv, latex, legend, markdown
from hyperllm.experiments.paper.sheet import Column, Measured, Number, Row, Sheet, assemble, gains
from hyperllm.experiments.paper.tables import table3_sheet, table4_sheet

NASTY = r"a|b_c*d & 5% <e> \f"
COLUMNS = (Column("recall", "R"), Column("seconds", "Time (s)", ",.0f", "cheaper"))
BASE, KAR, OWN, DEAD = (("hgcf", name) for name in ("base", "kar", "hyperllm", "rlmrec-con"))


def small() -> Sheet:
    measured = {
        BASE: {"recall": Measured(0.1), "seconds": Measured(1234.5)},
        KAR: {"recall": Measured(0.09), "seconds": Measured(50.0)},
        OWN: {"recall": Measured(0.125, 0.00123, 3), "seconds": Measured(40.0)},
        ("plain", "ease"): {"recall": Measured(0.13)},
    }
    published = {BASE: {"recall": 0.11}, OWN: {"recall": 0.121}}
    told = Cell("run", "recall", 0.125, None, 3, "", difference=0.025, low=0.02, high=0.03, p_value=0.001)
    return assemble(
        "small",
        "A small table",
        COLUMNS,
        [BASE, KAR, DEAD, OWN, ("plain", "ease")],
        measured=measured,
        published=published,
        significance={OWN: {"recall": told}},
        missing={DEAD: "diverged in epoch 3"},
        notes=["A note."],
    )


def nasty() -> Sheet:
    row = Row(NASTY, NASTY, {"x": Number(1.0)}, missing=NASTY)
    return Sheet(NASTY, NASTY, (Column("x", NASTY),), (row,), (NASTY, NASTY), (NASTY,))


def test_markdown_by_hand() -> None:
    assert markdown(small()).splitlines() == [
        "**A small table**",
        "",
        "| Backbone | Variant | R | paper | Time (s) |",
        "| --- | --- | ---: | ---: | ---: |",
        "| HGCF | Base | <ins>0.1000</ins> | 0.1100 | 1,234 |",
        "| HGCF | KAR | 0.0900 (-10.0%) | – | <ins>50</ins> |",
        "| HGCF | RLMRec-Con (diverged in epoch 3) | – | – | – |",
        r"| HGCF | HyperLLM | **0.1250**\* ±0.0012 (+25.0%) | 0.1210 (+10.0%) | **40** |",
        "| HGCF | Best Imprv. | +25.0% | +10.0% | – |",
        "| Plain | EASEᴿ | **0.1300**† | – | – |",
        "",
        "Bold: the best of its group; underlined: the second. † the best of all rows. ± standard deviation over seeds; "
        "without it one seed. In brackets: change against the group's base. \\* differs from the group's base (paired "
        r"test over users, p \< 0.05 after Holm's correction). A note.",
    ]


def test_every_markdown_line_has_as_many_cells_as_the_head() -> None:
    for sheet in (table3_sheet("beauty", {}), table4_sheet("shop", {}), nasty()):
        blocks = [block for block in markdown(sheet).split("\n\n") if block.startswith("|")]
        assert blocks
        for block in blocks:
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(counts) == 1


def test_the_legend_explains_only_what_is_there() -> None:
    plain = assemble("t", "T", COLUMNS, [BASE], measured={BASE: {"recall": Measured(0.1)}}, published={})
    assert legend(plain) == ""
    assert markdown(plain).endswith("| HGCF | Base | 0.1000 | – |\n")


def test_csv_has_a_line_a_cell_with_numbers_in_full() -> None:
    lines = list(tables.DictReader(io.StringIO(csv(small()))))
    assert len(lines) == 6 * len(COLUMNS)
    own = next(line for line in lines if (line["name"], line["column"]) == ("hyperllm", "recall"))
    told = {"value": 0.125, "std": 0.00123, "seeds": 3, "published": 0.121, "low": 0.02, "high": 0.03, "p_value": 0.001}
    assert {name: float(own[name]) for name in told} == told
    assert float(own["gain"]) == pytest.approx(0.25)
    assert float(own["published_gain"]) == pytest.approx(0.1)
    assert (own["table"], own["group"], own["mark"]) == ("small", "hgcf", "best")
    dead = next(line for line in lines if line["name"] == "rlmrec-con")
    assert (dead["value"], dead["seeds"], dead["missing"]) == ("", "0", "diverged in epoch 3")


def test_csv_ends_with_the_summary() -> None:
    lines = list(tables.DictReader(io.StringIO(csv(table3_sheet("beauty", {})))))
    assert {line["table"] for line in lines} == {"table3", "table3-gains"}


def test_latex_by_hand() -> None:
    lines = latex(small()).splitlines()
    assert lines[0] == "% A small table"
    assert lines[2:] == [
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r"Backbone & Variant & R & paper & Time (s) \\",
        r"\midrule",
        r"HGCF & Base & \underline{0.1000} & 0.1100 & 1,234 \\",
        r" & KAR & 0.0900 {\small($-10.0\%$)} & -- & \underline{50} \\",
        r" & RLMRec-Con (diverged in epoch 3) & -- & -- & -- \\",
        r" & HyperLLM & \textbf{0.1250}$^{*}$ {\small$\pm$0.0012} {\small($+25.0\%$)} & 0.1210 {\small($+10.0\%$)} & "
        r"\textbf{40} \\",
        r" & Best Imprv. & +25.0\% & +10.0\% & -- \\",
        r"\midrule",
        r"Plain & EASE$^R$ & \textbf{0.1300}$^{\dagger}$ & -- & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_tables_are_balanced_and_texts_are_escaped() -> None:
    for sheet in (table3_sheet("beauty", {}), table4_sheet("shop", {}), nasty()):
        text = latex(sheet)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        spec = re.findall(r"tabular\}\{(\w+)\}", text)
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(spec)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(each) for each in spec}
        body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
        assert not re.search(r"(?<!\\)[%#_]", body)
        assert body.count("{") == body.count("}")
        assert body.isascii()


def test_the_summary_follows_its_sheet() -> None:
    sheet = table3_sheet("beauty", {})
    assert sheet.summary == gains(sheet, stated=facts.GAINS)
    for text in (markdown(sheet), latex(sheet)):
        assert text.index("Gains of HyperLLM") > text.index("Best Imprv.")
    assert "| HGCF (not trained yet) | – | +14.7% | – | +17.8% | +25.5% | +35.3% |" in markdown(sheet)


def test_a_spread_has_no_sign_of_its_own() -> None:
    column = Column("lift", "Lift", "+.2f", "neither")
    sheet = Sheet("x", "X", (column,), (Row("", "a", {"lift": Number(0.5, std=0.25, seeds=3)}),), ("", "Model"))
    assert "+0.50 ±0.25" in markdown(sheet)
