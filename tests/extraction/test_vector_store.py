"""The vector store: what was encoded once is read back exactly, and damage costs only work."""

from __future__ import annotations

import numpy as np

from hyperllm.extraction.vector_store import VectorStore, key


def test_what_is_put_is_got_in_another_process_too(tmp_path):
    rows = {key("v", str(n)): np.arange(n, n + 3, dtype=np.float32) for n in range(1200)}
    with VectorStore.opened(tmp_path / "v.sqlite") as store:
        store.put(rows)
    with VectorStore.opened(tmp_path / "v.sqlite") as store:
        found = store.get([*rows, key("v", "unknown")])
    assert found.keys() == rows.keys()
    assert all((found[k] == rows[k]).all() for k in rows)


def test_another_version_is_another_key():
    assert len({key("a", "text"), key("b", "text"), key("a", "text "), key("at", "ext")}) == 4


def test_a_damaged_store_is_begun_anew(tmp_path):
    path = tmp_path / "v.sqlite"
    path.write_bytes(b"scribble" * 2000)
    with VectorStore.opened(path) as store:
        assert store.get([key("v", "a")]) == {}
        store.put({key("v", "a"): np.ones(2, dtype=np.float32)})
    with VectorStore.opened(path) as store:
        assert store.get([key("v", "a")])[key("v", "a")].tolist() == [1, 1]
