"""Text vectors as one matrix, and as means over training items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.frameworks.rivals import texts_of, told_world, with_texts

from hyperllm.backbones import HGCF
from hyperllm.errors import DataError
from hyperllm.frameworks import FRAMEWORKS
from hyperllm.frameworks.text import mean_of_items, text_features
from hyperllm.frameworks.whitening import Whitening
from hyperllm.testing.framework import world as small_world


def test_without_a_dimension_texts_are_as_they_are_users_first() -> None:
    world = told_world()
    assert torch.equal(text_features(world, None), torch.cat(texts_of(world)))


def test_with_one_they_are_directions_that_the_items_alone_decide() -> None:
    world = told_world()
    users, items = (vectors.numpy() for vectors in texts_of(world))
    found = text_features(world, 4)
    assert found.shape == (world.users + world.items, 4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))
    expected = Whitening.fit(items, dim=4).directions(users)
    torch.testing.assert_close(found[: world.users], torch.from_numpy(expected))
    elsewhere = text_features(with_texts(world, users[::-1].copy(), items), 4)
    assert torch.equal(elsewhere[world.users :], found[world.users :])


def test_a_mean_is_over_the_training_items_and_zero_without_any() -> None:
    world = replace(small_world(), users=3, items=4, train=np.array([[0, 1], [0, 3], [2, 1]]))
    items = torch.tensor([[9.0, 9.0], [1.0, 0.0], [9.0, 9.0], [3.0, 4.0]])
    expected = torch.tensor([[2.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(mean_of_items(world, items), expected)


@pytest.mark.parametrize("name", [name for name, kind in FRAMEWORKS.items() if kind.uses_text])
def test_a_framework_without_its_texts_says_so(name: str) -> None:
    kind = FRAMEWORKS[name]
    with pytest.raises(DataError, match="hyperllm embed"):
        kind(replace(small_world(), semantics=None), HGCF(), kind.config_class(dim=2))
