"""Blocks of users without a cluster: files that are there are not made again, and become what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.errors import ConfigError, DataError
from hyperllm.ids import Vocabulary
from hyperllm.scale import recommending as room
from hyperllm.scale.cluster import Cluster
from hyperllm.scale.recommending import RecommendingWorker, Wanted, recommend_all
from hyperllm.serving.arrange import Order
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.recommender import Recommender

HERE = Cluster(cpus=2, gpus=0, node="here")
USERS, ITEMS = 25, 12


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    users, items = (Vocabulary(tuple(f"{what}{n}" for n in range(size))) for what, size in (("u", USERS), ("i", ITEMS)))
    model = ScoreModel(
        users=users,
        items=items,
        user_vectors=rng.normal(size=(USERS, 3)).astype(np.float32),
        item_vectors=rng.normal(size=(ITEMS, 3)).astype(np.float32),
        geometry="inner",
        seen=sparse.csr_matrix((rng.random((USERS, ITEMS)) < 0.2).astype(np.float32)),
        catalog=Catalog.empty(items),
    )
    model.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Blocks are worked on here, and noted."""
    noted: list[str] = []

    def here(paths: Any, worker: Any, made_with: Any, **needs: Any) -> Any:
        one = worker(*made_with)
        for path in paths:
            noted.append(path.name)
            yield one(pa.table({"path": [str(path)]}))

    monkeypatch.setattr(room, "through", here)
    return noted


@pytest.mark.parametrize("name", ["all.parquet", "all"])
def test_blocks_become_the_plain_result(run: Path, tmp_path: Path, asked: list[str], name: str) -> None:
    heard: list[tuple[int, int]] = []
    wanted = Wanted(run, 4, order=Order(diversity=0.3))
    rows = recommend_all(wanted, tmp_path / name, HERE, block=10, progress=lambda *told: heard.append(told))
    Recommender.load(run).recommend_all(tmp_path / "plain.parquet", 4, order=Order(diversity=0.3))
    found = pl.read_parquet(tmp_path / name if name.endswith("parquet") else tmp_path / name / "*.parquet")
    assert found.equals(pl.read_parquet(tmp_path / "plain.parquet"))
    assert rows == len(found)
    assert heard == [(10, USERS), (20, USERS), (USERS, USERS)]
    assert {path.name for path in tmp_path.iterdir()} == {"model", name, "plain.parquet"}


def test_what_was_made_before_an_interruption_is_kept(
    run: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RecommendingWorker._write

    def stopping(self: RecommendingWorker, **block: Any) -> dict[str, int]:
        if block["start"] == 10:
            raise KeyboardInterrupt
        return write(self, **block)

    with monkeypatch.context() as patch:
        patch.setattr(RecommendingWorker, "_write", stopping)
        with pytest.raises(KeyboardInterrupt):
            recommend_all(Wanted(run, 4), tmp_path / "all", HERE, block=10)
    asked.clear()
    recommend_all(Wanted(run, 4), tmp_path / "all", HERE, block=10)
    assert len(asked) == 2
    asked.clear()
    recommend_all(Wanted(run, 4), tmp_path / "all", HERE, block=10)
    assert len(asked) == 3, "a finished one is made anew"


def test_parts_of_another_request_are_not_taken(run: Path, tmp_path: Path, asked: list[str]) -> None:
    recommend_all(Wanted(run, 4), tmp_path / "all", HERE, block=10)
    (tmp_path / "all").rename(tmp_path / ".all.parts")
    (tmp_path / ".all.parts" / room.ABOUT).write_text("something else")
    asked.clear()
    recommend_all(Wanted(run, 3), tmp_path / "all", HERE, block=10)
    assert len(asked) == 3


def test_a_place_that_holds_something_else_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="something else"):
        recommend_all(Wanted(run, 4), tmp_path / "mine", HERE)
    with pytest.raises(DataError, match="does not exist"):
        recommend_all(Wanted(run, 4), tmp_path / "none" / "all", HERE)
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        recommend_all(Wanted(run, 4), tmp_path / "a.parquet", HERE)
