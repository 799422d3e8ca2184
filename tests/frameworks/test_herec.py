"""HERec's alignment against its definition and the public suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.frameworks.rivals import SMALL, RivalContract, by_mean, first_step, texts_of, told_world

from hyperllm.backbones import HGCF, LightGCN
from hyperllm.backbones.base import Backbone
from hyperllm.frameworks.herec import HERec, HERecConfig


class TestHERec(RivalContract):
    kind, told = HERec, HERecConfig(**SMALL)
    off = HERecConfig(**SMALL, align_weight=0.0)


class TestHERecOfFlatSpace(RivalContract):
    kind, told, backbone = HERec, HERecConfig(**SMALL, text_dim=8), LightGCN


@pytest.mark.parametrize("backbone", [HGCF, LightGCN, by_mean])
def test_every_user_and_positive_is_drawn_to_the_point_of_its_text(backbone: Callable[[], Backbone]) -> None:
    framework = HERec(told_world(), backbone(), HERecConfig(**SMALL, align_weight=0.3))
    batch, encoded, terms = first_step(framework)
    manifold, triplets = framework.backbone.manifold, batch.user_item
    rows = torch.cat([triplets.anchor, triplets.positive])
    texts = torch.cat(texts_of(framework.world))[rows]
    expected = 0.3 * manifold.sqdist(encoded.points[rows], manifold.expmap0(framework.project(texts))).sum()
    if backbone is by_mean:
        expected = expected / len(triplets.anchor)
    torch.testing.assert_close(terms["align"], expected, rtol=1e-5, atol=0)
