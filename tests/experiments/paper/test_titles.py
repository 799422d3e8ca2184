"""Names as people read them."""

from __future__ import annotations

from hyperllm.experiments.paper import facts
from hyperllm.experiments.paper.tables import FRAMEWORKS
from hyperllm.experiments.paper.titles import TITLES, title


def test_every_name_of_the_papers_tables_has_a_title() -> None:
    assert {*facts.BACKBONES, *facts.VARIANTS, *facts.FRAMEWORKS, *FRAMEWORKS} <= set(TITLES)


def test_an_unknown_name_is_its_own_title() -> None:
    assert title("rlmrec-con") == "RLMRec-Con"
    assert title("mine") == "mine"
