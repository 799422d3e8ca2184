"""The fused kernel against its plain twin, Eq. 16 itself, and its promise about memory."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import tangents
from tests.reference import equations
from torch import Tensor

from hyperllm.geometry import lorentz
from hyperllm.losses import contrastive as module
from hyperllm.losses.contrastive import contrastive, contrastive_plain
from hyperllm.testing.memory import largest_tensor


def pair(seed: int, n: int, *, radius: float = 1.5, c: float = 1.0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    found = [lorentz.expmap0(tangents(seed + k, n, radius=radius), c).to(dtype) for k in (0, 1)]
    return [lorentz.project(x, c).requires_grad_() for x in found]


def value_and_gradients(loss: Tensor, of: list[Tensor]) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, of)]


@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0.05, 0.5, 2.0]), st.sampled_from([0.5, 1.0, 2.0]))
def test_both_equal_equation_16(seed: int, n: int, temperature: float, c: float) -> None:
    a, b = pair(seed, n, c=c)
    expected = equations.contrastive(a.detach().numpy(), b.detach().numpy(), temperature, c)
    for function in (contrastive, contrastive_plain):
        assert function(a, b, temperature=temperature, c=c).item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 6), st.sampled_from([0.5, 1.0, 2.0]))
def test_value_and_both_gradients_equal_the_plain_twin_for_any_block(seed: int, n: int, rows: int, c: float) -> None:
    a, b = pair(seed, n, c=c)
    plain = value_and_gradients(3.0 * contrastive_plain(a, b, temperature=0.5, c=c), [a, b])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", 4 * n * rows)
        fused = value_and_gradients(3.0 * contrastive(a, b, temperature=0.5, c=c), [a, b])
    for found, expected in zip(fused, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_float32_agrees_within_its_digits() -> None:
    exact = pair(0, 200)
    single = [x.detach().float().requires_grad_() for x in exact]
    expected = value_and_gradients(contrastive_plain(*exact, temperature=0.5), exact)
    found = value_and_gradients(contrastive(*single, temperature=0.5), single)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


def test_coinciding_views_have_a_finite_value_and_gradient() -> None:
    a, _ = pair(0, 20, dtype=torch.float32)
    b = a.detach().clone().requires_grad_()
    found = value_and_gradients(contrastive(a, b, temperature=0.5), [a, b])
    plain = contrastive_plain(a, b, temperature=0.5)
    assert all(torch.isfinite(x).all() for x in found)
    torch.testing.assert_close(found[0], plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("dtype", "radius"), [(torch.float64, 50.0), (torch.float32, 21.0)])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_far_apart_points_stay_finite(dtype: torch.dtype, radius: float, temperature: float) -> None:
    """Opposite points 100 apart have d² = 10⁴, and exp(−d²/τ) is 0 in any format; float32 holds cosh(d) to d = 44."""
    v = torch.tensor([[radius, 0.0], [-radius, 0.0]], dtype=dtype)
    a, b = (lorentz.expmap0(v).requires_grad_(), lorentz.expmap0(-v).requires_grad_())
    found = value_and_gradients(contrastive(a, b, temperature=temperature), [a, b])
    assert found[0].item() == pytest.approx(2 * (2 * radius) ** 2 / temperature, rel=0.01)
    assert all(torch.isfinite(x).all() for x in found)


def test_anchor_samples_are_unbiased() -> None:
    a, b = pair(3, 6)
    full = value_and_gradients(contrastive(a, b, temperature=0.5), [a, b])
    for size in (1, 2):
        draws = [
            value_and_gradients(contrastive(a, b, temperature=0.5, anchors=torch.tensor(rows)), [a, b])
            for rows in combinations(range(6), size)
        ]
        for k, expected in enumerate(full):
            torch.testing.assert_close(torch.stack([d[k] for d in draws]).mean(0), expected)


def test_all_rows_as_anchors_are_the_full_sum() -> None:
    a, b = pair(4, 9)
    order = torch.tensor([3, 1, 2, 0, 8, 7, 6, 5, 4])
    sampled = value_and_gradients(contrastive(a, b, temperature=0.5, anchors=order), [a, b])
    for found, expected in zip(sampled, value_and_gradients(contrastive(a, b, temperature=0.5), [a, b]), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_fused_kernel_never_holds_an_item_by_item_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    n, rows = 400, 16
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * n * rows)
    a, b = pair(0, n, dtype=torch.float32)
    with largest_tensor() as largest:
        contrastive(a, b, temperature=0.5).backward()
    assert largest.numel <= n * rows
    with largest_tensor() as largest:
        contrastive_plain(a, b, temperature=0.5).backward()
    assert largest.numel >= n * n, "the measurement itself is blind"


def test_it_is_bitwise_deterministic_and_leaves_its_inputs_alone() -> None:
    a, b = pair(7, 50, dtype=torch.float32)
    before = [a.detach().clone(), b.detach().clone()]
    first, second = (value_and_gradients(contrastive(a, b, temperature=0.5), [a, b]) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in chain(zip(first, second, strict=True), zip(before, [a, b], strict=True)))


def test_the_best_alignment_costs_least() -> None:
    a, _ = pair(1, 12)
    own = contrastive(a, a.detach(), temperature=0.1).item()
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(12), (20, 1)), axis=1)
    shuffled = [contrastive(a, a.detach()[torch.from_numpy(order)], temperature=0.1).item() for order in orders]
    assert own < min(shuffled)
