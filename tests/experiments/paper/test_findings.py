"""Sentences hold what the numbers hold."""

from __future__ import annotations

from hyperllm.experiments.paper import clusters
from hyperllm.experiments.paper.findings import clustering, sentences
from hyperllm.experiments.paper.sheet import Measured
from hyperllm.experiments.paper.tables import PLAIN, table3_sheet, table4_sheet


def both(recall: float, ndcg: float) -> dict[str, Measured]:
    return {"recall@20": Measured(recall), "ndcg@20": Measured(ndcg)}


MEASURED = {
    ("hgcf", "base"): both(0.10, 0.05),
    ("hgcf", "kar"): both(0.11, 0.08),
    ("hgcf", "hyperllm"): both(0.15, 0.07),
    ("hrcf", "base"): both(0.20, 0.06),
    ("hrcf", "kar"): both(0.19, 0.05),
    ("hrcf", "hyperllm"): both(0.22, 0.09),
    (PLAIN, "ease"): both(0.16, 0.06),
    (PLAIN, "als"): both(0.12, 0.08),
}


def test_gains_ranks_and_plain_rows_are_told() -> None:
    (told,) = sentences([table4_sheet("", MEASURED)])
    assert "adds 30.0% Recall@20 to its backbones on average (+10.0% to +50.0%)" in told
    assert "first in Recall@20 and NDCG@20 on 1 of 2 backbones (HRCF)" in told
    assert "best plain row in Recall@20 is EASEᴿ (0.1600); 1 of 2 bases and 1 of 2 models with HyperLLM" in told
    assert "best plain row in NDCG@20 is ALS (0.0800); 0 of 2 bases and 1 of 2 models with HyperLLM" in told
    assert "published" not in told


def test_numbers_stand_beside_the_published_ones() -> None:
    (told,) = sentences([table3_sheet("beauty", {("hgcf", "base"): both(0.1604, 0.07)})])
    assert "1 of 2 numbers" in told


def test_nothing_measured_says_nothing() -> None:
    assert sentences([table3_sheet("beauty", {}), table4_sheet("", {})]) == []


def test_two_trees_are_compared_level_by_level() -> None:
    level = clusters.Agreement(1, 6, 100, 0.25, 0.2, 0.1, 0.5)
    tree = clusters.Numbers(100, 0.3, 0.4, 0.2, 1.0, 3, (level,))
    told = clustering({"Base": tree, "HyperLLM": tree})
    assert "0.300 (Base), 0.300 (HyperLLM)" in told
    assert "6 categories of level 1 (adjusted mutual information): 0.250 and 0.250" in told
    assert clustering({"Base": tree}) == ""
