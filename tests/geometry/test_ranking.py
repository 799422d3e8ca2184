from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import points

from hyperllm.geometry import lorentz, ranking


def csr(seen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    counts = seen.sum(1)
    return torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), torch.from_numpy(np.nonzero(seen)[1])


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_inner_product_ranking_is_distance_ranking_without_the_seen(seed: int, k: int) -> None:
    users, items = points(seed, 7), points(seed + 1, 15)
    seen = np.random.default_rng(seed).random((7, 15)) < 0.3
    found = ranking.topk(lorentz.flip(users), items, k, seen=csr(seen))
    distances = torch.stack([lorentz.dist(u.expand_as(items), items) for u in users]).numpy()
    distances[seen] = np.inf
    for rows, distance, hidden in zip(found.tolist(), distances, seen, strict=True):
        shown = min(k, int((~hidden).sum()))  # past that only seen items are left
        assert rows[:shown] == np.argsort(distance)[:shown].tolist()


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = points(0, 23), points(1, 9)
    seen = csr(np.random.default_rng(0).random((23, 9)) < 0.4)
    whole = ranking.topk(lorentz.flip(users), items, 4, seen=seen)
    monkeypatch.setattr(ranking, "BLOCK", 5 * 9)
    assert torch.equal(ranking.topk(lorentz.flip(users), items, 4, seen=seen), whole)


def test_no_users_no_rows() -> None:
    found = ranking.topk(
        points(0, 3)[:0], points(1, 4), 2, seen=(torch.zeros(1, dtype=torch.long), torch.empty(0).long())
    )
    assert found.shape == (0, 2)
