"""How the rows of a graph are cut; `test_columns` has what processes do with them."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hyperllm.cli.app import main
from hyperllm.errors import ConfigError, DataError
from hyperllm.graph import Edges, Graph
from hyperllm.scale import rows
from hyperllm.scale.launch import Division


def edges(seed: int, *, among: bool) -> Edges:
    rng = np.random.default_rng(seed)
    left, right = rng.integers(1, 30, size=2)
    cross = np.stack([rng.integers(left, size=40), rng.integers(right, size=40)], axis=1)
    return Edges(left, right, cross, rng.integers(left, size=(20, 2)) if among else None, left_weight=0.3)


def plain(matrix: torch.Tensor) -> sparse.csr_matrix:
    parts = matrix.values(), matrix.col_indices(), matrix.crow_indices()
    return sparse.csr_matrix(tuple(part.numpy() for part in parts), shape=tuple(matrix.shape))


@given(seed=st.integers(0, 10_000), among=st.booleans(), parts=st.integers(1, 9))
def test_parts_of_the_rows_are_those_of_the_whole_graph(seed: int, among: bool, parts: int) -> None:
    world = edges(seed, among=among)
    whole = Graph.of(world.left, world.right, world.cross, among_left=world.among_left, left_weight=world.left_weight)
    cut = rows.cut(world, parts)
    assert [part.start for part in cut] == [0, *(part.stop for part in cut[:-1])]
    assert cut[-1].stop == world.nodes
    found = [world.normalised(part) for part in cut]
    assert (sparse.vstack([plain(operator) for operator, _, _ in found]) != plain(whole.operator)).nnz == 0
    assert (sparse.hstack([plain(turned) for _, turned, _ in found]) != plain(whole.transposed)).nnz == 0
    assert torch.equal(torch.cat([degree for _, _, degree in found]), whole.degree)


def test_parts_have_about_as_many_stored_numbers() -> None:
    rng = np.random.default_rng(0)
    world = Edges(400, 300, np.stack([rng.integers(400, size=9_000), rng.integers(300, size=9_000)], axis=1))
    held = [world.normalised(part)[0].values().numel() for part in rows.cut(world, 4)]
    assert max(held) < 1.05 * min(held)


@given(seed=st.integers(0, 10_000), among=st.booleans())
def test_edges_are_numbered_as_in_the_whole_graph(seed: int, among: bool) -> None:
    world = edges(seed, among=among)
    whole = Graph.of(world.left, world.right, world.cross, among_left=world.among_left)
    entries = whole.operator.to_sparse_coo().coalesce().indices().numpy()
    above = entries[:, entries[0] < entries[1]]
    assert np.array_equal(world.keys(), above[0] * world.nodes + above[1])


def test_more_than_a_process_can_count_is_refused() -> None:
    with patch.object(rows, "MOST", 10), pytest.raises(DataError, match="more replicas"):
        rows.cut(edges(1, among=False), 2)


def test_a_graph_is_shared_by_replicas_alone() -> None:
    with pytest.raises(ConfigError, match="--replicas"):
        Division(share_graph=True)


def test_the_command_wants_several_processes_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "shop", "--replicas", "2", "--share-graph"]) == 2
    assert "start them with --ray or torchrun" in capsys.readouterr().err
