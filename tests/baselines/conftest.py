"""The published Beauty split where it is at hand, and a checkerboard."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from hyperllm.data.interactions import Pairs
from hyperllm.data.split import PARTS, Split
from hyperllm.ids import Vocabulary
from hyperllm.testing import checkerboard_world


@pytest.fixture
def board() -> Split:
    """Even users like even items, odd users odd items; of each user's eight, two validate and two test."""
    return checkerboard_world(users=24, items=16)


@pytest.fixture(scope="session")
def beauty() -> Split:
    """10,553 users, 6,086 items."""
    folder = Path(os.environ.get("HYPERLLM_DATA", "")) / "amazon-beauty"
    if not os.environ.get("HYPERLLM_DATA") or not folder.is_dir():
        pytest.skip("HYPERLLM_DATA does not name a folder with amazon-beauty")
    frames = {name: pl.read_csv(folder / f"{name}.tsv", separator="\t") for name in PARTS}
    pairs = {name: Pairs(f["user_id"].to_numpy(), f["item_id"].to_numpy()) for name, f in frames.items()}
    return Split(Vocabulary.of(range(10_553)), Vocabulary.of(range(6_086)), **pairs)
