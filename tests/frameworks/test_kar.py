"""KAR against its definition and the public suite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.frameworks.rivals import SMALL, RivalContract, texts_of, told_world, with_texts
from torch import Tensor

from hyperllm.backbones import HGCF
from hyperllm.frameworks.kar import KAR, Adaptor, KARConfig, KARTuned, KARTunedConfig
from hyperllm.testing.framework import world as small_world

KAR_SMALL: dict[str, Any] = {**SMALL, "hidden": 7, "text_width": 3}


class TestKAR(RivalContract):
    kind, told = KAR, KARConfig(**KAR_SMALL)
    off = replace(told, gamma=0.0)
    tolerance = 1e-5


class TestKARTuned(RivalContract):
    kind, told = KARTuned, KARTunedConfig(**KAR_SMALL, fusion="linear", text_dim=8)
    off = KARTunedConfig(**KAR_SMALL, gamma=0.0, gamma_trainable=False)
    tolerance = 1e-5


def mixed(adaptor: Adaptor, s: Tensor, tower: int, *, last_relu: bool) -> Tensor:
    """Two shared experts and the tower's five, each by its softmax gate."""
    weight, bias = adaptor.gates[tower].parameters()
    gates = torch.softmax(s @ weight.T + bias, dim=1)
    total = torch.zeros(len(s), 3)
    for share, expert in zip(gates.T, [*adaptor.shared, *adaptor.dedicated[5 * tower : 5 * tower + 5]], strict=True):
        first, first_bias, second, second_bias = expert.parameters()
        output = torch.relu(s @ first.T + first_bias) @ second.T + second_bias
        total = total + share.unsqueeze(1) * (torch.relu(output) if last_relu else output)
    return total


@pytest.mark.parametrize(("last_relu", "centre"), [(True, False), (False, True)])
def test_a_node_enters_as_its_free_vector_beside_what_its_tower_makes_of_its_text(
    last_relu: bool, centre: bool
) -> None:
    config = KARConfig(**KAR_SMALL, gamma=0.5, last_relu=last_relu, centre=centre)
    framework = KAR(told_world(), HGCF(), config)
    texts = texts_of(framework.world)
    middle = texts[1].mean(0) if centre else 0
    parts = [mixed(framework.adaptor, s - middle, tower, last_relu=last_relu) for tower, s in enumerate(texts)]
    expected = torch.cat([framework.nodes(), 0.5 * torch.cat(parts)], dim=1)
    torch.testing.assert_close(framework.features(), expected, rtol=1e-5, atol=1e-6)


def test_linear_fusion_brings_both_parts_back_to_the_dimension_of_the_tables() -> None:
    beside, fused = (
        KAR(told_world(), HGCF(), KARConfig(**KAR_SMALL, fusion=fusion)) for fusion in ("concat", "linear")
    )
    weight, bias = fused.mix.parameters()
    expected = beside.features() @ weight.T + bias
    assert expected.shape[1] == 6
    torch.testing.assert_close(fused.features(), expected)


@pytest.mark.parametrize("centre", [False, True])
def test_a_node_without_a_text_gets_nothing_from_the_adaptor(centre: bool) -> None:
    users, items = (vectors.numpy() for vectors in texts_of(told_world()))
    world = with_texts(told_world(), np.where(np.arange(len(users))[:, None] == 2, np.float32(0), users), items)
    adapted = KAR(world, HGCF(), KARConfig(**KAR_SMALL, centre=centre)).features()[:, 6:]
    assert not adapted[2].any()
    assert adapted[3].any()


def test_the_two_parts_of_tuned_kar_begin_equally_long() -> None:
    framework = KARTuned(small_world(), HGCF(), KARTunedConfig(**KAR_SMALL))
    table, texts = framework.features().split([6, 3], dim=1)
    torch.testing.assert_close(table.norm(dim=1).mean(), texts.norm(dim=1).mean())
    assert (texts < 0).any()
    plain = KAR(small_world(), HGCF(), KARConfig(**KAR_SMALL)).features()
    assert plain.shape[1] == 9
    assert (plain[:, 6:] >= 0).all()
