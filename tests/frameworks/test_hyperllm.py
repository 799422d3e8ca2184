"""The parts of phase 2: the tag graph and its samplers, the contrastive rows, the seams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hyperllm.backbones import HGCF
from hyperllm.data.interactions import Pairs
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import DataError
from hyperllm.frameworks import Base, BaseConfig, HyperLLMConfig, Integration, SemanticExtraction
from hyperllm.frameworks.config import CONTRAST_EXACT
from hyperllm.frameworks.hyperllm import tag_samplers
from hyperllm.frameworks.world import World
from hyperllm.ids import Vocabulary
from hyperllm.losses.contrastive import contrastive_plain
from hyperllm.testing import largest_tensor, tree_world
from hyperllm.training.streams import Streams

PLANTED = tree_world(depth=2)


def config(**more: Any) -> HyperLLMConfig:
    return HyperLLMConfig(**{"dim": 4, "batch_size": 50, "experts": 2, "text_dim": None, "margin": 1.0, **more})


def world(tags: TagGraph = PLANTED.tags) -> World:
    return World.of(PLANTED.split, tags=tags, semantics=PLANTED.semantics)


def integration(**more: Any) -> Integration:
    return Integration(world(), HGCF(), config(**{"variant": "structural", **more}), seed=0)


def test_the_tag_graph_has_tags_left_items_right_and_weighted_edges() -> None:
    for weight in (1.0, 2.0, 3.0):
        branch = integration(tag_edge_weight=weight).tags
        assert branch is not None
        a, b = PLANTED.tags.tag_edges[0]
        row = branch.graph.operator.to_dense()[a]
        assert row[b] / row[a] == pytest.approx(weight)
        tag, item = PLANTED.tags.tag_items[0]
        row = branch.graph.operator.to_dense()[tag]
        assert row[len(PLANTED.tags.tags) + item] / row[tag] == pytest.approx(1.0)


def test_an_epoch_covers_every_tag_pair_and_every_tag_edge_from_both_ends_once() -> None:
    framework = integration()
    tags = len(PLANTED.tags.tags)
    served = []
    for batch in framework.batches(1):
        assert batch.tag is not None
        served += list(zip(batch.tag.anchor.tolist(), batch.tag.positive.tolist(), strict=True))
    pairs = {(t, tags + i) for t, i in PLANTED.tags.tag_items.tolist()}
    edges = {(a, b) for x, y in PLANTED.tags.tag_edges.tolist() for a, b in ((x, y), (y, x))}
    assert sorted(served) == sorted(pairs | edges)


def test_a_tags_negatives_are_of_its_positives_kind() -> None:
    tags = len(PLANTED.tags.tags)
    for batch in integration(negatives=3).batches(1):
        assert batch.tag is not None
        is_item = (batch.tag.positive >= tags).unsqueeze(1)
        assert ((batch.tag.negative >= tags) == is_item).all()
        assert not ((batch.tag.negative == batch.tag.anchor.unsqueeze(1)) & ~is_item).any()


def test_compat_draws_twice_the_tag_item_pairs_and_half_of_the_edges_an_epoch() -> None:
    samplers = tag_samplers(PLANTED.tags, config(compat=True), Streams(0), 9)
    item_batch = next(iter(samplers["tag-item"].steps(0, 1)))  # type: ignore[attr-defined]
    assert len(item_batch) == -(-2 * len(PLANTED.tags.tag_items) // 9)
    anchors = {a for t in samplers["tag-tag"].steps(0, 200) for a in t.anchor.tolist()}  # type: ignore[attr-defined]
    assert anchors <= set(np.sort(PLANTED.tags.tag_edges.ravel())[: len(PLANTED.tags.tag_edges)].tolist())


@pytest.mark.parametrize("compat", [False, True])
def test_tags_without_edges_among_them_still_train(compat: bool) -> None:
    bare = replace(PLANTED.tags, tag_edges=np.empty((0, 2), dtype=np.int64))
    framework = Integration(world(bare), HGCF(), config(variant="structural", compat=compat), seed=0)
    for batch in framework.batches(1):
        assert all(torch.isfinite(term) for term in framework.losses(batch).values())


def test_more_steps_than_tag_pairs_leave_some_steps_without() -> None:
    few = replace(PLANTED.tags, tag_edges=np.empty((0, 2), dtype=np.int64), tag_items=PLANTED.tags.tag_items[:3].copy())
    framework = Integration(world(few), HGCF(), config(variant="structural", batch_size=20), seed=0)
    found = list(framework.batches(1))
    assert sum(len(b.tag) for b in found if b.tag is not None) == 3 < len(found)
    for batch in found:
        sum(framework.losses(batch).values()).backward()  # type: ignore[union-attr]


def test_the_terms_of_equation_15_are_the_backbones_and_the_contrast() -> None:
    framework = integration(contrast_weight=0.3, contrast_temperature=0.7)
    batch = next(iter(framework.batches(1)))
    terms = framework.losses(batch)
    assert set(terms) == {"rank", "tag_rank", "contrast"}
    assert framework.tags is not None
    items = framework.features()[framework.world.users :]
    ours = framework.encode().points[framework.world.users :]
    other = framework.tags.encode(HGCF(), items, epoch=1).points[framework.tags.graph.left :]
    torch.testing.assert_close(
        terms["contrast"], 0.3 * contrastive_plain(ours, other, temperature=0.7), rtol=1e-4, atol=0
    )
    expected = HGCF().losses(framework.tags.encode(HGCF(), items, epoch=1), batch.tag, margin=0.9)["rank"]  # type: ignore[arg-type]
    torch.testing.assert_close(terms["tag_rank"], expected)


def test_items_learn_from_all_three_terms_users_and_tags_from_their_own() -> None:
    framework = integration()
    batch = next(iter(framework.batches(1)))
    framework.losses(batch)["tag_rank"].backward()
    assert framework.tags is not None
    users, items = framework.nodes.weight.grad.split([framework.world.users, framework.world.items])
    assert (users == 0).all()
    assert (items != 0).any()
    assert (framework.tags.nodes.weight.grad != 0).any()


def test_phase_1_uses_its_own_margin_and_trains_the_experts_only() -> None:
    framework = SemanticExtraction(world(), HGCF(), config(meta_margin=0.37), seed=0)
    assert framework.margin == 0.37
    batch = next(iter(framework.batches(1)))
    torch.testing.assert_close(
        framework.losses(batch)["rank"], HGCF().losses(framework.encode(), batch.user_item, margin=0.37)["rank"]
    )
    assert {n for n, p in framework.named_parameters() if p.requires_grad} == {
        f"nodes.experts.{part}_{kind}" for part in ("gate", "expert") for kind in ("weight", "bias")
    }


def test_items_of_the_contrastive_term_are_drawn_without_repeats_or_all_taken() -> None:
    for batch in integration(contrast="sampled", contrast_sample=7).batches(1):
        assert batch.drawn is not None
        assert len(set(batch.drawn.tolist())) == 7
    for settings in ({"contrast": "exact"}, {"contrast": "sampled", "contrast_sample": 10_000}, {"contrast": "auto"}):
        assert all(batch.drawn is None for batch in integration(**settings).batches(1)), settings


def test_auto_is_exact_up_to_the_stated_catalogue_and_sampled_above() -> None:
    auto = config(contrast="auto", contrast_sample=512)
    assert [auto.contrast_drawn(items) for items in (100, CONTRAST_EXACT, CONTRAST_EXACT + 1)] == [None, None, 512]
    assert config(contrast="sampled", contrast_sample=50).contrast_drawn(100) == 50
    assert config(contrast="exact").contrast_drawn(10**7) is None


def test_a_sample_of_all_items_is_the_exact_term() -> None:
    framework = integration(contrast="exact")
    batch = next(iter(framework.batches(1)))
    everything = replace(batch, drawn=torch.randperm(framework.world.items))
    exact, sampled = (framework.losses(b)["contrast"] for b in (batch, everything))
    torch.testing.assert_close(sampled, exact)


def test_what_a_variant_needs_is_asked_for() -> None:
    plain = World.of(PLANTED.split)
    with pytest.raises(DataError, match="needs tags"):
        Integration(plain, HGCF(), config(variant="structural"))
    with pytest.raises(DataError, match="needs text vectors"):
        SemanticExtraction(plain, HGCF(), config())


def test_a_step_never_holds_an_item_by_item_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperllm.losses import contrastive as module

    large = tree_world(depth=4, branching=3, items_per_leaf=8, users_per_leaf=1)
    place = World.of(large.split, tags=large.tags)
    monkeypatch.setattr(module, "TILE", (16, 64))
    framework = Integration(place, HGCF(), config(variant="structural"), seed=0)
    batch = next(iter(framework.batches(1)))
    with largest_tensor() as largest:
        sum(framework.losses(batch).values()).backward()  # type: ignore[union-attr]
    assert largest.numel < place.items**2 / 8


def test_tags_that_tell_no_items_apart_are_refused_and_a_useless_half_is_left_out() -> None:
    tags = PLANTED.tags
    items = len(tags.items)
    everywhere = np.stack([np.repeat([0, 1], items), np.tile(np.arange(items), 2)], axis=1)
    blunt = replace(
        tags,
        tags=Vocabulary(("a", "b")),
        names=("a", "b"),
        level=np.array([1, 2]),
        tag_items=everywhere,
        tag_edges=np.array([[0, 1]]),
    )
    with pytest.raises(DataError, match="tell no items apart"):
        tag_samplers(blunt, config(), Streams(0), steps=2)
    half = replace(blunt, tag_items=everywhere[:-1])
    assert set(tag_samplers(half, config(), Streams(0), steps=2)) == {"tag-item"}


def test_users_who_have_everything_are_refused() -> None:
    everything = np.stack(np.meshgrid(np.arange(2), np.arange(3)), axis=-1).reshape(-1, 2)
    pairs = Pairs(everything[:, 0], everything[:, 1])
    split = Split(Vocabulary(("u", "v")), Vocabulary(("x", "y", "z")), pairs, pairs, pairs)
    with pytest.raises(DataError, match="nothing to rank against"):
        Base(World.of(split), HGCF(), BaseConfig(dim=2))
