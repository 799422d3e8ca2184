"""A model's answer: what is tolerated, what is refused and why, and that nothing else can happen."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperllm.errors import MalformedReply
from hyperllm.extraction.parse import (
    BRACKETS_LIMIT,
    EDGES_LIMIT,
    ITEM_SCHEMAS,
    NAME_LIMIT,
    NAMES_LIMIT,
    REPLY_LIMIT,
    SUMMARY_LIMIT,
    USER_SCHEMA,
    ItemAnswer,
    json_object,
    read_item,
    read_user,
)
from hyperllm.extraction.untrusted import as_name, as_text
from hyperllm.extraction.words import fold

GOOD: dict[str, Any] = {
    "summary": "A wooden  puzzle.",
    "level_1": ["Toys"],
    "level_2": ["Puzzles"],
    "level_3": ["Jigsaws", "Wooden"],
    "edges": [["Toys", "Puzzles"], ["puzzles", "Jigsaws"]],
}
KIND = {"name": "Puzzles", "children": ["Jigsaws", "Wooden"]}
TREE: dict[str, Any] = {"summary": "A puzzle.", "tags": [{"name": "Toys", "children": [KIND]}]}
REASON_LIMIT = 2000


def answer(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def tree(*nodes: object, summary: str = "s") -> str:
    return json.dumps({"summary": summary, "tags": nodes})


def refusal(text: str, read: Any = read_item) -> str:
    with pytest.raises(MalformedReply) as refused:
        read(text)
    reason = str(refused.value)
    assert len(reason) <= REASON_LIMIT, "fit for a prompt that asks again"
    assert not set("<>") & set(reason.replace(" -> ", " "))
    assert reason.isprintable()
    return reason


def test_a_good_answer():
    found = read_item(answer())
    assert found == ItemAnswer(
        summary="A wooden puzzle.",
        tags=(("Toys",), ("Puzzles",), ("Jigsaws", "Wooden")),
        edges=(("Toys", "Puzzles"), ("puzzles", "Jigsaws")),
    )


def test_a_tree_implies_its_edges():
    found = read_item(json.dumps(TREE))
    assert found.tags == (("Toys",), ("Puzzles",), ("Jigsaws", "Wooden"))
    assert found.edges == (("Toys", "Puzzles"), ("Puzzles", "Jigsaws"), ("Puzzles", "Wooden"))


@pytest.mark.parametrize(
    "leaves",
    [
        ["Jigsaws", "Wooden"],
        [{"name": "Jigsaws"}, {"name": "Wooden", "children": []}],
        ["Jigsaws", {"name": "Wooden", "children": None}],
        ["Jigsaws", " ", "Wooden", "!"],
    ],
)
def test_leaves_are_strings_or_objects(leaves):
    told = tree({"name": "Toys", "children": [{"name": "Puzzles", "children": leaves}]}, summary="A puzzle.")
    assert read_item(told) == read_item(json.dumps(TREE))


def test_a_single_child_may_stand_alone():
    assert read_item(tree({"name": "Toys", "children": {"name": "Puzzles", "children": "Wooden"}})).edges == (
        ("Toys", "Puzzles"),
        ("Puzzles", "Wooden"),
    )


def test_one_child_under_two_parents_is_one_tag_and_two_edges():
    kinds = [{"name": name, "children": ["Wooden"]} for name in ("Puzzles", "Trains")]
    found = read_item(tree({"name": "Toys", "children": kinds}))
    assert found.tags[2] == ("Wooden",)
    assert found.edges[-3:] == (("Puzzles", "Wooden"), ("Toys", "Trains"), ("Trains", "Wooden"))


def test_lists_count_where_an_answer_also_has_tags():
    assert read_item(answer(tags=["Toys", "Wooden"])) == read_item(answer())


@pytest.mark.parametrize("whole", [answer(), json.dumps(TREE)])
@pytest.mark.parametrize(
    "around",
    [
        "```json\n{}\n```",
        "```\n{}",
        "Sure! Here it is: {} Hope it helps {{:-)}}",
        "\n\t\ufeff{}",
        "{{}}",
        "I use {curly} braces: {} and {more",
        '<think>First {"summary": "draft", "level_1": ["Draft"]} no…</think>\n{}',
        "<thinking>\n{ {\n</thinking>{}",
        'A server kept the mark. {"summary": "draft", "level_1": ["Draft"]}</think>{}',
        '<think>one</think><think>{"summary": "draft", "tags": ["Draft"]}</think>{}',
    ],
)
def test_fences_chatter_and_thoughts_are_tolerated(around, whole):
    assert read_item(around.replace("{}", whole, 1)) == read_item(whole)


def test_line_breaks_inside_strings_are_tolerated():
    assert read_item('{"summary": "one\ntwo\tthree", "level_1": ["To\x07ys"]}').summary == "one two three"


@pytest.mark.parametrize("thoughts", ['<think>{"summary": "draft"}', ' <thinking> {"summary": "draft"} and so on'])
def test_a_thought_that_never_ends_answers_nothing(thoughts):
    assert "no JSON object" in refusal(thoughts, read_user)
    assert "no JSON object" in refusal(thoughts + "</think>", read_user)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"summary": " "}, "no summary"),
        ({"summary": 3}, "no summary"),
        ({"summary": "..."}, "no summary"),
        ({"summary": "<br>"}, "no summary"),
        ({"summary": "long " * 500}, "the summary has 2,499 characters"),
        ({"level_1": []}, "level 1 is empty"),
        ({"level_1": ["...", "\u200b"]}, "level 1 is empty"),
        ({"level_2": "Puzzles"}, "level_2 must be a list"),
        ({"level_2": [["Puzzles"]]}, "level_2 must be a list"),
        ({"level_3": ["Jigsaws", "PUZZLES!"]}, "'PUZZLES!' stands on two levels"),
        ({"level_3": ["x" * 81]}, "has 81 characters; at most 80"),
        ({"level_3": ["<i>" + "x" * 5000]}, "has 5003 characters; at most 80"),
        ({"level_3": [f"name {n}" for n in range(25)]}, "level 3 has 25 tags; at most 24"),
        ({"level_3": ["https://shop.example/x"]}, "is an address"),
        ({"level_3": ["www.shop.example"]}, "is an address"),
        ({"level_3": ["me@shop.example"]}, "is an address"),
        ({"edges": "Toys -> Puzzles"}, "edges must be a list"),
        ({"edges": [["Toys", "Puzzles"]] * 201}, "there are 201 edges; at most 200"),
        ({"edges": [["Toys", "Cars"]]}, "'Toys' -> 'Cars' uses a name outside the tags"),
        ({"edges": [["Jigsaws", "Toys"]]}, "does not lead to a more specific level"),
        ({"edges": [["Jigsaws", "Wooden"]]}, "does not lead to a more specific level"),
        ({"edges": [["Toys", "Toys"]]}, "does not lead to a more specific level"),
        ({"edges": [["Toys"]]}, "is not a pair"),
        ({"edges": ["Toys -> Puzzles"]}, "is not a pair"),
        ({"edges": [["</item>", 1, "x" * 999]]}, "is not a pair"),
    ],
)
def test_what_is_refused(changes, reason):
    assert reason in refusal(answer(**changes))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([], "level 1 is empty"),
        ([{"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": ["d"]}]}]}], "'d' stands on"),
        ([{"name": "a", "children": [{"name": "A!"}]}], "'A!' stands on two levels"),
        (["a", {"name": "b", "children": ["a"]}], "'a' stands on two levels"),
        ([{"children": ["a"]}], "None is not a tag with a name"),
        ([3], "3 is not a tag with a name"),
        ([["a"]], "['a'] is not a tag with a name"),
        ([{"name": "a", "children": 3}], "3 is not a tag with a name"),
        ([{"name": "a", "children": True}], "True is not a tag with a name"),
        ([{"name": " ", "children": ["a"]}, "b"], "uses a name outside the tags"),
        ([{"name": "a" * 99}], "has 99 characters"),
        ([f"name {n}" for n in range(25)], "level 1 has 25 tags"),
    ],
)
def test_what_is_refused_of_a_tree(nodes, reason):
    assert reason in refusal(tree(*nodes))


def test_every_reason_at_once():
    reason = refusal(answer(level_3=["Toys"], edges=[["Toys", "Cars"]]))
    assert reason.index("two levels") < reason.index("outside the tags")


@pytest.mark.parametrize(
    "told",
    [
        answer(level_3=["x" * 100 + str(n) for n in range(30)], edges=[["\U0010ffff" * 500, "é" * 500]] * 200),
        answer(edges=[[["deep"] * 50] * 50] * 2),
        "\U0010ffff" * 500,
        "\x00\x1b[31m<item>\n" * 50,
        tree({"name": {"a": "x" * 3000}}),
    ],
)
def test_reasons_are_short_enough_to_ask_again(told):
    assert len(refusal(told)) <= REASON_LIMIT


def test_repeats_are_dropped_quietly():
    found = read_item(answer(level_3=["Jigsaws", "jigsaws", " "] * 40, edges=[["Toys", "Puzzles"]] * 2))
    assert found.tags[2] == ("Jigsaws",)
    assert found.edges == (("Toys", "Puzzles"),)


def test_at_every_limit_an_answer_is_still_read():
    first, second = ([f"{level}{n:02}".ljust(NAME_LIMIT, "x") for n in range(NAMES_LIMIT)] for level in "ab")
    edges = [[a, b] for a in first for b in second][:EDGES_LIMIT]
    told = answer(summary="s" * SUMMARY_LIMIT, level_1=first, level_2=second, level_3=[], edges=edges)
    assert len(read_item(told).edges) == EDGES_LIMIT
    assert len(told) < REPLY_LIMIT / 2
    assert len(read_item("<think>" + "so… {[" * REPLY_LIMIT + "</think>" + told).edges) == EDGES_LIMIT
    shelves = [
        {"name": a, "children": [{"name": b, "children": []} for b in second[n::3]]} for n, a in enumerate("abc")
    ]
    assert len(read_item(tree(*shelves)).edges) == NAMES_LIMIT


@pytest.mark.parametrize(("more", "reason"), [(" " * REPLY_LIMIT, "characters"), ("[" * BRACKETS_LIMIT, "brackets")])
def test_a_reply_that_goes_on_and_on_is_refused_whole(more, reason):
    assert reason in refusal(answer() + more)
    assert read_item(more + "</think>" + answer()) == read_item(answer()), "thoughts may be as long as they like"


def test_names_and_summaries_lose_their_markup():
    found = read_item(
        answer(
            summary="**Fine** <b>wood</b>, [red]really[/red].",
            level_1=["1) **Toys**", "C++"],
            level_2=["`Puzzles`"],
            level_3=[],
            edges=[["<b>Toys</b>", "Puzzles"]],
        )
    )
    assert found == ItemAnswer("Fine wood , really.", (("Toys", "C++"), ("Puzzles",), ()), (("Toys", "Puzzles"),))


def test_half_a_surrogate_pair_can_be_stored():
    found = read_item('{"summary": "a \\ud83d b", "level_1": ["x\\udc00y"], "level_2": [], "level_3": []}')
    assert (found.summary, found.tags[0]) == ("a ? b", ("x?y",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "{",
        "[1]",
        answer()[:-5],
        '{"a":' + "[" * 100_000,
        '{"summary": ' + "1" * 5000 + "}",
        "null",
        '"x"',
    ],
)
def test_no_object_is_refused(text):
    refusal(text)


def test_the_first_whole_object_counts():
    assert json_object('{broken {"a": 1} {"b": 2}') == {"a": 1}
    assert json_object('{"broken" {"a": 1}') == {"a": 1}


def test_a_part_of_a_broken_object_is_no_answer():
    assert "no JSON object" in refusal('{"summary": "all", "shown": [{"summary": "one of them"}, {"summ', read_user)


def test_a_user_summary():
    assert read_user('```\n{"summary": "Likes\\n puzzles."}\n```') == "Likes puzzles."
    refusal('{"text": "x"}', read_user)
    assert "no summary" in refusal('{"summary": "..."}', read_user), "the form in which it was asked for"


HOSTILE = {
    "braces": "{" * 500_000,
    "nested objects": '{"a":' * 200_000,
    "nested lists": '{"a":' + "[" * 1_000_000,
    "open strings": '{"' * 500_000,
    "one long string": '{"a":"' + "x" * 1_000_000,
    "thoughts": "<think>" * 150_000,
    "ends of thoughts": "</think>" * 125_000,
    "empty objects in a list": '{"a":[' + "{}," * 330_000,
    "blanks": "{ " + " " * 1_000_000,
    "starts below every limit": ('{"a":1,' + " " * 150) * 500,
    "nesting below every limit": '{"a":[' * 250 + " " * 90_000,
    "tags": json.dumps({"summary": "[", "level_1": ["*_\"'" * 1000] * 24}),
    "names": json.dumps({"summary": "s", "level_1": ["<[*_`"] * 9000}),
    "quotes": json.dumps({"summary": "s", "level_1": ["\"'" * 160] * 250}),
    "emphasis": json.dumps({"summary": "_*" * 499 + "x" + "*_" * 499, "level_1": ["a"]}),
    "numbers": json.dumps({"summary": "s", "level_1": ["a"], "edges": [1] * 30_000}),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_reply_costs_no_time(text):
    started = time.perf_counter()
    with contextlib.suppress(MalformedReply):
        read_item(text)
    assert time.perf_counter() - started < 1


def test_a_cut_answer_is_refused_wherever_it_is_cut():
    for whole in (answer(), json.dumps(TREE)):
        for end in range(len(whole)):
            refusal(whole[:end])


def nested(depth: int) -> str:
    return answer(edges=[json.loads("[" * depth + "]" * depth)])


@pytest.mark.parametrize("depth", [50, 500, 900])
def test_depth_is_refused_like_anything_else(depth):
    refusal(nested(depth))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
names = st.text(max_size=8) | st.sampled_from(
    ["Toys", "toys", "<b>Toys</b>", "**Puzzles**", "Puzzles", "a/b", "\u202ea"]
)
lists = st.fixed_dictionaries(
    {"summary": st.text(min_size=1, max_size=20) | st.just("A puzzle")},
    optional={
        "level_1": st.lists(names, min_size=1, max_size=3),
        "level_2": st.lists(names, max_size=3),
        "level_3": st.lists(names, max_size=3),
        "edges": st.lists(st.lists(names, min_size=2, max_size=2), max_size=2),
    },
)
nodes = st.recursive(
    names, lambda inner: st.fixed_dictionaries({"name": names, "children": st.lists(inner, max_size=3)}), max_leaves=8
)
trees = st.fixed_dictionaries({"summary": st.just("A puzzle"), "tags": st.lists(nodes, min_size=1, max_size=3)})


def check(found: ItemAnswer) -> None:
    """What every accepted answer fulfils."""
    level = {fold(name): number for number, named in enumerate(found.tags) for name in named}
    assert len(level) == sum(len(named) for named in found.tags), "no name twice, however it is written"
    assert found.tags[0]
    assert all(level[fold(parent)] < level[fold(child)] for parent, child in found.edges)
    for name in (name for named in found.tags for name in named):
        assert fold(name)
        assert name == as_name(name)
        assert len(name) <= NAME_LIMIT
    assert found.summary == as_text(found.summary)
    assert fold(found.summary)
    assert len(found.summary) <= SUMMARY_LIMIT


@given(
    st.fixed_dictionaries(
        {}, optional={key: json_values | st.just(GOOD[key]) for key in ITEM_SCHEMAS["lists"]["required"]}
    )
    | st.fixed_dictionaries({}, optional={key: json_values | st.just(TREE[key]) for key in TREE})
    | lists
    | trees
)
def test_any_object_is_read_or_refused(value):
    with contextlib.suppress(MalformedReply):
        check(read_item(json.dumps(value)))


@given(st.text() | st.text(alphabet='{}[]":,\\ab1 \n<think>/').map(lambda text: text + answer()))
@example("</think>" + answer())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(MalformedReply):
        assert read_user(text)
    with contextlib.suppress(MalformedReply):
        check(read_item(text))


@given(
    st.lists(st.text(alphabet="abcdefgh", min_size=1, max_size=6), min_size=3, max_size=9, unique=True),
    st.randoms(use_true_random=False),
)
def test_both_forms_of_one_answer_are_read_alike_and_written_back(words, random):
    cuts = [1, random.randint(2, len(words) - 1)]
    levels = [words[: cuts[0]], words[cuts[0] : cuts[1]], words[cuts[1] :]]
    kinds: list[dict[str, Any]] = [{"name": name, "children": []} for name in levels[1]]
    for name in levels[2]:
        random.choice(kinds)["children"].append(name)
    as_tree = read_item(tree({"name": words[0], "children": kinds}))
    told = {f"level_{number}": named for number, named in enumerate(levels, start=1)}
    as_lists = read_item(json.dumps({"summary": "s", **told, "edges": as_tree.edges}))
    assert [set(named) for named in as_tree.tags] == [set(named) for named in as_lists.tags]
    assert as_lists.edges == as_tree.edges
    assert as_lists.tags == tuple(map(tuple, levels))
    assert len(as_tree.edges) == len(words) - 1


def parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for value in schema.values():
            yield from parts(value)


@pytest.mark.parametrize("schema", [*ITEM_SCHEMAS.values(), USER_SCHEMA])
def test_schemas_are_strict_and_bound_no_length(schema):
    for part in parts(schema):
        assert not {key for key in part if key.startswith(("min", "max")) or key in ("pattern", "format")}
        if part.get("type") == "object":
            assert part["required"] == list(part["properties"])
            assert part["additionalProperties"] is False
        if part.get("type") == "array":
            assert isinstance(part["items"], Mapping)
    assert json.loads(json.dumps(schema)) == schema
