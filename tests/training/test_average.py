from __future__ import annotations

import pytest
import torch
from torch import nn

from hyperllm.training.average import WeightAverage


def module(value: float = 0.0) -> nn.Linear:
    found = nn.Linear(1, 1, bias=False)
    nn.init.constant_(found.weight, value)
    return found


def test_by_hand_the_first_steps_forget_faster() -> None:
    weights = module(0.0)
    average = WeightAverage(weights, decay=0.25)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 4.0], start=1):
        nn.init.constant_(weights.weight, value)
        average.update()
        keep = min(0.25, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
    with average.applied():
        assert weights.weight.item() == pytest.approx(expected)
    assert weights.weight.item() == 4.0


def test_decay_zero_follows_exactly() -> None:
    weights = module(0.3)
    average = WeightAverage(weights, decay=0.0)
    nn.init.constant_(weights.weight, 0.1)
    average.update()
    with average.applied():
        assert torch.equal(weights.weight, torch.full((1, 1), 0.1))


def test_its_own_weights_come_back_after_an_error() -> None:
    weights = module(1.0)
    average = WeightAverage(weights, decay=0.9)
    nn.init.constant_(weights.weight, 5.0)

    def fail() -> None:
        with average.applied():
            assert weights.weight.item() == 1.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert weights.weight.item() == 5.0


def test_what_does_not_learn_is_not_averaged() -> None:
    weights = module(1.0)
    weights.weight.requires_grad_(False)
    assert set(WeightAverage(weights, decay=0.9).state()) == {"steps"}


def test_restored_it_goes_on_the_same() -> None:
    weights = module(1.0)
    one, other = WeightAverage(weights, decay=0.9), WeightAverage(module(7.0), decay=0.9)
    one.update()
    other.restore(one.state())
    assert other.state()["steps"] == 1
    assert torch.equal(other.state()["weight"], one.state()["weight"])
