"""The fused kernel against its plain twin, Eq. 16 itself, and its promise about memory."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.test_lorentz import tangents
from tests.reference import equations
from torch import Tensor

from hyperllm.errors import ConfigError, MisalignedArrays
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


@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([None, 40, 1000]),
)
def test_value_and_both_gradients_equal_the_plain_twin_for_any_tile(
    seed: int, n: int, tile: tuple[int, int], c: float, population: int | None
) -> None:
    a, b = pair(seed, n, c=c)
    options = {"temperature": 0.5, "c": c, "population": population}
    plain = value_and_gradients(3.0 * contrastive_plain(a, b, **options), [a, b])  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        fused = value_and_gradients(3.0 * contrastive(a, b, **options), [a, b])  # type: ignore[arg-type]
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
    """Own items 100 apart and the others, at a right angle, ln 2 nearer: exp(−d²/τ) of either is 0 in any format."""
    v = torch.tensor([[radius, 0.0], [0.0, radius]], dtype=dtype)
    a, b = (lorentz.expmap0(v).requires_grad_(), lorentz.expmap0(-v).requires_grad_())
    found = value_and_gradients(contrastive(a, b, temperature=temperature), [a, b])
    own, other = 2 * radius, 2 * radius - math.log(2)
    assert found[0].item() == pytest.approx(2 * (own**2 - other**2) / temperature, rel=1e-3)
    assert all(torch.isfinite(x).all() for x in found)


def test_a_sample_estimates_the_sum_over_all_items() -> None:
    """The mean over draws comes nearer as the sample grows: the bias of the logarithm falls like 1/s."""
    a, b = pair(3, 60)
    whole = contrastive(a, b, temperature=0.5).item()
    rng = np.random.default_rng(0)
    off = []
    for size in (5, 20, 60):
        draws = [torch.from_numpy(rng.choice(60, size, replace=False)) for _ in range(400)]
        values = [contrastive(a[d], b[d], temperature=0.5, population=60).item() for d in draws]
        off.append(abs(np.mean(values) / whole - 1))
    assert off[0] < 0.06
    assert off[1] < 0.02
    assert off[2] < 1e-9, "a sample of everything, in any order, is exact"


def test_without_other_items_nothing_is_left_to_contrast() -> None:
    a, b = pair(5, 1)
    found = value_and_gradients(contrastive(a, b, temperature=0.5, population=9), [a, b])
    assert all(bool((x.abs() < 1e-9).all()) for x in found)


def test_the_fused_kernel_never_holds_an_item_by_item_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    n, rows = 400, 16
    monkeypatch.setattr(module, "TILE", (rows, 50))
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


def test_views_that_do_not_fit_and_impossible_samples_are_refused() -> None:
    a, b = pair(0, 5)
    with pytest.raises(MisalignedArrays, match="equal"):
        contrastive(a, b[:4], temperature=0.5)
    with pytest.raises(ConfigError, match="5 items cannot be a sample of 3"):
        contrastive(a, b, temperature=0.5, population=3)
    assert contrastive(a[:0], b[:0], temperature=0.5).item() == 0


@pytest.mark.parametrize(("bits", "off"), [(10, 0.005), (7, 0.03)], ids=["tf32", "bf16"])
def test_products_of_fewer_digits_change_the_gradients_little(
    bits: int, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `precision` stands for, done by rounding what the products read."""
    a, b = pair(0, 300, dtype=torch.float32)
    exact = value_and_gradients(contrastive(a, b, temperature=0.5), [a, b])

    def rounded(x: Tensor) -> Tensor:
        fraction, exponent = torch.frexp(x)
        return torch.ldexp(torch.round(fraction * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent)

    true_mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda x, y, out: true_mm(rounded(x), rounded(y), out=out))
    coarse = value_and_gradients(contrastive(a, b, temperature=0.5), [a, b])
    for found, expected in zip(coarse, exact, strict=True):
        error = float((found - expected).norm() / expected.norm())
        assert 0 < error < off
