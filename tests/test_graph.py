from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import equations, hypercl

from hyperllm.errors import DataError
from hyperllm.graph import Graph, Triplets


def dense(graph: Graph) -> np.ndarray:
    return graph.operator.to_dense().double().numpy()


@st.composite
def bipartite(draw: st.DrawFn) -> tuple[int, int, np.ndarray, np.ndarray]:
    left, right = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    cross = np.stack([rng.integers(left, size=10), rng.integers(right, size=10)], axis=1)[: draw(st.integers(0, 10))]
    among = rng.integers(left, size=(8, 2))[: draw(st.integers(0, 8))]
    return left, right, cross, among[among[:, 0] != among[:, 1]]


@given(bipartite(), st.sampled_from([1.0, 2.0, 0.5]))
def test_the_operator_is_row_normalised_with_self_loops_and_counts_duplicates_once(
    world: tuple[int, int, np.ndarray, np.ndarray], weight: float
) -> None:
    left, right, cross, among = world
    edges = np.concatenate([cross + np.array([0, left]), among])
    weights = np.concatenate([np.ones(len(cross)), np.full(len(among), weight)])
    graph = Graph.of(left, right, cross, among_left=among, left_weight=weight)
    expected = equations.row_normalised(left + right, edges, weights)
    np.testing.assert_allclose(dense(graph), expected, atol=1e-7)
    np.testing.assert_allclose(dense(graph).sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(graph.transposed.to_dense().numpy(), dense(graph).T)
    assert graph.nodes == left + right


@given(bipartite())
def test_pairs_alone_are_laid_out_as_a_graph_of_any_edges_is(world: tuple[int, int, np.ndarray, np.ndarray]) -> None:
    left, right, cross, _ = world
    graph, matrix = Graph.of(left, right, cross), np.eye(left + right)
    matrix[cross[:, 0], cross[:, 1] + left] = matrix[cross[:, 1] + left, cross[:, 0]] = 1.0
    expected = torch.from_numpy(matrix / matrix.sum(1, keepdims=True)).float()
    for operator, wanted in ((graph.operator, expected), (graph.transposed, expected.T)):
        assert torch.equal(operator.to_dense(), wanted)
        starts, columns = operator.crow_indices(), operator.col_indices()
        assert starts.dtype == columns.dtype == torch.int32
        for start, stop in pairwise(starts.tolist()):
            assert (columns[start:stop].diff() > 0).all()
    assert torch.equal(graph.degree, torch.from_numpy(matrix.sum(1)).float())
    assert graph.bipartite


def test_more_numbers_than_32_bits_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cross = np.array([[0, 0], [1, 1], [1, 0]])
    monkeypatch.setattr("hyperllm.graph.MOST", 9)
    with pytest.raises(DataError, match="10 stored numbers"):
        Graph.of(2, 2, cross)
    assert Graph.of(2, 1, cross[[0, 2]]).nodes == 3


@given(bipartite())
def test_propagation_and_its_gradient_are_those_of_the_dense_matrix(
    world: tuple[int, int, np.ndarray, np.ndarray],
) -> None:
    left, right, cross, among = world
    graph = Graph.of(left, right, cross, among_left=among)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(graph.nodes, 3, generator=rng, requires_grad=True)
    weight = torch.randn(graph.nodes, 3, generator=rng)
    plain = x.detach().clone().requires_grad_()
    twice, twice_plain = (
        graph.propagate(graph.propagate(x)),
        graph.operator.to_dense() @ graph.operator.to_dense() @ plain,
    )
    torch.testing.assert_close(twice, twice_plain, atol=1e-6, rtol=1e-5)
    (twice * weight).sum().backward()
    (twice_plain * weight).sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, atol=1e-6, rtol=1e-5)


def test_an_isolated_node_keeps_its_own_vector_and_the_last_ones_are_not_lost() -> None:
    graph = Graph.of(2, 3, np.array([[0, 0]]))
    x = torch.arange(15.0).reshape(5, 3)
    found = graph.propagate(x)
    torch.testing.assert_close(found[[1, 3, 4]], x[[1, 3, 4]])
    torch.testing.assert_close(found[0], (x[0] + x[2]) / 2)


@given(bipartite(), st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from([1.0, 2.0]))
def test_dropping_edges_leaves_the_symmetric_operator_of_the_others(
    world: tuple[int, int, np.ndarray, np.ndarray], share: float, weight: float
) -> None:
    left, right, cross, among = world
    n = left + right
    graph = Graph.of(left, right, cross, among_left=among, left_weight=weight)
    whole = np.zeros((n, n))
    for edges, value in ((cross + np.array([0, left]), 1.0), (among, weight)):
        whole[edges[:, 0], edges[:, 1]] = whole[edges[:, 1], edges[:, 0]] = value
    dropped = graph.dropped(share, torch.Generator().manual_seed(0))
    stays = dense(dropped) > 0
    assert (stays <= (whole > 0)).all()
    assert stays.sum() == 2 * round((1 - share) * (whole > 0).sum() / 2)
    np.testing.assert_allclose(dense(dropped), hypercl.symmetric(whole * stays), atol=1e-6)
    np.testing.assert_array_equal(dense(dropped), dense(dropped).T)
    np.testing.assert_allclose(dropped.degree.numpy(), (whole * stays).sum(1), rtol=1e-6)
    again = graph.dropped(share, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(dense(again), dense(dropped))
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    dropped.propagated_sum(x, 2).square().sum().backward()
    plain = x.detach().clone().requires_grad_()
    matrix = dropped.operator.to_dense()
    (matrix @ plain + matrix @ (matrix @ plain)).square().sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, atol=1e-5, rtol=1e-5)


def test_every_edge_is_as_likely_to_stay() -> None:
    graph = Graph.of(4, 5, np.argwhere(np.ones((4, 5))))
    rng = torch.Generator().manual_seed(0)
    stayed = sum((dense(graph.dropped(0.35, rng))[:4, 4:] > 0).astype(int) for _ in range(2000))
    np.testing.assert_allclose(stayed / 2000, 0.65, atol=0.05)


def test_a_self_edge_of_a_tag_is_in_the_operator_and_in_no_view() -> None:
    graph = Graph.of(2, 1, np.array([[0, 0], [1, 0]]), among_left=np.array([[0, 0], [0, 1]]), left_weight=2.0)
    assert (graph.bipartite, graph.degree.tolist()) == (False, [6.0, 4.0, 3.0])
    view = graph.dropped(0.0, torch.Generator().manual_seed(0))
    adjacency = np.array([[0.0, 2.0, 1.0], [2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    np.testing.assert_allclose(dense(view), hypercl.symmetric(adjacency), atol=1e-6)


def test_triplets_know_their_length_and_move_together() -> None:
    triplets = Triplets(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([[4], [5]]))
    assert len(triplets) == 2
    moved = triplets.to(torch.device("cpu"))
    assert [t.tolist() for t in (moved.anchor, moved.positive, moved.negative)] == [[0, 1], [2, 3], [[4], [5]]]
