"""The benchmarks are whole, and what they compare with computes the same."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from hyperllm.backbones import HGCF
from hyperllm.frameworks import HyperLLMConfig, Integration
from hyperllm.frameworks.world import World
from hyperllm.testing import tree_world

FOLDER = Path(__file__).parents[1] / "benchmarks"
PLANTED = tree_world(depth=2)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize(
    "name",
    [
        "calls",
        "claim",
        "evaluate",
        "extract",
        "fused",
        "index",
        "newcomers",
        "scale_data",
        "scale_prepare",
        "scale_rows",
        "scale_train",
        "scaling",
        "serve",
        "step",
        "time_to_quality",
    ],
)
def test_it_explains_itself(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        import_module(name).main()
    assert f"WHAT={name}" in capsys.readouterr().out


def test_the_plain_step_has_the_loss_and_gradients_of_ours() -> None:
    plain = import_module("plain")
    world = World.of(PLANTED.split, tags=PLANTED.tags)
    start = 0.3 * torch.randn(world.graph.nodes, 6, generator=torch.Generator().manual_seed(0))
    config = HyperLLMConfig(variant="full", dim=6, batch_size=50, contrast="exact", contrast_weight=0.3)
    framework = Integration(world, HGCF(), config, start=start)
    assert framework.tags is not None
    batch = next(iter(framework.batches(1)))
    tables = [framework.nodes.weight, framework.tags.nodes.weight]
    operators = [plain.coo(world.graph), plain.coo(framework.tags.graph)]
    theirs = plain.loss(framework, tables, operators, batch)
    ours = torch.stack(list(framework.losses(batch).values())).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0.0)
    pairs = zip(tables, torch.autograd.grad(ours, tables), torch.autograd.grad(theirs, tables), strict=True)
    for table, one, other in pairs:  # log₀ through arcosh reads the time coordinate, ours the others: one gradient
        found, expected = (framework.nodes.lorentz.riemannian_gradient(table, g) for g in (one, other))
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_the_plain_evaluation_ranks_as_ours() -> None:
    from hyperllm.geometry import lorentz, ranking

    plain = import_module("plain")
    world = World.of(PLANTED.split)
    rng = torch.Generator().manual_seed(0)
    users, items = (lorentz.expmap0(torch.randn(n, 6, generator=rng)) for n in (world.users, world.items))
    found = ranking.topk(lorentz.flip(users), items, 5, seen=world.seen())
    assert torch.equal(found, plain.evaluation(users, items, world.seen(), 5))
