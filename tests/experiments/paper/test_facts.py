"""The published numbers against the arithmetic the paper prints itself, and against the published runs."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import polars as pl
import pytest

from hyperllm.experiments.paper import facts
from hyperllm.training.report import SELECTION

# Table 3, the rows "Best Imprv.": per cent over the base, toys, sports, beauty, each R@10, R@20, N@10, N@20.
BEST = """
hgcf 35.03 35.26 30.67 31.31 29.78 28.99 27.92 27.85 12.09 17.77 13.06 15.82
hrcf 39.33 41.67 35.23 36.98 33.85 32.67 30.84 30.95 13.52 18.48 13.41 16.54
hicf 29.31 25.65 27.15 25.47 27.54 28.84 25.74 26.94 16.32 17.39 15.95 16.59
hgch 11.22 11.06 11.65 11.32 25.66 20.34 23.08 20.58 8.00 7.76 9.35 8.86
hypercl 14.53 15.79 14.03 14.59 12.95 14.20 12.36 12.76 7.26 8.68 6.28 7.12
"""

# Table 4, in brackets: per cent over the base at Recall@20 and NDCG@20, toys, sports, beauty.
CHANGES = """
hgcf kar +9.91 +7.27 -14.3 -18.8 -2.43 -7.26
hgcf rlmrec-con +3.14 +2.60 +0.82 -0.53 +0.94 +0.26
hgcf rlmrec-gen -0.50 +0.17 -0.82 +1.33 +0.37 -1.95
hgcf hyperllm +35.26 +31.31 +28.99 +27.85 +17.77 +15.82
hrcf kar 0.00 -5.38 -20.5 -25.4 -10.2 -16.9
hrcf rlmrec-con +2.83 +1.74 +1.05 +0.53 -0.06 0.52
hrcf rlmrec-gen +4.58 +1.56 0.00 +1.32 +0.50 -0.39
hrcf hyperllm +41.67 +36.98 +32.67 +30.95 +18.48 +16.54
hicf kar +3.87 +1.42 -15.1 -22.8 -4.39 -7.20
hicf rlmrec-con +4.46 +5.03 +3.40 +1.94 +3.86 +2.80
hicf rlmrec-gen -3.12 -0.79 -4.39 -8.25 -0.71 -1.46
hicf hyperllm +25.65 +25.47 +28.84 +26.94 +17.39 +16.59
hgch kar -47.2 -45.7 -19.0 -16.6 -30.4 -31.3
hgch rlmrec-con -0.29 -0.31 -1.81 -3.17 -0.29 +2.00
hgch rlmrec-gen +1.58 +0.31 -1.81 -2.90 -0.81 -1.12
hgch hyperllm +11.06 +11.32 +20.34 +20.58 +7.76 +8.86
hypercl kar -32.5 -36.3 -49.4 -54.1 -27.0 -28.5
hypercl rlmrec-con +0.80 0.00 +1.24 +1.16 +1.57 +1.42
hypercl rlmrec-gen -5.00 -4.61 -3.83 -3.71 -1.87 -1.55
hypercl hyperllm +15.79 +14.59 +14.20 +12.76 +8.68 +7.12
"""

CURVES = [(d, b, v) for d in facts.DATASETS for b in ("hgcf", "hgch") for v in ("base", "hyperllm")]
RUNS = [(d, b, v) for d in facts.DATASETS for b in facts.BACKBONES for v in ("base", "hyperllm")]


def lines(block: str) -> list[list[str]]:
    return [line.split() for line in block.strip().splitlines()]


@pytest.fixture
def logs(real_data: Path) -> Path:
    """The folder of the published runs beside the data, or a skip."""
    folder = real_data.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"there is no folder of published runs beside {str(real_data)!r}")
    return folder


def per_cent(value: float, base: float) -> float:
    return 100 * (value / base - 1)


def slack(printed: str) -> float:
    """Half a unit of the last digit that is printed."""
    return 0.501 * 10 ** -len(printed.partition(".")[2])


@pytest.mark.parametrize("row", lines(BEST), ids=lambda row: row[0])
def test_the_best_variant_improves_as_much_as_table_3_says(row: list[str]) -> None:
    backbone, *printed = row
    cells = [(dataset, metric) for dataset in facts.DATASETS for metric in SELECTION]
    for (dataset, metric), text in zip(cells, printed, strict=True):
        table = facts.table3(dataset)
        best = max(table[backbone, variant][metric] for variant in facts.VARIANTS[1:])
        assert per_cent(best, table[backbone, "base"][metric]) == pytest.approx(float(text), abs=slack(text))


@pytest.mark.parametrize("row", lines(CHANGES), ids=lambda row: "-".join(row[:2]))
def test_frameworks_change_as_much_as_table_4_says(row: list[str]) -> None:
    backbone, framework, *printed = row
    cells = [(dataset, metric) for dataset in facts.DATASETS for metric in ("recall@20", "ndcg@20")]
    for (dataset, metric), text in zip(cells, printed, strict=True):
        table = facts.table4(dataset)
        change = per_cent(table[backbone, framework][metric], table[backbone, "base"][metric])
        assert change == pytest.approx(float(text), abs=slack(text))


@pytest.mark.parametrize("backbone", facts.BACKBONES)
def test_mean_and_maximum_gains_are_those_of_section_5_2(backbone: str) -> None:
    gains = [
        table[backbone, "hyperllm"][metric] / table[backbone, "base"][metric] - 1
        for table in map(facts.table3, facts.DATASETS)
        for metric in SELECTION
    ]
    assert fmean(gains) == pytest.approx(facts.GAINS[backbone].mean, abs=0.0005)
    assert max(gains) == pytest.approx(facts.GAINS[backbone].maximum, abs=0.0005)


@pytest.mark.parametrize("dataset", facts.DATASETS)
def test_tables_are_whole_and_agree_where_they_overlap(dataset: str) -> None:
    third, fourth = facts.table3(dataset), facts.table4(dataset)
    assert set(third) == {(b, v) for b in facts.BACKBONES for v in facts.VARIANTS}
    assert set(fourth) == {(b, f) for b in facts.BACKBONES for f in facts.FRAMEWORKS}
    assert all(set(row) == set(SELECTION) for row in third.values())
    for key in set(third) & set(fourth):
        assert {name: third[key][name] for name in ("recall@20", "ndcg@20")}.items() <= fourth[key].items()


@pytest.mark.parametrize("dataset", facts.DATASETS)
def test_density_follows_from_the_counts(dataset: str) -> None:
    card = facts.table1(dataset)
    density = card["interactions"] / card["users"] / card["items"]
    assert density == pytest.approx(card["density"], abs=0.00005)
    assert facts.recognised(**{name: int(card[name]) for name in ("users", "items", "interactions")}) == dataset


@pytest.mark.parametrize("dataset", facts.DATASETS)
def test_there_are_more_tags_on_items_than_edges_between_tags(dataset: str) -> None:
    counts = facts.table2(dataset)
    assert counts["tag_item_pairs"] > 2 * counts["tag_tag_edges"]


@pytest.mark.parametrize("key", CURVES, ids="-".join)
def test_curves_begin_with_the_first_epoch(key: tuple[str, str, str]) -> None:
    found = facts.curve(*key)
    assert found.epochs == tuple(range(1, len(found.values) + 1))
    assert len(found.values) > 50
    assert all(0 < value < 1 for value in found.values)


def test_of_another_data_set_nothing_is_published() -> None:
    assert not facts.table1("shop")
    assert not facts.table2("shop")
    assert not facts.table3("shop")
    assert not facts.table4("shop")
    assert facts.curve("shop", "hgcf", "base") == ((), ())
    assert facts.recognised(users=10553, items=6086, interactions=94147) == ""


@pytest.mark.data
def test_tables_and_runs_are_those_of_the_published_logs(logs: Path) -> None:
    runs = pl.read_csv(logs / "published_runs.tsv", separator="\t", infer_schema_length=None)
    found = {(row["dataset"], row["backbone"].lower(), row["variant"]): row for row in runs.iter_rows(named=True)}
    assert set(found) == set(RUNS)
    for key, row in found.items():
        assert facts.table3(key[0])[key[1:]] == {name: row[name] for name in SELECTION}


@pytest.mark.data
def test_curves_are_those_of_the_published_logs(logs: Path) -> None:
    epochs = pl.read_csv(logs / "published_epochs.tsv", separator="\t", infer_schema_length=None)
    epochs = epochs.filter(part="valid").sort("epoch")
    for dataset, backbone, variant in CURVES:
        mine = epochs.filter(pl.col("backbone").str.to_lowercase() == backbone, dataset=dataset, variant=variant)
        assert facts.curve(dataset, backbone, variant) == (tuple(mine["epoch"]), tuple(mine["recall@20"]))


@pytest.mark.data
def test_beauty_has_its_tag_counts_the_other_way_round_than_printed(real_data: Path) -> None:
    names = {"tags": "tags", "tag_item_pairs": "tag_items", "tag_tag_edges": "tag_edges"}
    folder = real_data / "amazon-beauty"
    counts = {name: pl.read_csv(folder / f"{file}.tsv", separator="\t").height for name, file in names.items()}
    assert counts.items() <= facts.table2("beauty").items()
