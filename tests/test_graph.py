from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import equations

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


def test_triplets_know_their_length_and_move_together() -> None:
    triplets = Triplets(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([[4], [5]]))
    assert len(triplets) == 2
    moved = triplets.to(torch.device("cpu"))
    assert [t.tolist() for t in (moved.anchor, moved.positive, moved.negative)] == [[0, 1], [2, 3], [[4], [5]]]
