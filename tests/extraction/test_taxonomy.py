"""Profiles to one tag graph: merging, levels, edges and the count of everything dropped."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm import config
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError, UnknownId
from hyperllm.extraction.naming import form
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.extraction.taxonomy import TOKEN, TaxonomyConfig, build
from hyperllm.extraction.words import fold
from hyperllm.ids import Vocabulary
from hyperllm.llm.hashing import HashEncoder

WHO = Origin(model="test")
WITH_HUBS = TaxonomyConfig(hub_share=None)


def profile(item: str, *levels: list[str], edges: list[tuple[str, str]] | None = None) -> ItemProfile:
    first, second, third = (tuple(level) for level in (*levels, [], [], [])[:3])
    return ItemProfile(item, "s", (first, second, third), tuple(edges or ()), WHO)


def named_edges(graph: TagGraph) -> list[tuple[str, str]]:
    return [(graph.names[p], graph.names[c]) for p, c in graph.tag_edges]


def named_pairs(graph: TagGraph) -> set[tuple[str, str]]:
    return {(graph.names[t], graph.items.ids[i]) for t, i in graph.tag_items}


def test_by_hand():
    graph, report = build(
        [
            profile("a", ["Toys"], ["Puzzles"], ["Wood"], edges=[("Toys", "Puzzles"), ("Puzzles", "Wood")]),
            profile("b", ["toys."], ["Puzzles", "Wood"], [], edges=[("toys.", "Puzzles"), ("Puzzles", "Wood")]),
            profile("c", ["Toys"], [], ["WOOD"], edges=[("Toys", "Wood"), ("Wood", "wood"), ("Toys", "Cars")]),
        ],
        Vocabulary(("a", "b", "c", "d")),
        config=WITH_HUBS,
    )
    assert graph.tags.ids == ("puzzles", "toys", "wood")
    assert graph.names == ("Puzzles", "Toys", "Wood")
    assert graph.level.tolist() == [2, 1, 3]
    assert graph.directed
    assert named_edges(graph) == [("Puzzles", "Wood"), ("Toys", "Puzzles"), ("Toys", "Wood")]
    assert [(graph.names[t], graph.items.ids[i]) for t, i in graph.tag_items] == [
        *(("Puzzles", "a"), ("Puzzles", "b")),
        *(("Toys", "a"), ("Toys", "b"), ("Toys", "c")),
        *(("Wood", "a"), ("Wood", "b"), ("Wood", "c")),
    ]
    assert (report.merged["spelling"], report.levels_reconciled) == (2, 1)
    assert (report.edges_without_tag, report.edges_to_self, report.edges_not_downward) == (1, 1, 0)
    assert report.items_without_tags == 1
    assert "3 tags, 8 tag-item pairs, 3 tag-tag edges" in report.text()


def test_other_forms_are_one_tag_with_the_pairs_and_edges_of_all():
    graph, report = build(
        [
            profile("a", ["Toy"], ["T-Shirts"], edges=[("Toy", "T-Shirts")]),
            profile("b", ["Toys"], ["tshirt"], edges=[("Toys", "tshirt")]),
            profile("c", ["Toys", "Toy"], ["T-Shirts"], edges=[("Toys", "Toy"), ("T-Shirts", "Toys")]),
        ],
        Vocabulary(("a", "b", "c")),
        config=WITH_HUBS,
    )
    assert (graph.tags.ids, graph.names) == (("t shirts", "toy"), ("T-Shirts", "Toy"))
    assert named_edges(graph) == [("Toy", "T-Shirts")]
    assert len(graph.tag_items) == 6
    assert report.merged == {"spelling": 0, "form": 2, "meaning": 0}
    assert report.merge_examples["form"] == (("Toys", "Toy"), ("tshirt", "T-Shirts"))
    assert (report.edges_to_self, report.edges_not_downward, report.edges_repeated) == (1, 1, 1)
    assert (report.loops_broken, report.pairs_repeated) == (1, 1)


def test_forms_can_be_left_apart():
    settings = TaxonomyConfig(merge_forms=False)
    graph, report = build([profile("a", ["Toy"]), profile("b", ["Toys"])], Vocabulary(("a", "b")), config=settings)
    assert graph.names == ("Toy", "Toys")
    assert report.merged["form"] == 0


def test_by_meaning():
    settings = TaxonomyConfig(merge_similarity=0.6)
    given_profiles = [profile("a", ["x"], ["hair shampoo dry"]), profile("b", ["x"], ["dry hair shampoo"])]
    items = Vocabulary(("a", "b"))
    graph, report = build(given_profiles, items, config=settings, encoder=HashEncoder())
    assert graph.names == ("dry hair shampoo", "x")
    assert report.merge_examples["meaning"] == (("hair shampoo dry", "dry hair shampoo"),)
    with pytest.raises(ConfigError, match="needs a text encoder"):
        build(given_profiles, items, config=settings)


@pytest.mark.parametrize("wrong", [{"merge_similarity": 0.0}, {"merge_similarity": 1.5}, {"hub_share": -1}, {"hub": 1}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        config.build([TaxonomyConfig], wrong)


def test_a_hub_keeps_its_edges_and_the_items_that_have_nothing_else():
    items = Vocabulary(tuple(f"i{n}" for n in range(6)))
    given_profiles = [profile(f"i{n}", ["All"], ["Some"], edges=[("All", "Some")]) for n in range(3)]
    given_profiles += [profile("i3", ["All"]), profile("i4", ["All"], ["Other"])]
    graph, report = build(given_profiles, items)
    assert {item for tag, item in named_pairs(graph) if tag == "All"} == {"i3"}
    assert named_edges(graph) == [("All", "Some")]
    assert (report.hubs, report.hub_links, report.hub_examples) == (1, 4, (("All", 1.0),))
    assert report.items_without_tags == 1
    assert "dropped 4 tag-item pairs of hubs: 'All' on 100% of the items" in report.text()
    narrower, _ = build(given_profiles, items, config=TaxonomyConfig(hub_share=0.5))
    assert {tag for tag, item in named_pairs(narrower) if item == "i0"} == {"All", "Some"}, "all of its tags are hubs"
    untouched, report = build(given_profiles, items, config=WITH_HUBS)
    assert (len(untouched.tag_items), report.hubs) == (9, 0)


def test_an_item_votes_once_for_the_broadest_level_it_gives():
    graph, _ = build(
        [
            profile("a", ["x"], ["Toy"], ["Toys", "toys"]),
            profile("b", ["x"], ["Toy"]),
            profile("c", ["x"], [], ["Toy"]),
        ],
        Vocabulary(("a", "b", "c")),
    )
    assert graph.level.tolist() == [2, 1]


def test_what_is_counted_about_edges():
    loop = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("c", "d")]
    graph, report = build(
        [profile("i", ["a"], ["b"], ["c", "d"], edges=loop), profile("j", ["a"], ["b", "e"], edges=[("a", "b")])],
        Vocabulary(("i", "j")),
    )
    assert named_edges(graph) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (report.edges_given, report.edges_not_downward, report.edges_repeated) == (6, 2, 1)
    assert (report.loops_broken, report.edges_of_one_item, report.orphans) == (1, 2, 2)
    assert "reconciled 1 loops" in report.text()
    assert "2 tags below level 1 under none" in report.text()


def test_the_statistics_of_the_papers_table():
    first = ItemProfile("a", "Soft, warm: 100% wool!", (("Toys",), ("Wool",), ()), (("Toys", "Wool"),), WHO)
    second = ItemProfile("b", "", (("Toys",), (), ()), (), WHO)
    _, report = build([first, second], Vocabulary(("a", "b")), config=WITH_HUBS)
    assert report.table2() == {
        "tags": 2,
        "tag_item_pairs": 3,
        "tag_tag_edges": 1,
        "summary_tokens_mean": 4.0,
        "tokenizer": TOKEN,
    }
    document = report.document()
    assert json.loads(json.dumps(document)) == document
    assert document["table2"] == report.table2()
    assert document["merged"] == {"spelling": 0, "form": 0, "meaning": 0}
    assert report.text() == "2 tags, 3 tag-item pairs, 1 tag-tag edges; summaries of 4.0 tokens"


class Stream:
    """Profiles as they come from a file: as often as asked for, and without a length."""

    def __init__(self, given_profiles: list[ItemProfile]) -> None:
        self.given = given_profiles

    def __iter__(self):
        return iter(self.given)


def test_profiles_may_stream_but_not_only_once():
    given_profiles = [profile("a", ["Toys"], ["Puzzles"], edges=[("Toys", "Puzzles")])]
    graph, _ = build(Stream(given_profiles), Vocabulary(("a",)))
    assert named_edges(graph) == [("Toys", "Puzzles")]
    with pytest.raises(DataError, match="only once"):
        build(iter(given_profiles), Vocabulary(("a",)))


def test_an_item_nobody_knows_is_refused():
    with pytest.raises(UnknownId, match="'b'"):
        build([profile("b", ["Toys"])], Vocabulary(("a",)))


def test_a_flood_of_names_harms_no_other_item():
    many = [f"tag {n}" for n in range(5000)]
    long = ["x y" * 3000 + str(n) for n in range(20)]
    flood = profile("a", many, long, [], edges=[*zip(many, long * 250, strict=True), *((name, "?") for name in many)])
    quiet = [profile("b", ["Toys"], ["Puzzles"], edges=[("Toys", "Puzzles")]), profile("c"), profile("d", ["", "!"])]
    graph, report = build([flood, *quiet], Vocabulary(("a", "b", "c", "d")))
    assert {("Toys", "b"), ("Puzzles", "b")} <= named_pairs(graph)
    assert (report.tags, report.edges_without_tag, report.items_without_tags) == (5022, 5000, 2)
    assert report.names_empty == 2
    assert len(report.text()) < 1000


def test_a_tie_goes_to_the_broader_level_and_upward_edges_go():
    graph, report = build(
        [profile("a", ["x"], ["y"], [], edges=[("x", "y")]), profile("b", ["y"], ["x"], [], edges=[("y", "x")])],
        Vocabulary(("a", "b")),
    )
    assert graph.level.tolist() == [1, 1]
    assert len(graph.tag_edges) == 0
    assert report.edges_not_downward == 2


def test_nothing_in_nothing_out():
    graph, report = build([], Vocabulary(("a",)))
    assert (len(graph.tags), graph.tag_items.shape, graph.tag_edges.shape) == (0, (0, 2), (0, 2))
    assert report.items_without_tags == 1


names = st.sampled_from(
    ["a", "A", " a.", "B-b", "b b", "bb", "toy", "Toys", "toy s", "c & toy", "c and toys", "!", "ü", "u\u0308"]
)
levels = st.tuples(*[st.lists(names, max_size=3).map(tuple)] * 3)
ITEMS = Vocabulary(("i0", "i1", "i2", "i3"))
profiles = st.lists(
    st.builds(
        ItemProfile,
        st.sampled_from(ITEMS.ids),
        st.just("s"),
        levels,
        st.lists(st.tuples(names, names), max_size=5).map(tuple),
        st.just(WHO),
    ),
    max_size=6,
    unique_by=lambda p: p.item_id,
)
configs = st.builds(
    TaxonomyConfig,
    merge_forms=st.booleans(),
    merge_similarity=st.sampled_from([None, 0.4, 1.0]),
    hub_share=st.sampled_from([None, 0.3, 0.8]),
)


def spoken(given_profiles: list[ItemProfile]) -> list[tuple[str, int, str]]:
    """(item, level, name) of every name that is one."""
    return [
        (p.item_id, level, name)
        for p in given_profiles
        for level, found in enumerate(p.tags, start=1)
        for name in found
        if fold(name)
    ]


@given(profiles, configs)
def test_laws_of_every_graph(given_profiles, settings):
    graph, report = build(given_profiles, ITEMS, config=settings, encoder=HashEncoder(64))
    assert all(graph.level[p] < graph.level[c] for p, c in graph.tag_edges), "an edge leads upward: loops are possible"
    for edges in (graph.tag_items, graph.tag_edges):
        assert len(np.unique(edges, axis=0)) == len(edges)
    assert tuple(fold(name) for name in graph.names) == graph.tags.ids
    said = spoken(given_profiles)
    assert set(graph.names) <= {" ".join(name.split()) for _, _, name in said}, "a name nobody gave"
    assert {ITEMS.ids[i] for i in graph.tag_items[:, 1]} == {item for item, _, _ in said}, "an item lost its tags"
    spellings = {" ".join(name.split()) for _, _, name in said}
    assert report.spellings == len(spellings) == report.tags + sum(report.merged.values())
    assert report.names_given == sum(len(found) for p in given_profiles for found in p.tags)
    assert report.names_given - report.names_empty == len(said)
    assert len(said) == report.pairs_repeated + report.hub_links + report.tag_item_pairs
    dropped = report.edges_without_tag + report.edges_to_self + report.edges_not_downward
    assert report.edges_given == sum(len(p.edges) for p in given_profiles)
    assert report.edges_given == dropped + report.edges_repeated + report.tag_tag_edges
    for kind, examples in report.merge_examples.items():
        assert len(examples) == report.merged[kind] or len(examples) == 20
        assert all(spelling in spellings and tag in graph.names for spelling, tag in examples)


@given(profiles, st.booleans())
def test_names_levels_edges_and_loops_said_again_slowly(given_profiles, forms):
    settings = TaxonomyConfig(merge_forms=forms, hub_share=None)
    graph, report = build(given_profiles, ITEMS, config=settings)
    key = (lambda name: form(fold(name))) if forms else fold
    votes: dict[str, dict[str, int]] = {}
    for item, level, name in spoken(given_profiles):
        mine = votes.setdefault(key(name), {})
        mine[item] = min(level, mine.get(item, level))
    assert {key(name) for name in graph.names} == set(votes)
    assert len(graph.names) == len(votes)
    level = {tag: min(Counter(v.values()).items(), key=lambda n: (-n[1], n[0]))[0] for tag, v in votes.items()}
    assert [level[key(name)] for name in graph.names] == graph.level.tolist()
    assert {(key(tag), item) for tag, item in named_pairs(graph)} == {(tag, i) for tag in votes for i in votes[tag]}
    said = [(key(a), key(b)) for p in given_profiles for a, b in p.edges]
    known = {(a, b) for a, b in said if a in level and b in level and a != b}
    assert {(key(a), key(b)) for a, b in named_edges(graph)} == {(a, b) for a, b in known if level[a] < level[b]}
    assert report.edges_without_tag == sum(a not in level or b not in level for a, b in said)
    assert report.edges_to_self == sum(a == b and a in level for a, b in said)
    below = {tag: {b for a, b in known if a == tag} for tag in level}
    for _ in level:
        below = {tag: found.union(*(below[other] for other in found)) for tag, found in below.items()}
    loops = {frozenset({tag} | {other for other in found if tag in below[other]}) for tag, found in below.items()}
    assert report.loops_broken == sum(len(loop) > 1 for loop in loops)


@given(profiles, configs, st.randoms(use_true_random=False))
def test_the_order_of_the_profiles_does_not_matter(given_profiles, settings, random):
    one, report = build(given_profiles, ITEMS, config=settings, encoder=HashEncoder(64))
    shuffled = random.sample(given_profiles, len(given_profiles))
    other, other_report = build(shuffled, ITEMS, config=settings, encoder=HashEncoder(64))
    assert (one.tags, one.names, one.level.tolist()) == (other.tags, other.names, other.level.tolist())
    np.testing.assert_array_equal(one.tag_edges, other.tag_edges)
    np.testing.assert_array_equal(one.tag_items, other.tag_items)
    assert report == other_report


def test_what_is_built_can_be_kept(tmp_path):
    graph, _ = build([profile("a", ["Toys"], ["Puzzles"], edges=[("Toys", "Puzzles")])], Vocabulary(("a",)))
    graph.save(tmp_path / "tags", config={}, inputs={})
    back = TagGraph.load(tmp_path / "tags")
    assert (back.names, back.directed, back.level.tolist()) == (graph.names, True, [2, 1])
    np.testing.assert_array_equal(back.tag_edges, graph.tag_edges)
