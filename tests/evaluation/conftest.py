"""A random small world, and the published Beauty split where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hyperllm.data.interactions import Pairs
from hyperllm.data.split import PARTS, Split
from hyperllm.ids import Vocabulary


@pytest.fixture
def small() -> Split:
    """12 users, 9 items; every user has training pairs, users 10 and 11 nothing held out."""
    rng = np.random.default_rng(3)
    order = [rng.permutation(9) for _ in range(12)]
    parts = {"train": slice(0, 4), "valid": slice(4, 5), "test": slice(5, 7)}
    pairs = {}
    for name, places in parts.items():
        users = range(12) if name == "train" else range(10)
        chosen = [(u, i) for u in users for i in order[u][places]]
        pairs[name] = Pairs(*np.array(chosen, dtype=np.int64).T)
    return Split(Vocabulary.of(f"u{n:02}" for n in range(12)), Vocabulary.of(f"i{n}" for n in range(9)), **pairs)


@pytest.fixture(scope="session")
def beauty() -> Split:
    """The published split of Beauty."""
    folder = Path(os.environ.get("HYPERLLM_DATA", "")) / "amazon-beauty"
    if not os.environ.get("HYPERLLM_DATA") or not folder.is_dir():
        pytest.skip("HYPERLLM_DATA does not name a folder with amazon-beauty")
    frames = {name: pl.read_csv(folder / f"{name}.tsv", separator="\t") for name in PARTS}
    pairs = {name: Pairs(f["user_id"].to_numpy(), f["item_id"].to_numpy()) for name, f in frames.items()}
    return Split(Vocabulary.of(range(10_553)), Vocabulary.of(range(6_086)), **pairs)
