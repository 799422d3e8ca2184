"""What every framework must do, as a test class to inherit.

Knows the contract of `hyperllm.frameworks.base` and the training loop's. Does not know what a framework adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.frameworks.base import Base, Batch, Framework
from hyperllm.frameworks.config import BaseConfig
from hyperllm.frameworks.world import World
from hyperllm.testing.worlds import tree_world
from hyperllm.training.loop import FitConfig, fit
from hyperllm.training.report import Epoch, FitReport

LIMITS = FitConfig(epochs=3, average=0.5, checkpoint_every_s=0)


class Interrupted(Exception):
    """Raised by a test in the middle of a training."""


class FrameworkContract:
    """Inherit and write ``build``; where some setting makes the framework equal to base, write ``neutral`` too."""

    base: ClassVar[BaseConfig] = BaseConfig(dim=6, batch_size=200, learning_rate=0.01, margin=1.0)
    """The configuration of plain training that ``neutral`` is compared with."""
    tolerance: ClassVar[float] = 0.0
    """Largest difference of points between ``neutral`` and base; 0 means bit for bit."""

    def build(self, world: World, *, seed: int) -> Framework:
        """The framework on ``world``, which has tags and text vectors."""
        raise NotImplementedError

    def neutral(self, world: World, *, seed: int) -> Framework | None:
        """The framework at the setting that equals base, None where there is none."""
        del world, seed
        return None

    def test_parameter_groups_cover_the_model_exactly(self) -> None:
        """Every parameter that learns is in one group of one optimiser, and nothing else is."""
        framework = self.build(world(), seed=0)
        grouped = [id(p) for o in framework.optimizers for group in o.param_groups for p in group["params"]]
        assert len(grouped) == len(set(grouped)), "a parameter stands in two groups"
        assert set(grouped) == {id(p) for p in framework.parameters() if p.requires_grad}

    def test_what_learns_moves_and_what_is_frozen_stays(self) -> None:
        """Frozen parameters and buffers keep their bits through a training."""
        framework = self.build(world(), seed=0)
        before = state(framework)
        learns = {name for name, p in framework.named_parameters() if p.requires_grad}
        fit(framework, LIMITS)
        moved = {name for name, value in framework.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == learns

    def test_every_step_starts_without_gradients(self) -> None:
        """And every term of every step is a finite scalar under its own name."""
        framework = self.build(world(), seed=0)
        losses = framework.losses
        steps: list[int] = []

        def watched(batch: Batch) -> dict[str, Tensor]:
            assert all(p.grad is None for p in framework.parameters()), "a gradient is left"
            terms = losses(batch)
            assert all(t.ndim == 0 and bool(torch.isfinite(t)) for t in terms.values())
            steps.append(len(terms))
            return terms

        framework.losses = watched
        fit(framework, LIMITS)
        assert len(steps) == 3 * framework.steps
        assert len(set(steps)) == 1

    def test_an_epoch_is_the_same_however_often_it_is_asked(self) -> None:
        """And another epoch is another."""
        framework = self.build(world(), seed=0)
        first, again, other = ([flat(b) for b in framework.batches(epoch)] for epoch in (1, 1, 9))
        assert len(first) == framework.steps
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, other, strict=True))

    def test_a_seed_decides_every_bit(self) -> None:
        """Two trainings with one seed agree; another seed does not."""
        results: list[dict[str, Tensor]] = []
        for seed in (0, 0, 1):
            framework = self.build(world(), seed=seed)
            fit(framework, LIMITS)
            results.append(state(framework))
        assert equal(results[0], results[1])
        assert not equal(results[0], results[2])

    @pytest.mark.parametrize("after", [1, 2])
    def test_interrupted_it_goes_on_bit_for_bit(self, tmp_path: Path, after: int) -> None:
        """From a checkpoint, with a fresh framework."""
        whole = self.build(world(), seed=0)
        fit(whole, LIMITS)

        def stop(epoch: Epoch, report: FitReport) -> None:
            del report
            if epoch.number == after:
                raise Interrupted

        with pytest.raises(Interrupted):
            fit(self.build(world(), seed=0), LIMITS, folder=tmp_path / "checkpoint", on_epoch=[stop])
        resumed = self.build(world(), seed=0)
        fit(resumed, LIMITS, folder=tmp_path / "checkpoint")
        assert equal(state(resumed), state(whole))

    def test_held_out_pairs_do_not_influence_training(self) -> None:
        """Other test pairs leave every weight as it is."""
        results: list[dict[str, Tensor]] = []
        for shuffled in (False, True):
            framework = self.build(world(shuffled=shuffled), seed=0)
            fit(framework, LIMITS)
            results.append(state(framework))
        assert equal(*results)

    def test_validation_does_not_influence_a_step(self) -> None:
        """Weights after training are those of a loop that never validates."""
        watched, blind = (self.build(world(), seed=0) for _ in range(2))
        for epoch in (1, 2):
            for framework in (watched, blind):
                framework.train()
                for batch in framework.batches(epoch):
                    for optimizer in framework.optimizers:
                        optimizer.zero_grad()
                    torch.stack(list(framework.losses(batch).values())).sum().backward()
                    for optimizer in framework.optimizers:
                        optimizer.step()
            watched.validate()
        assert equal(state(watched), state(blind))

    def test_the_neutral_setting_equals_base(self) -> None:
        """Points after a short training."""
        framework = self.neutral(world(), seed=0)
        if framework is None:
            pytest.skip("this framework has no setting that equals base")
        plain = Base(world(), HGCF(), self.base, seed=0)
        fit(framework, LIMITS)
        fit(plain, LIMITS)
        for ours, theirs in zip(framework.points(), plain.points(), strict=True):
            padded = torch.nn.functional.pad(theirs, (0, ours.shape[1] - theirs.shape[1]))  # of a wider space
            torch.testing.assert_close(ours, padded, atol=self.tolerance, rtol=0)


def world(*, shuffled: bool = False) -> World:
    """A small planted world with tags and text vectors; its test pairs ``shuffled`` over the users or not."""
    planted = tree_world(depth=2, seed=3)
    split = planted.split
    if shuffled:
        order = np.random.default_rng(0).permutation(len(split.test))
        split = replace(split, test=Pairs(split.test.user, split.test.item[order]))
    return World.of(split, tags=planted.tags, semantics=planted.semantics)


def state(framework: Framework) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: value.detach().clone() for name, value in framework.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def flat(batch: Batch) -> Tensor:
    """Everything random of a batch in one tensor."""
    parts = [t for triplets in (batch.user_item, batch.tag) if triplets is not None for t in vars(triplets).values()]
    return torch.cat([*(p.flatten() for p in parts), *([] if batch.drawn is None else [batch.drawn])])
