"""A sheet by hand: marks, gains, "Best Imprv.", what is missing, and the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import DataError
from hyperllm.evaluation.compare import Cell
from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.sheet import (
    IMPROVEMENT,
    UNTRAINED,
    Column,
    Measured,
    Number,
    Row,
    Sheet,
    assemble,
    gains,
)
from hyperllm.training.report import SELECTION

RECALL = Column("recall", "R")
SECONDS = Column("seconds", "Time", ",.0f", "cheaper")
GINI = Column("gini", "Gini", ".2f", "lower")
NOVELTY = Column("novelty", "Novelty", ".1f", "neither")


def sheet(
    values: Mapping[tuple[str, str], Mapping[str, float]], columns: Sequence[Column] = (RECALL,), **more: Any
) -> Sheet:
    measured = {key: {name: Measured(v) for name, v in row.items()} for key, row in values.items()}
    keys = more.pop("keys", list(values))
    return assemble("t", "T", columns, keys, measured=measured, published=more.pop("published", {}), **more)


def cell(found: Sheet, group: str, name: str, column: str = "recall") -> Number:
    return row(found, group, name).cells[column]


def row(found: Sheet, group: str, name: str) -> Row:
    return next(row for row in found.rows if (row.group, row.name) == (group, name))


def marks(found: Sheet, column: str = "recall") -> list[str]:
    return [row.cells[column].mark for row in found.rows if not row.derived]


def test_gains_are_over_the_base_of_the_group() -> None:
    found = sheet(
        {("a", "base"): {"recall": 0.2}, ("a", "kar"): {"recall": 0.25}, ("b", "kar"): {"recall": 0.3}},
        published={("a", "base"): {"recall": 0.1}, ("a", "kar"): {"recall": 0.08}},
    )
    assert cell(found, "a", "base").gain is None
    assert cell(found, "a", "kar").gain == pytest.approx(0.25)
    assert cell(found, "a", "kar").published_gain == pytest.approx(-0.2)
    assert cell(found, "b", "kar").gain is None


def test_best_improvement_is_of_the_best_variant_which_need_not_be_hyperllm() -> None:
    values = {("a", "base"): 0.2, ("a", "semantic"): 0.3, ("a", "hyperllm"): 0.25}
    found = sheet({key: {"recall": value, "seconds": 1.0} for key, value in values.items()}, (RECALL, SECONDS))
    last = found.rows[-1]
    assert (last.group, last.name, last.derived) == ("a", IMPROVEMENT, True)
    assert last.cells == {"recall": Number(pytest.approx(0.5))}


def test_gains_over_another_row_than_the_base_are_no_improvement() -> None:
    measured = {("a", "base"): {"recall": Measured(0.3)}, ("a", "best"): {"recall": Measured(0.4)}}
    found = assemble("t", "T", (RECALL,), list(measured), measured=measured, published={}, reference="best", own="best")
    assert [row.name for row in found.rows] == ["base", "best"]
    assert cell(found, "a", "base").gain == pytest.approx(-0.25)
    assert cell(found, "a", "best").gain is None
    assert found.own == "best"


def test_a_group_without_gains_has_no_improvement() -> None:
    found = sheet({("plain", "ease"): {"recall": 0.2}, ("plain", "als"): {"recall": 0.3}})
    assert [row.name for row in found.rows] == ["ease", "als"]


def test_the_first_two_of_a_group_and_the_first_of_all_are_marked() -> None:
    values = {("a", "base"): 0.1, ("a", "kar"): 0.3, ("a", "hyperllm"): 0.2, ("b", "base"): 0.4, ("b", "kar"): 0.1}
    found = sheet({key: {"recall": value} for key, value in values.items()})
    assert marks(found) == ["", "best", "second", "best of all", "second"]


def test_numbers_that_print_alike_share_a_mark() -> None:
    found = sheet({("a", "x"): {"recall": 0.20001}, ("a", "y"): {"recall": 0.20002}, ("a", "z"): {"recall": 0.1}})
    assert marks(found) == ["best", "best", "second"]


def test_one_number_alone_is_not_the_best_of_anything() -> None:
    found = sheet({("a", "x"): {"recall": 0.2}}, keys=[("a", "x"), ("a", "y")])
    assert cell(found, "a", "x").mark == ""


def test_low_is_good_where_a_column_says_so() -> None:
    found = sheet({("a", "base"): {"gini": 0.2}, ("a", "x"): {"gini": 0.3}, ("a", "y"): {"gini": 0.25}}, (GINI,))
    assert marks(found, "gini") == ["best", "", "second"]
    assert cell(found, "a", "x", "gini").gain is None


def test_the_base_takes_no_part_in_costs_and_nothing_is_the_cheapest_of_all() -> None:
    values = {("a", "base"): 1.0, ("a", "kar"): 50.0, ("a", "hyperllm"): 40.0, ("plain", "ease"): 2.0}
    found = sheet({key: {"seconds": value} for key, value in values.items()}, (SECONDS,))
    assert marks(found, "seconds") == ["", "second", "best", ""]


def test_nothing_is_marked_where_neither_way_is_better() -> None:
    found = sheet({("a", "x"): {"novelty": 9.0}, ("a", "y"): {"novelty": 8.0}}, (NOVELTY,))
    assert marks(found, "novelty") == ["", ""]


def test_a_row_without_measured_numbers_says_why_and_keeps_the_published_ones() -> None:
    keys = [("a", "base"), ("a", "kar"), ("a", "hyperllm")]
    published = {("a", "base"): {"recall": 0.1}, ("a", "kar"): {"recall": 0.2}}
    found = sheet(
        {("a", "base"): {"recall": 0.1}}, keys=keys, published=published, missing={("a", "kar"): "diverged in epoch 3"}
    )
    assert [row.missing for row in found.rows[:3]] == ["", "diverged in epoch 3", UNTRAINED]
    assert cell(found, "a", "kar") == Number(published=0.2, published_gain=pytest.approx(1.0))
    assert row(found, "a", "hyperllm").cells == {}
    assert found.rows[3].cells["recall"] == Number(published=pytest.approx(1.0))


def test_significance_is_told_of_measured_cells_alone() -> None:
    told = Cell("run", "recall", 0.3, None, 1, "", difference=0.1, low=0.05, high=0.15, p_value=0.01)
    found = sheet(
        {("a", "base"): {"recall": 0.2}, ("a", "kar"): {"recall": 0.3}},
        keys=[("a", "base"), ("a", "kar"), ("a", "x")],
        published={("a", "x"): {"recall": 0.2}},
        significance={("a", "kar"): {"recall": told}, ("a", "x"): {"recall": told}},
    )
    number = cell(found, "a", "kar")
    assert (number.low, number.high, number.p_value) == (0.05, 0.15, 0.01)
    assert cell(found, "a", "x").p_value is None


def test_mean_and_spread_of_seeds() -> None:
    assert Measured.of([0.25, 0.5, 0.75]) == Measured(0.5, 0.25, 3)
    assert Measured.of([0.1]) == Measured(0.1, None, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_was_not_measured(value: float) -> None:
    with pytest.raises(DataError, match=r"expected a finite number.*diverged"):
        Measured(value)


def published_as_measured(dataset: str) -> Sheet:
    table = facts.table3(dataset)
    columns = [Column(name, name) for name in SELECTION]
    return sheet(table, columns, published=table)


@pytest.mark.parametrize("dataset", facts.DATASETS)
def test_measuring_what_the_paper_has_gives_the_papers_table(dataset: str) -> None:
    found = published_as_measured(dataset)
    for row in found.rows:
        for number in row.cells.values():
            assert number.value == number.published
            assert number.gain == number.published_gain
    own = [(row.group, name, n.mark) for row in found.rows if row.name == "hyperllm" for name, n in row.cells.items()]
    beaten = (
        [("hrcf", "recall@10", "second")] if dataset == "beauty" else []
    )  # the one bold cell that is not HyperLLM's
    assert [each for each in own if not each[2].startswith("best")] == beaten


def test_summary_is_of_hyperllm_itself_even_where_a_variant_is_better() -> None:
    values = {("a", "base"): (0.1, 0.2), ("a", "semantic"): (0.3, 0.3), ("a", "hyperllm"): (0.2, 0.22)}
    columns = (RECALL, Column("ndcg", "N"))
    found = gains(sheet({key: {"recall": r, "ndcg": n} for key, (r, n) in values.items()}, columns))
    assert [(row.group, row.name) for row in found.rows] == [("", "a")]
    assert found.rows[0].cells == {"mean": Number(pytest.approx(0.55)), "maximum": Number(pytest.approx(1.0))}


def test_summary_has_no_mean_over_some_of_the_columns() -> None:
    values = {("a", "base"): {"recall": 0.1, "ndcg": 0.2}, ("a", "hyperllm"): {"recall": 0.2}}
    found = gains(sheet(values, (RECALL, Column("ndcg", "N"))))
    assert found.rows[0].cells == {}


def test_summary_stands_beside_what_the_paper_states() -> None:
    found = gains(published_as_measured("beauty"), stated=facts.GAINS)
    assert [row.name for row in found.rows] == list(facts.BACKBONES)
    cells = found.rows[1].cells
    assert cells["maximum"].value == cells["maximum"].published == pytest.approx(0.1904 / 0.1607 - 1)
    assert (cells["stated_mean"].value, cells["stated_maximum"].value) == facts.GAINS["hrcf"]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
def test_there_is_always_a_best_and_it_is_the_highest(values: list[float]) -> None:
    found = sheet({("a", str(place)): {"recall": value} for place, value in enumerate(values)})
    numbers = found.numbers("recall")
    best = [n.value for n in numbers if n.mark == "best"]
    assert max(values) in best
    assert all(format(value or 0, ".4f") == format(max(values), ".4f") for value in best)
