"""Shared by the tests of the data room: where real data is, and a small shop written as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hyperllm.data.interactions import Interactions
from hyperllm.ids import Vocabulary

Make = Callable[..., Interactions]


@pytest.fixture
def real_data() -> Path:
    """The folder HYPERLLM_DATA names, or a skip."""
    folder = os.environ.get("HYPERLLM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HYPERLLM_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture
def events() -> Make:
    """Interactions from a list of (user, item) row numbers."""

    def make(
        pairs: Sequence[tuple[int, int]],
        *,
        rating: Sequence[float] | None = None,
        time: Sequence[float] | None = None,
    ) -> Interactions:
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        users, items = (int(table[:, side].max(initial=-1)) + 1 for side in (0, 1))
        return Interactions(
            Vocabulary(tuple(f"u{n}" for n in range(users))),
            Vocabulary(tuple(f"i{n}" for n in range(items))),
            table[:, 0],
            table[:, 1],
            None if rating is None else np.array(rating, dtype=np.float64),
            None if time is None else np.array(time, dtype=np.float64),
        )

    return make


def grid(users: int = 6, items: int = 6) -> list[tuple[str, str]]:
    """Every user clicked every item: its own min(users, items)-core."""
    return [(f"u{u}", f"i{i}") for u in range(users) for i in range(items)]


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Path, Path]:
    """A CSV of 36 events and a CSV of the six items."""
    clicks, items = tmp_path / "clicks.csv", tmp_path / "items.csv"
    clicks.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in grid()), encoding="utf-8")
    items.write_text(
        "item_id,title,categories\n" + "".join(f"i{n},Thing {n},All > Kind {n % 2}\n" for n in range(6)),
        encoding="utf-8",
    )
    return clicks, items
