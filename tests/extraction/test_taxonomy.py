"""Profiles to one tag graph: merging, levels, edges and the count of everything dropped."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.data.tags import TagGraph
from hyperllm.extraction.profiles import ItemProfile, Origin
from hyperllm.extraction.taxonomy import build
from hyperllm.extraction.words import fold
from hyperllm.ids import Vocabulary

WHO = Origin(model="test")


def profile(item: str, *levels: list[str], edges: list[tuple[str, str]] | None = None) -> ItemProfile:
    first, second, third = (tuple(level) for level in (*levels, [], [], [])[:3])
    return ItemProfile(item, "s", (first, second, third), tuple(edges or ()), WHO)


def test_by_hand():
    graph, report = build(
        [
            profile("a", ["Toys"], ["Puzzles"], ["Wood"], edges=[("Toys", "Puzzles"), ("Puzzles", "Wood")]),
            profile("b", ["toys."], ["Puzzles", "Wood"], [], edges=[("toys.", "Puzzles"), ("Puzzles", "Wood")]),
            profile("c", ["Toys"], [], ["WOOD"], edges=[("Toys", "Wood"), ("Wood", "wood"), ("Toys", "Cars")]),
        ],
        Vocabulary(("a", "b", "c", "d")),
    )
    assert graph.tags.ids == ("puzzles", "toys", "wood")
    assert graph.names == ("Puzzles", "Toys", "Wood")
    assert graph.level.tolist() == [2, 1, 3]
    assert graph.directed
    named = [(graph.names[p], graph.names[c]) for p, c in graph.tag_edges]
    assert named == [("Puzzles", "Wood"), ("Toys", "Puzzles"), ("Toys", "Wood")]
    assert [(graph.names[t], graph.items.ids[i]) for t, i in graph.tag_items] == [
        *(("Puzzles", "a"), ("Puzzles", "b")),
        *(("Toys", "a"), ("Toys", "b"), ("Toys", "c")),
        *(("Wood", "a"), ("Wood", "b"), ("Wood", "c")),
    ]
    assert (report.spellings_merged, report.levels_reconciled) == (2, 1)
    assert (report.edges_without_tag, report.edges_to_self, report.edges_not_downward) == (1, 1, 0)
    assert report.items_without_tags == 1
    assert "3 tags, 8 tag-item pairs, 3 tag-tag edges" in report.text()


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


names = st.sampled_from(["a", "A", " a.", "b", "B-b", "b b", "c", "!", "ü", "u\u0308"])
levels = st.tuples(*[st.lists(names, max_size=3).map(tuple)] * 3)
profiles = st.lists(
    st.builds(
        ItemProfile,
        st.sampled_from(["i0", "i1", "i2"]),
        st.just("s"),
        levels,
        st.lists(st.tuples(names, names), max_size=5).map(tuple),
        st.just(WHO),
    ),
    max_size=6,
    unique_by=lambda p: p.item_id,
)


@given(profiles)
def test_laws(given_profiles):
    graph, report = build(given_profiles, Vocabulary(("i0", "i1", "i2")))
    assert all(graph.level[p] < graph.level[c] for p, c in graph.tag_edges), "an edge leads upward: loops are possible"
    for edges in (graph.tag_items, graph.tag_edges):
        assert len(np.unique(edges, axis=0)) == len(edges)
    assert {fold(name) for name in graph.names} == set(graph.tags.ids)
    said = [(fold(a), fold(b)) for p in given_profiles for a, b in p.edges]
    dropped = report.edges_without_tag + report.edges_to_self + report.edges_not_downward
    kept = {(graph.tags.ids[a], graph.tags.ids[b]) for a, b in graph.tag_edges}
    assert dropped + sum(pair in kept for pair in said) == len(said)
    for tag, level in zip(graph.tags.ids, graph.level, strict=True):
        votes = Counter(n for p in given_profiles for n, found in enumerate(p.tags, 1) for x in found if fold(x) == tag)
        assert level == min(n for n in votes if votes[n] == max(votes.values()))


@given(profiles)
def test_the_order_of_the_profiles_does_not_matter(given_profiles):
    items = Vocabulary(("i0", "i1", "i2"))
    one, _ = build(given_profiles, items)
    other, _ = build(given_profiles[::-1], items)
    assert (one.tags, one.names) == (other.tags, other.names)
    np.testing.assert_array_equal(one.tag_edges, other.tag_edges)
    np.testing.assert_array_equal(one.tag_items, other.tag_items)


def test_what_is_built_can_be_kept(tmp_path):
    graph, _ = build([profile("a", ["Toys"], ["Puzzles"], edges=[("Toys", "Puzzles")])], Vocabulary(("a",)))
    graph.save(tmp_path / "tags", config={}, inputs={})
    back = TagGraph.load(tmp_path / "tags")
    assert (back.names, back.directed, back.level.tolist()) == (graph.names, True, [2, 1])
    np.testing.assert_array_equal(back.tag_edges, graph.tag_edges)
