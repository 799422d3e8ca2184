"""The extractor without a model: its rules on small catalogues, and that its profiles pass a model's own checks."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.data.catalog import Catalog
from hyperllm.extraction.keywords import KEYPHRASES, keyword_profiles
from hyperllm.extraction.parse import read_item


def test_category_paths_brand_and_keyphrases(catalog):
    rows = [{"title": "Running shoe feather light", "categories": ["Sport", "Shoes", "Running"], "brand": "Zip"}] * 2
    rows += [{"title": f"Thing {n}", "categories": ["Home", "Things"]} for n in range(38)]
    first = keyword_profiles(catalog(*rows))[0]
    assert first.tags[:2] == (("Sport",), ("Shoes",))
    assert set(first.tags[2]) == {"Running", "Zip", "feather light"}
    assert set(first.edges) == {
        *(("Sport", "Shoes"), ("Shoes", "Running"), ("Sport", "Zip"), ("Shoes", "feather light")),
    }
    assert first.summary == (
        "Running shoe feather light by Zip. Found under Sport > Shoes > Running. Stands for feather light."
    )
    assert first.origin.model == "keywords"


def test_words_of_one_item_only_are_no_keyphrases(catalog):
    rows = [{"title": f"blue widget{n} gadget", "categories": ["A", "B"]} for n in range(20)]
    found = {name for p in keyword_profiles(catalog(*rows)) for name in p.tags[2]}
    assert not any(name.startswith("widget") for name in found)


def test_without_categories_the_most_shared_words_take_their_place(catalog):
    puzzles = [{"title": f"wooden puzzle with a cat{'s' * n}"} for n in range(6)]
    others = [{"title": f"the lamp{'x' * n} for you and me"} for n in range(8)]
    profiles = keyword_profiles(catalog(*puzzles, *others))
    assert {p.tags[0] + p.tags[1] for p in profiles[:6]} == {("puzzle", "wooden")}
    assert {("puzzle", "wooden")} == {edge for p in profiles[:6] for edge in p.edges}
    assert all(p.tags == ((), (), ()) for p in profiles[6:]), "little words are never tags"


def test_an_item_without_text_gets_an_empty_profile(catalog):
    empty = keyword_profiles(catalog({}, {"title": "x"}))[0]
    assert (empty.summary, empty.tags, empty.edges) == ("", ((), (), ()), ())


def test_other_scripts(catalog):
    rows = [{"title": "деревянный пазл", "categories": ["Игрушки", "Пазлы"]}] * 3 + [{"title": "лампа"}] * 30
    first = keyword_profiles(catalog(*rows))[0]
    assert first.tags == (("Игрушки",), ("Пазлы",), ("деревянный",)), "пазл already begins a category"


text = st.text(alphabet="abcAB é'-.,玩", max_size=24).map(lambda value: " ".join(value.split()))
row = st.fixed_dictionaries(
    {},
    optional={
        "title": text,
        "brand": text,
        "description": text,
        "categories": st.lists(text, max_size=4),
    },
)


@given(st.lists(row, min_size=1, max_size=12))
def test_profiles_pass_the_checks_for_a_model(rows):
    schema = {"item_id": pl.String, "title": pl.String, "brand": pl.String, "description": pl.String}
    table = [{"item_id": str(n), **values} for n, values in enumerate(rows)]
    made = Catalog.of(pl.DataFrame(table, schema={**schema, "categories": pl.List(pl.String)}))
    profiles = keyword_profiles(made)
    assert profiles == keyword_profiles(made)
    assert [p.item_id for p in profiles] == list(made.items.ids)
    for p in profiles:
        levels = {f"level_{n}": names for n, names in enumerate(p.tags, start=1)}
        if p.tags[0]:
            found = read_item(json.dumps({"summary": "s", **levels, "edges": p.edges}))
            assert (found.tags, found.edges) == (p.tags, p.edges)
            below = {name for names in p.tags[1:] for name in names}
            assert {child for _, child in p.edges} == below, "every tag below level 1 hangs under another"
        assert len(p.tags[2]) <= 3 + KEYPHRASES


@pytest.mark.data
def test_every_item_of_a_real_shop_gets_a_broad_tag(real_data):
    path = real_data / "amazon-toys" / "items.tsv"
    if not path.exists():
        pytest.skip("HYPERLLM_DATA has no amazon-toys")
    frame = pl.read_csv(path, separator="\t", infer_schema_length=0)
    made = Catalog.of(frame.with_columns(pl.col("categories").str.split(" > ")))
    profiles = keyword_profiles(made)
    assert len(profiles) == frame.height
    assert all(p.tags[0] for p in profiles)
