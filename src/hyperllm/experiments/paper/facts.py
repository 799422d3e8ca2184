"""The numbers the paper and its published runs give.

Knows Tables 1 to 4 of the three data sets, what §5.2 says of them, and the validation curves behind Figure 3. Names are
this project's (``hgcf``, ``rlmrec-con``, ``recall@20``). Does not know what anybody else measured. Nothing is published
of a data set that is not the paper's: then every mapping is empty.

Deviation: Table 2 is printed with the headers Tag-Item and Tag-Tag exchanged; here each count stands under its own name
(the published files of Beauty hold 51,396 tag–item pairs and 16,739 tag–tag edges).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

DATASETS = ("toys", "sports", "beauty")
BACKBONES = ("hgcf", "hrcf", "hicf", "hgch", "hypercl")
VARIANTS = ("base", "structural", "semantic", "hyperllm")
"""The rows of Table 3 under each backbone."""
FRAMEWORKS = ("base", "kar", "rlmrec-con", "rlmrec-gen", "hyperllm")
"""The rows of Table 4 under each backbone."""

BATCH_SIZE = 4096
"""Pairs a step of every published run; an epoch is one step more than fit as a whole."""

Key = tuple[str, str]
"""(backbone, variant or framework)"""


class Gain(NamedTuple):
    """What HyperLLM adds to a backbone, relative to its base: 0.25 is a quarter more."""

    mean: float
    maximum: float


class Curve(NamedTuple):
    """Validation Recall@20 after each epoch; ``epochs`` count from 1."""

    epochs: tuple[int, ...]
    values: tuple[float, ...]


GAINS: Mapping[str, Gain] = {
    "hgcf": Gain(0.255, 0.353),
    "hrcf": Gain(0.285, 0.417),
    "hicf": Gain(0.236, 0.293),
    "hgch": Gain(0.141, 0.257),
    "hypercl": Gain(0.117, 0.158),
}
"""§5.2: the gains of HyperLLM itself (not of the best variant) over twelve columns, those of all three data sets."""


def recognised(*, users: int, items: int, interactions: int) -> str:
    """The paper's data set of exactly this size (Table 1), or an empty string."""
    size = {"users": users, "items": items, "interactions": interactions}
    return next((name for name in DATASETS if size.items() <= table1(name).items()), "")


def table1(dataset: str) -> Mapping[str, float]:
    """Statistics, named as in `hyperllm.data.card.Card`; density is a share, tokens are a mean an item."""
    return _numbers("table1").get((dataset,), {})


def table2(dataset: str) -> Mapping[str, float]:
    """Counts, named as in `hyperllm.data.prepare.TagCounts`, and ``summary_tokens``, a mean a summary."""
    return _numbers("table2").get((dataset,), {})


def table3(dataset: str) -> Mapping[Key, Mapping[str, float]]:
    """(backbone, variant) -> recall and NDCG at 10 and 20 on test."""
    return _of(dataset, "table3")


def table4(dataset: str) -> Mapping[Key, Mapping[str, float]]:
    """(backbone, framework) -> recall and NDCG at 20 on test, and ``seconds`` of training on an RTX 3090."""
    return _of(dataset, "table4")


def curve(dataset: str, backbone: str, variant: str) -> Curve:
    """The published run's validation curve; empty where none is kept: there are those of Figure 3, HGCF and HGCH."""
    line = _lines("curves").get((dataset, backbone, variant), {"recall@20": ""})
    values = tuple(float(value) for value in line["recall@20"].split())
    return Curve(tuple(range(1, len(values) + 1)), values)


def _of(dataset: str, table: str) -> dict[Key, dict[str, float]]:
    return {(key[1], key[2]): numbers for key, numbers in _numbers(table).items() if key[0] == dataset}


@cache
def _numbers(table: str) -> dict[tuple[str, ...], dict[str, float]]:
    return {key: {name: float(text) for name, text in line.items()} for key, line in _lines(table).items()}


@cache
def _lines(table: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Texts of a file in ``published/`` by what names a line: its columns ``dataset``, ``backbone``, ``variant``."""
    text = files(__package__ or __name__).joinpath("published", f"{table}.tsv").read_text(encoding="utf-8")
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for line in csv.DictReader(text.splitlines(), delimiter="\t"):
        named = [line.pop(name) for name in ("dataset", "backbone", "variant") if name in line]
        found[tuple(named)] = line
    return found
