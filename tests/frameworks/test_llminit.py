"""LLMInit's start, and the public suite."""

from __future__ import annotations

import pytest
import torch
from tests.frameworks.rivals import SMALL, RivalContract, texts_of, told_world, with_texts

from hyperllm.backbones import HGCF
from hyperllm.errors import ConfigError
from hyperllm.frameworks.llminit import LLMInit, LLMInitConfig
from hyperllm.testing.framework import world as small_world


class TestLLMInit(RivalContract):
    kind, told = LLMInit, LLMInitConfig(**SMALL, start_radius=0.4)


def test_a_table_started_from_texts_holds_their_coordinates() -> None:
    world = told_world()
    framework = LLMInit(world, HGCF(), LLMInitConfig(dim=3, select="uniform", parametrisation="tangent"))
    users, items = framework.features().detach().split([world.users, world.items])
    torch.testing.assert_close(items, texts_of(world)[1][:, [0, 2, 5]])  # of 8
    mine = torch.from_numpy(world.train[world.train[:, 0] == 3][:, 1].copy())
    torch.testing.assert_close(users[3], items[mine].mean(0))


def test_coordinates_are_those_that_vary_most_over_popular_items() -> None:
    world = small_world()
    vectors = torch.randn(world.items, 16, generator=torch.Generator().manual_seed(0))
    vectors[:, [2, 5]] *= 10
    world = with_texts(world, texts_of(world)[0].numpy(), vectors.numpy())
    framework = LLMInit(world, HGCF(), LLMInitConfig(dim=2, parametrisation="tangent"))
    torch.testing.assert_close(framework.features().detach()[world.users :], vectors[:, [2, 5]])


def test_users_and_items_are_brought_to_the_same_mean_length() -> None:
    world = told_world()
    framework = LLMInit(world, HGCF(), LLMInitConfig(**SMALL, start_radius=0.4, parametrisation="tangent"))
    for part in framework.features().detach().split([world.users, world.items]):
        torch.testing.assert_close(part.norm(dim=1).mean(), torch.tensor(0.4))


def test_more_dimensions_than_texts_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="lower dim"):
        LLMInit(small_world(), HGCF(), LLMInitConfig(dim=5000))
