"""Encoding in many processes, without a cluster: the plain vectors, and each unknown text encoded once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hyperllm.errors import DataError
from hyperllm.extraction.encode import encode
from hyperllm.extraction.vector_store import VectorStore
from hyperllm.llm.hashing import HashEncoder
from hyperllm.scale import encoding as room
from hyperllm.scale.asking import Crew
from hyperllm.scale.blocks import TRIES, Attempts
from hyperllm.scale.cluster import Cluster
from hyperllm.scale.encoding import EncodingWorker, RayEncoding, Recipe, RemoteModel

HERE = Cluster(cpus=2, gpus=0, node="here")
TEXTS = ["a lamp", "", "a rug", "a lamp", "a vase", "a rug", "a chair"]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Blocks are worked on here, and their keys noted."""
    noted: list[bytes] = []

    def here(paths: Any, worker: Any, made_with: Any, **needs: Any) -> Iterator[pa.Table]:
        for path in paths:
            table = worker(*made_with)(pa.table({"path": [str(path)]}))
            noted.extend(table["key"].to_pylist())
            yield table

    monkeypatch.setattr(room, "through", here)
    return noted


def test_vectors_are_the_plain_ones_and_each_text_is_encoded_once(tmp_path: Path, encoded: list[bytes]) -> None:
    model, heard = HashEncoder(), list[tuple[int, int]]()
    with VectorStore.opened(tmp_path / "plain.sqlite") as store:
        expected = encode(model, TEXTS, store, size=3)
    with VectorStore.opened(tmp_path / "ray.sqlite") as store:
        encode(model, TEXTS[4:5], store, size=3)
        found = RayEncoding(tmp_path, HERE)(
            model, TEXTS, store, size=3, progress=lambda done, total: heard.append((done, total))
        )
        assert len(encoded) == len(set(encoded)) == 4
        again = RayEncoding(tmp_path, HERE)(model, TEXTS, store, size=3)
    assert np.array_equal(found, expected)
    assert np.array_equal(again, expected)
    assert len(encoded) == 4
    assert heard == [(3, 4), (4, 4)]


class Stopped:
    """The desk of a book that began nothing more while a worker was at its block."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, method: str, *values: Any) -> list[Any]:
        self.asked.append(method)
        return []

    def hearing(self, who: str) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def actor(self) -> Any:
        return SimpleNamespace(begin=SimpleNamespace(remote=self.begin))

    async def begin(self, *values: Any) -> None:
        self.asked.append("begin")


def test_a_worker_ends_its_block_where_another_one_stopped_all() -> None:
    book: Any = Stopped()
    remote = RemoteModel("http://localhost:1/v1", None, "", None, Crew(2, 2), book)
    assert list(EncodingWorker(Recipe("some-model", "", remote)).made([{"key": b"k", "text": "a lamp"}])) == []
    assert book.asked == ["lease", "begin", "tell"], "it says nothing of its own"


def test_a_text_that_kills_is_told_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    room.pq.write_table(pa.table({"key": [b"k"], "text": ["a very long text " * 100]}, schema=room.TEXT), path)
    attempts = Attempts(path.with_suffix(".begun"))
    for _ in range(TRIES):
        with pytest.raises(DataError), attempts.of(slice(0, 1)):
            raise DataError("as a death: its end is not noted")
    made = EncodingWorker(Recipe("hash", room.label(HashEncoder())))(pa.table({"path": [str(path)]})).to_pylist()
    assert made == [
        {
            "key": None,
            "vector": None,
            "given_up": "the text of 1,700 characters that begins "
            "'a very long text a very long text a very long text a very lo'",
        }
    ]
