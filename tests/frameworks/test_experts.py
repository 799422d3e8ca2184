from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import equations

from hyperllm.frameworks import experts
from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.frameworks.inputs import SemanticInputs
from hyperllm.testing import largest_tensor


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))
def test_it_equals_equations_8_to_10(seed: int, count: int, dim: int, text_dim: int, n: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    layer = MixtureOfExperts(text_dim, dim, experts=count, generator=rng)
    s = torch.randn(n, text_dim, generator=rng)
    weights, biases = layer.expert_weight.view(count, dim, text_dim), layer.expert_bias.view(count, dim)

    def double(x: torch.Tensor) -> np.ndarray:
        return x.detach().double().numpy()

    gate = (double(layer.gate_weight), double(layer.gate_bias))
    each = [(double(weights[k]), double(biases[k])) for k in range(count)]
    np.testing.assert_allclose(double(layer(s)), equations.mixture(double(s), gate, each), atol=1e-5)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 60), st.booleans())
def test_its_gradients_are_those_of_autograd_for_any_block(seed: int, n: int, block: int, text_learns: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    layer = MixtureOfExperts(4, 3, experts=2, generator=rng).double()
    s = torch.randn(n, 4, generator=rng, dtype=torch.float64).requires_grad_(text_learns)
    pushed = torch.randn(n, 3, generator=rng, dtype=torch.float64)
    gates = torch.softmax(s @ layer.gate_weight.T + layer.gate_bias, dim=-1)
    each = torch.addmm(layer.expert_bias, s, layer.expert_weight.T).view(n, 2, 3)
    plain = torch.einsum("nk,nkd->nd", gates, each)
    wanted = [*([s] if text_learns else []), *layer.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "OUTPUTS", block)
        mixed = layer(s)
        found = torch.autograd.grad(mixed, wanted, pushed)
    torch.testing.assert_close(mixed, plain)
    for ours, theirs in zip(found, torch.autograd.grad(plain, wanted, pushed), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_experts_outputs_are_never_held_for_all_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts, "OUTPUTS", 1000)
    layer = MixtureOfExperts(4, 10, experts=8, generator=torch.Generator().manual_seed(0))
    with largest_tensor() as largest:
        layer(torch.randn(500, 4)).sum().backward()
    assert largest.numel <= 500 * 10


def test_its_start_is_decided_by_the_generator_alone() -> None:
    torch.manual_seed(0)
    one = MixtureOfExperts(4, 3, experts=2, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(1)
    other = MixtureOfExperts(4, 3, experts=2, generator=torch.Generator().manual_seed(5))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_text_vectors_learn_only_when_asked() -> None:
    layer = MixtureOfExperts(4, 3, experts=2, generator=torch.Generator().manual_seed(5))
    vectors = torch.ones(2, 4)
    for trainable in (False, True):
        inputs = SemanticInputs(layer, vectors, trainable=trainable)
        inputs().sum().backward()
        assert (inputs.vectors.grad is not None) == trainable
    assert torch.equal(vectors, torch.ones(2, 4))
