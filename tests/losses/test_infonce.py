"""InfoNCE on cosines against its definition."""

from __future__ import annotations

import pytest
import torch

from hyperllm.losses import infonce
from hyperllm.losses.infonce import info_nce


def plain(a: torch.Tensor, z: torch.Tensor, own: torch.Tensor, *, temperature: float) -> torch.Tensor:
    logits = torch.nn.functional.cosine_similarity(a.unsqueeze(1), z.unsqueeze(0), dim=-1) / temperature
    return torch.nn.functional.cross_entropy(logits, own, reduction="none")


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
@pytest.mark.parametrize("temperature", [0.02, 0.2, 1.0])
def test_value_and_gradient_are_those_of_a_softmax(
    block: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infonce, "LOGITS", block)
    rng = torch.Generator().manual_seed(0)
    a, z = (torch.randn(n, 5, generator=rng, dtype=torch.float64).requires_grad_() for n in (11, 7))
    own = torch.randint(7, (11,), generator=rng)
    weight = torch.rand(11, generator=rng, dtype=torch.float64)
    found = info_nce(a, z, own, temperature=temperature, weight=weight)
    gradients = torch.autograd.grad(3 * found, (a, z))
    expected = (weight * plain(a, z, own, temperature=temperature)).sum()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(3 * expected, (a, z)))


def test_what_stands_there_twice_counts_twice() -> None:
    rng = torch.Generator().manual_seed(0)
    every, texts = (torch.randn(6, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    batch = torch.tensor([0, 3, 3, 5, 0, 0])
    rows, times = torch.unique(batch, return_counts=True)
    own = torch.arange(len(rows))
    found = info_nce(every[rows], texts[rows], own, temperature=0.3, weight=times, count=times)
    expected = plain(every[batch], texts[batch], torch.arange(6), temperature=0.3).sum()
    torch.testing.assert_close(found, expected)


def test_float32_carries_the_lowest_temperature() -> None:
    a = torch.eye(2)
    near, far = (info_nce(sign * a, a, torch.arange(2), temperature=0.02) for sign in (1.0, -1.0))
    assert float(near) == pytest.approx(0.0, abs=1e-4)
    assert float(far) == pytest.approx(2 * 50, rel=1e-4)
