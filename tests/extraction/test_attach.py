"""A new item gets the tags it is called by, and none that is not in the taxonomy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hyperllm.data.tags import TagGraph
from hyperllm.extraction.attach import Attacher
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.ids import Vocabulary

NAMES = ("Beauty", "Hair Care", "Shampoos", "argan oil", "Moroccanoil", "red", "Lost")
ROW = {name: n for n, name in enumerate(NAMES)}
PAIRS = [("Hair Care", 0), ("Hair Care", 1), ("Hair Care", 2), ("Shampoos", 0), ("argan oil", 1), ("argan oil", 2)]
PAIRS += [("Moroccanoil", 1), ("red", 2)]


def graph(*, directed: bool = True) -> TagGraph:
    """Beauty and Lost are on no item."""
    edges = [("Beauty", "Hair Care"), ("Hair Care", "Shampoos"), ("Hair Care", "Moroccanoil")]
    return TagGraph(
        tags=Vocabulary(tuple(f"t{n}" for n in range(len(NAMES)))),
        items=Vocabulary(("a", "b", "c")),
        names=NAMES,
        level=np.array([1, 2, 3, 3, 3, 3, 3]),
        tag_items=np.array([(ROW[name], item) for name, item in PAIRS]),
        tag_edges=np.array([(ROW[a], ROW[b]) for a, b in edges]),
        directed=directed,
    )


def row(**told: Any) -> dict[str, Any]:
    return {"title": None, "brand": None, "categories": [], **told}


def names(found: list[int]) -> list[str]:
    return [NAMES[tag] for tag in found]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (row(categories=["Beauty", "hair-care", "Shampoo"]), ["Hair Care", "Shampoos"]),
        (row(brand="MOROCCANOIL"), ["Hair Care", "Moroccanoil"]),
        (row(title="Shampoo with Argan Oil, red"), ["Hair Care", "Shampoos", "argan oil", "red"]),
        (row(title="Argan Oil", brand="Argan"), []),
        (row(title="lost", categories=["Lost", "Unheard of"]), []),
        (row(), []),
    ],
)
def test_rows_of_a_catalogue(told: dict[str, Any], wanted: list[str]) -> None:
    assert names(Attacher.of(graph()).of_row(told)) == wanted


def test_written_profiles() -> None:
    profile = ItemProfile("n", "", (("beauty",), ("Hair care",), ("Argan oils", "new word")), (), Origin("m"))
    assert names(Attacher.of(graph()).of_profile(profile)) == ["Hair Care", "argan oil"]


def test_without_directions_nothing_is_above() -> None:
    assert names(Attacher.of(graph(directed=False)).of_row(row(brand="Moroccanoil"))) == ["Moroccanoil"]


def test_of_two_parents_none_is_guessed() -> None:
    tags = graph()
    edges = np.concatenate([tags.tag_edges, [(ROW["argan oil"], ROW["Moroccanoil"])]])
    two = TagGraph(tags.tags, tags.items, tags.names, tags.level, tags.tag_items, edges, directed=True)
    assert names(Attacher.of(two).of_row(row(brand="Moroccanoil"))) == ["Moroccanoil"]
