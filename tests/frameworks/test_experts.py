from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import equations

from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.frameworks.inputs import SemanticInputs


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))
def test_it_equals_equations_8_to_10(seed: int, experts: int, dim: int, text_dim: int, n: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    layer = MixtureOfExperts(text_dim, dim, experts=experts, generator=rng)
    s = torch.randn(n, text_dim, generator=rng)
    weights, biases = layer.expert_weight.view(experts, dim, text_dim), layer.expert_bias.view(experts, dim)

    def double(x: torch.Tensor) -> np.ndarray:
        return x.detach().double().numpy()

    gate = (double(layer.gate_weight), double(layer.gate_bias))
    each = [(double(weights[k]), double(biases[k])) for k in range(experts)]
    np.testing.assert_allclose(double(layer(s)), equations.mixture(double(s), gate, each), atol=1e-5)


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
