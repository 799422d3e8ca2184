"""AlphaRec against its definition and the public suite."""

from __future__ import annotations

import pytest
import torch
from tests.frameworks.rivals import SMALL, RivalContract, first_step, texts_of, told_world
from torch.nn.functional import cross_entropy, normalize

from hyperllm.backbones import HGCF, LightGCN
from hyperllm.errors import ConfigError
from hyperllm.frameworks.alpharec import AlphaRec, AlphaRecConfig
from hyperllm.testing.framework import world as small_world
from hyperllm.training.loop import FitConfig, fit


class TestAlphaRec(RivalContract):
    kind, told = AlphaRec, AlphaRecConfig(**SMALL, shared_negatives=9)


class TestAlphaRecAsOneMatrix(RivalContract):
    kind, told, backbone = AlphaRec, AlphaRecConfig(**SMALL, shared_negatives=9, linear=True), LightGCN


def test_a_user_enters_as_the_mean_of_the_texts_of_their_training_items() -> None:
    world = told_world()
    framework = AlphaRec(world, HGCF(), AlphaRecConfig(**SMALL))
    _, items = texts_of(world)
    means = [items[world.train[world.train[:, 0] == user, 1]].mean(0) for user in range(world.users)]
    first, first_bias, second, second_bias = framework.project.parameters()
    hidden = torch.cat([torch.stack(means), items]) @ first.T + first_bias
    expected = torch.where(hidden > 0, hidden, 0.01 * hidden) @ second.T + second_bias
    torch.testing.assert_close(framework.features(), expected, rtol=1e-5, atol=1e-6)


def test_as_one_matrix_it_has_no_bias() -> None:
    framework = AlphaRec(told_world(), HGCF(), AlphaRecConfig(**SMALL, linear=True))
    (matrix,) = framework.parameters()
    torch.testing.assert_close(framework.features(), framework.texts @ matrix.T)


def test_alpharec_ranks_by_direction() -> None:
    framework = AlphaRec(small_world(), HGCF(), AlphaRecConfig(**SMALL))
    fit(framework, FitConfig(epochs=2))
    users, items = framework.points()
    radii = framework.backbone.manifold.logmap0(torch.cat([users, items])).norm(dim=1)
    torch.testing.assert_close(radii, torch.ones_like(radii), atol=1e-5, rtol=0)


@pytest.mark.parametrize("backbone", [HGCF, LightGCN])
@pytest.mark.parametrize("shared", [9, 10**6])
def test_a_positive_is_found_among_itself_and_the_drawn_items(
    shared: int, backbone: type[HGCF] | type[LightGCN]
) -> None:
    """A drawn item that is the positive does not count against it."""
    config = AlphaRecConfig(**SMALL, shared_negatives=shared, align_temperature=0.4)
    framework = AlphaRec(told_world(), backbone(), config)
    world = framework.world
    batch, encoded, terms = first_step(framework)
    assert batch.drawn is not None
    assert len(batch.drawn) == min(shared, world.items)
    y, pairs = normalize(encoded.tangent), batch.user_item
    logits = y[pairs.anchor] @ y[world.users :].T / 0.4
    own = pairs.positive - world.users
    absent = torch.ones(logits.shape, dtype=torch.bool)
    absent[:, batch.drawn - world.users] = False
    absent[torch.arange(len(own)), own] = False
    expected = cross_entropy(logits.masked_fill(absent, -torch.inf), own, reduction="sum")
    torch.testing.assert_close(terms, {"rank": expected}, rtol=1e-5, atol=0)


def test_other_items_are_drawn_at_every_step() -> None:
    framework = AlphaRec(small_world(), HGCF(), AlphaRecConfig(**SMALL, shared_negatives=9))
    batches = [batch for epoch in (1, 2) for batch in framework.batches(epoch)]
    drawn = [batch.drawn.sort().values for batch in batches if batch.drawn is not None]
    assert len({tuple(rows.tolist()) for rows in drawn}) == 2 * framework.steps
    assert {len(rows.unique()) for rows in drawn} == {9}
    assert torch.cat(drawn).min() >= framework.world.users


def test_it_refuses_another_ranking_loss() -> None:
    with pytest.raises(ConfigError, match="of its own"):
        AlphaRec(told_world(), HGCF(), AlphaRecConfig(**SMALL, ranking="softmax"))
