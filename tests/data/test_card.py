"""The card's figures, by hand."""

from __future__ import annotations

import polars as pl
import pytest

from hyperllm.data.card import TOKENIZER, Card, Spread
from hyperllm.data.catalog import Catalog
from hyperllm.errors import MisalignedArrays


@pytest.fixture
def card(events) -> Card:
    items = pl.DataFrame(
        {"item_id": ["i0", "i1", "i2"], "title": ["A red lamp!", None, None], "categories": [["Home", "Lamps"], [], []]}
    )
    return Card.of(events([(0, 0), (0, 1), (1, 0), (1, 2), (2, 0)]), Catalog.of(items))


def test_figures(card):
    assert (card.users, card.items, card.interactions) == (3, 3, 5)
    assert card.density == pytest.approx(5 / 9)
    assert card.features == 2  # one title, one category path
    assert card.mean_tokens == pytest.approx((4 + 2) / 3)  # A red lamp ! · Home Lamps
    assert card.items_without_text == 2
    assert card.events_per_user == Spread(1, 2.0, 5 / 3, 2)
    assert card.events_per_item == Spread(1, 1.0, 5 / 3, 3)


def test_markdown_names_the_tokenizer_and_shows_the_figures(card):
    page = card.markdown(title="Shop")
    assert page.startswith("# Shop\n")
    for piece in ("| Users | 3 |", "| Density | 55.5556% |", TOKENIZER, "| Items without text | 2 |"):
        assert piece in page


def test_facts_are_read_back(card):
    assert Card.from_facts(card.facts()) == card


def test_another_catalog_is_refused(events):
    with pytest.raises(MisalignedArrays, match=r"catalog\.take"):
        Card.of(events([(0, 0)]), Catalog.of(pl.DataFrame({"item_id": ["other"]})))
