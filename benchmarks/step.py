"""Cost of one training step, as ratios taken in one run: `make bench WHAT=step`.

The first table holds whole steps of a shop of Beauty's size: the equations written plainly against this library, exact
and sampled, each in a process of its own so that its peak memory is its own; `extra` is what the steps add to the level
before the first one. The second table takes a step apart and names the limit of the contrastive term: three products
of items × items.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable

import plain
import torch
from worlds import BEAUTY, resident_mb, seconds, shop, step_of, table

from hyperllm.backbones import HGCF
from hyperllm.frameworks import Base, BaseConfig, HyperLLMConfig, Integration
from hyperllm.frameworks.experts import MixtureOfExperts
from hyperllm.frameworks.world import World
from hyperllm.losses.contrastive import contrastive, contrastive_plain
from hyperllm.losses.ranking import margin_ranking
from hyperllm.training.allocator import keep_freed_memory

DIM, TEXT_DIM = 50, 128
WHOLE = {
    "plain": "equations as written",
    "exact": "ours, exact",
    "sampled": "ours, sampled (default)",
}


def phase2(**settings: object) -> Integration:
    """Phase 2 on a shop of Beauty's size."""
    split, tags = shop(**BEAUTY)
    world = World.of(split, tags=tags)
    start = 0.1 * torch.randn(world.graph.nodes, DIM, generator=torch.Generator().manual_seed(0))
    return Integration(world, HGCF(), HyperLLMConfig(**settings), start=start)  # type: ignore[arg-type]


def whole(kind: str) -> dict[str, float]:
    """Seconds of a step, and memory it adds."""
    if kind != "plain":
        keep_freed_memory()  # as training does
    framework = phase2(contrast="sampled" if kind == "sampled" else "exact")
    step = plain.step_of(framework) if kind == "plain" else step_of(framework)
    before = resident_mb()
    spent = seconds(step, repeats=3 if kind == "plain" else 9)
    return {"step_s": spent, "extra_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before}


def parts() -> list[tuple[str, Callable[[], object]]]:
    """What a step is made of, forward and backward."""
    framework = phase2(contrast="sampled")
    world, tags, batch = framework.world, framework.tags, next(iter(framework.batches(1)))
    assert tags is not None
    assert batch.drawn is not None
    assert batch.tag is not None
    x = framework.features().detach().requires_grad_()
    pushed = torch.randn_like(x)
    summed = framework.backbone.combine(x, world.graph).detach().requires_grad_()
    points = framework.backbone.read_out(summed).detach().requires_grad_()
    pulled = torch.randn_like(points)
    other = tags.encode(framework.backbone, x[world.users :], epoch=1).points.detach()
    a, b = (p.detach().clone().requires_grad_() for p in (points[world.users :], other[tags.graph.left :]))
    left, right = a.detach(), b.detach()
    few = [p.detach()[batch.drawn].requires_grad_() for p in (a, b)]
    experts = MixtureOfExperts(TEXT_DIM, DIM, generator=torch.Generator().manual_seed(0))
    text = torch.randn(world.graph.nodes, TEXT_DIM)
    sum(framework.losses(batch).values()).backward()  # type: ignore[union-attr]
    base = Base(world, HGCF(), BaseConfig())

    def products() -> None:
        height = 256
        for first in range(0, world.items, height):
            pairs = left[first : first + height] @ right.T
            pairs @ right
            pairs.T @ left[first : first + height]

    grad = torch.autograd.grad
    weight = framework.nodes.weight
    return [
        ("three items × items products, in blocks", products),
        ("Eq. 16, plain", lambda: grad(contrastive_plain(a, b, temperature=0.5), (a, b))),
        ("Eq. 16, exact", lambda: grad(contrastive(a, b, temperature=0.5), (a, b))),
        ("Eq. 16, sampled", lambda: grad(contrastive(*few, temperature=0.5, population=world.items), few)),
        ("tables to tangent vectors", lambda: grad(framework.features(), weight, pushed)),
        ("three layers on users and items", lambda: grad(framework.backbone.combine(x, world.graph), x, pushed)),
        ("one sparse product of them", lambda: world.graph.operator @ pushed),
        ("clamp and exp₀", lambda: grad(framework.backbone.read_out(summed), summed, pulled)),
        ("ranking loss", lambda: grad(margin_ranking(points, batch.user_item, margin=1.1), points)),
        ("optimisers", lambda: [optimizer.step() for optimizer in framework.optimizers]),
        ("step, base", step_of(base)),
        ("step, phase 2", step_of(framework)),
        ("experts of phase 1", lambda: grad(experts(text), list(experts.parameters()), pushed)),
        ("an epoch's batches (made ahead)", lambda: list(framework.batches(1))),
        ("validation", framework.validate),
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=WHOLE)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(whole(chosen.one)))
        return
    found = {}
    for kind in WHOLE:
        out = subprocess.run([sys.executable, __file__, "--one", kind], check=True, capture_output=True)
        found[kind] = json.loads(out.stdout)
    reference = found["plain"]
    print(f"{BEAUTY['users']:,} users, {BEAUTY['items']:,} items, {DIM} dims, {torch.get_num_threads()} threads")
    table(
        ["phase 2, one step", "s", "times faster", "extra MB", "share"],
        [
            [
                WHOLE[kind],
                f"{row['step_s']:.3f}",
                f"{reference['step_s'] / row['step_s']:.1f}",
                f"{row['extra_mb']:.0f}",
                f"{row['extra_mb'] / reference['extra_mb']:.2f}",
            ]
            for kind, row in found.items()
        ],
    )
    print()
    keep_freed_memory()
    timed = [(name, seconds(work, repeats=3 if "plain" in name else 9)) for name, work in parts()]
    unit = timed[0][1]
    table(["part", "ms", "ratio"], [[name, f"{1e3 * spent:.1f}", f"{spent / unit:.2f}"] for name, spent in timed])


if __name__ == "__main__":
    main()
