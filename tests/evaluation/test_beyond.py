"""Every value beyond accuracy by hand, against plain loops, and at its bounds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, MisalignedArrays
from hyperllm.evaluation import beyond
from hyperllm.evaluation.beyond import NAMES, beyond_accuracy, gini, tag_diversity
from hyperllm.ids import Vocabulary

# four users, five items; clicks by item: 3, 2, 1, 1, 0
TRAIN = sparse.csr_matrix(np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, 0]]))
LISTS = np.array([[2, 3], [1, -1], [4, 1]])  # of users 0, 1 and 2
USERS = np.array([0, 1, 2])


def graph(*carried: str, tags: str = "abcdef") -> TagGraph:
    """Items that carry the given letters."""
    edges = [(tags.index(letter), item) for item, letters in enumerate(carried) for letter in letters]
    return TagGraph(
        tags=Vocabulary.of(tags),
        items=Vocabulary.of(range(len(carried))),
        names=tuple(tags),
        level=np.ones(len(tags), dtype=np.int64),
        tag_items=np.array(edges, dtype=np.int64).reshape(-1, 2),
        tag_edges=np.empty((0, 2), dtype=np.int64),
        directed=False,
    )


def test_coverage_novelty_and_popularity_by_hand() -> None:
    found = beyond_accuracy(LISTS, TRAIN, user_rows=USERS, k=(1, 2))
    assert found["coverage@1"] == 3 / 5  # items 2, 1, 4
    assert found["coverage@2"] == 4 / 5
    assert found["novelty@1"] == pytest.approx((2 + 1 + 2) / 3)  # shares 1/4, 2/4, and 1/4 for item 4 of no user
    assert found["novelty@2"] == pytest.approx(((2 + 2) / 2 + 1 + (2 + 1) / 2) / 3)
    assert found["arp@1"] == pytest.approx((1 + 2 + 0) / 3)
    assert found["arp@2"] == pytest.approx(((1 + 1) / 2 + 2 + (0 + 2) / 2) / 3)
    own = ((3 + 2) / 2 + (3 + 1) / 2 + (3 + 1) / 2) / 3
    assert found["popularity_lift@2"] == pytest.approx((found["arp@2"] - own) / own)


def test_gini_by_hand() -> None:
    assert gini(np.array([0, 1, 1, 2])) == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (3 * 4))
    assert gini(np.array([3, 3, 3])) == 0.0
    assert gini(np.array([0, 7, 0])) == 1.0
    assert beyond_accuracy(LISTS, TRAIN, user_rows=USERS, k=(2,))["gini@2"] == pytest.approx(
        gini(np.array([0, 2, 1, 1, 1]))
    )


def test_diversity_by_hand() -> None:
    tags = graph("ab", "bc", "de", "", "ab")
    pairs = {(0, 1): 1 - 1 / 3, (0, 2): 1.0, (1, 2): 1.0, (0, 4): 0.0}
    assert tag_diversity(np.array([[0, 1, 2]]), tags, k=(2, 3)) == pytest.approx({2: 2 / 3, 3: sum([2 / 3, 1, 1]) / 3})
    lists = np.array([[0, 3, 4], [0, 3, 1], [3, 2, -1]])  # item 3 has no tags; the last list has no pair
    assert tag_diversity(lists, tags, k=(3,))[3] == pytest.approx((pairs[0, 4] + pairs[0, 1]) / 2)


def test_a_tag_that_stands_twice_counts_once() -> None:
    tags = graph("aab", "a")
    assert tag_diversity(np.array([[0, 1]]), tags, k=(2,))[2] == pytest.approx(0.5)


def test_what_nothing_defines_is_absent() -> None:
    train = TRAIN.copy()
    assert set(beyond_accuracy(LISTS, train, user_rows=USERS, k=(2,))) == {f"{n}@2" for n in NAMES if n != "diversity"}
    untagged = beyond_accuracy(LISTS, train, user_rows=USERS, k=(1, 2), tags=graph("a", "a", "a", "a", "a"))
    assert "diversity@1" not in untagged
    assert untagged["diversity@2"] == 0.0
    empty = beyond_accuracy(np.full((2, 2), -1), train, user_rows=USERS[:2], k=(2,), tags=graph(*"abcde"))
    assert empty == {"coverage@2": 0.0}


def test_users_without_training_items_do_not_shift_the_lift() -> None:
    train = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]]))
    lists = np.array([[1], [1], [2]])
    found = beyond_accuracy(lists, train, user_rows=np.arange(3), k=(1,))
    assert found["arp@1"] == pytest.approx(4 / 3)
    assert found["popularity_lift@1"] == pytest.approx((2 - 1.75) / 1.75)


def plainly(lists: np.ndarray, train: np.ndarray, users: np.ndarray, tags: list[set[str]]) -> dict[str, float]:
    """The definitions, list by list."""
    clicks = train.sum(axis=0)
    filled = [[i for i in row if i >= 0] for row in lists.tolist()]
    bits, shown, lifts, apart = [], [], [], []
    for user, row in zip(users.tolist(), filled, strict=True):
        if not row:
            continue
        bits.append(np.mean([-math.log2(max(clicks[i], 1) / len(train)) for i in row]))
        shown.append(np.mean([clicks[i] for i in row]))
        if train[user].any():
            lifts.append((shown[-1], clicks[train[user] > 0].mean()))
        pairs = [(tags[i], tags[j]) for i, j in itertools.combinations(row, 2) if tags[i] and tags[j]]
        if pairs:
            apart.append(np.mean([1 - len(a & b) / len(a | b) for a, b in pairs]))
    found = {"coverage": len({i for row in filled for i in row}) / train.shape[1]}
    found |= {"novelty": np.mean(bits), "arp": np.mean(shown)} if shown else {}
    if lifts:
        q, p = np.mean(lifts, axis=0)
        found["popularity_lift"] = (q - p) / p
    if apart:
        found["diversity"] = np.mean(apart)
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 8), st.integers(1, 5))
def test_equals_plain_loops(seed: int, users: int, items: int, places: int) -> None:
    rng = np.random.default_rng(seed)
    places = min(places, items)
    train = (rng.random((users, items)) < 0.4).astype(int)
    lists = np.array([rng.permutation(items)[:places] for _ in range(users)])
    lists = np.where(np.arange(places) < rng.integers(places + 1, size=(users, 1)), lists, -1)
    rows = rng.permutation(users)
    carried = ["".join(np.array(list("abcdef"))[rng.random(6) < 0.3]) for _ in range(items)]
    found = beyond_accuracy(lists, sparse.csr_matrix(train), user_rows=rows, k=(places,), tags=graph(*carried))
    found.pop(f"gini@{places}", None)
    expected = plainly(lists, train, rows, [set(letters) for letters in carried])
    assert found == pytest.approx({f"{name}@{places}": value for name, value in expected.items()})


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(any))
def test_gini_is_the_mean_difference_of_all_pairs(counts: list[int]) -> None:
    mean = np.mean([abs(a - b) for a, b in itertools.permutations(counts, 2)])  # over I (I − 1) ordered pairs
    found = gini(np.array(counts))
    assert found == pytest.approx(mean / (2 * np.mean(counts)))
    assert 0.0 <= found <= 1.0 + 1e-12
    assert gini(np.array(counts[::-1]) * 3) == pytest.approx(found)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lists = np.array([rng.permutation(30)[:6] for _ in range(50)])
    tags = graph(*["".join(rng.choice(list("abcdef"), 2)) for _ in range(30)])
    whole = tag_diversity(lists, tags, k=(2, 6))
    monkeypatch.setattr(beyond, "_PAIRS_AT_ONCE", 40)
    assert tag_diversity(lists, tags, k=(2, 6)) == whole


def test_wrong_input() -> None:
    with pytest.raises(MisalignedArrays, match="3 items; the training pairs have 5"):
        beyond_accuracy(LISTS, TRAIN, user_rows=USERS, k=(2,), tags=graph("a", "b", "c"))
    with pytest.raises(MisalignedArrays, match=r"shape \(3, 2\).*2 rows"):
        beyond_accuracy(LISTS, TRAIN, user_rows=USERS[:2], k=(2,))
    with pytest.raises(ConfigError, match="expected 1 to 2"):
        beyond_accuracy(LISTS, TRAIN, user_rows=USERS, k=(2, 3))
