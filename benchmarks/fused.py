"""What a linear expert costs, as ratios taken in one run: `make bench WHAT=fused`.

Fitting it, by rank, and then ranking a catalogue of Beauty's size for all users and for one at a time, beside the
hyperbolic points alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from worlds import BEAUTY, seconds, shop, table

from hyperllm.frameworks import HyperLLMConfig
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz
from hyperllm.ids import Rows
from hyperllm.serving.content import LinearInputs
from hyperllm.serving.model import ScoreModel

K, ONE_BY_ONE = 20, 10
RANKS = (0, 512, 1024)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    split, tags = shop(**BEAUTY)
    world, everyone = World.of(split, tags=tags), np.arange(BEAUTY["users"])
    rng = torch.Generator().manual_seed(0)
    users, items = (
        lorentz.expmap0(0.2 * torch.randn(n, 50, generator=rng)).numpy() for n in (world.users, world.items)
    )
    rows: list[list[str]] = []
    first: tuple[float, ...] = ()
    for rank in RANKS:
        began = time.monotonic()
        expert = factors(world, rank)
        took = time.monotonic() - began
        both = [np.concatenate(pair, axis=1) for pair in ((users, expert.users), (items, expert.items))]
        model = ScoreModel.of_points(split, users=both[0], items=both[1], flat=rank)
        spent = ranking(model, everyone, repeats=3), ranking(model, everyone[:1], repeats=ONE_BY_ONE)
        first = first or spent
        ratios = [f"{now / before:.1f}x" for now, before in zip(spent, first, strict=True)]
        size = sum(vectors.nbytes for vectors in both) / 1e6
        rows.append(
            [f"{rank}", f"{took:.1f}", f"{spent[0]:.2f}", ratios[0], f"{1e3 * spent[1]:.1f}", ratios[1], f"{size:.0f}"]
        )
    print(f"{world.users:,} users x {world.items:,} items, 51 columns, k = {K}, {torch.get_num_threads()} threads")
    table(["rank", "fit, s", "all users, s", "ratio", "one user, ms", "ratio", "vectors, MB"], rows)


def factors(world: World, rank: int) -> LinearExpert:
    """The expert of this rank, of no columns for rank 0."""
    if rank:
        config = HyperLLMConfig(linear_expert=True, linear_rank=rank)
        return LinearExpert.fit(world, config, rng=np.random.default_rng(0))
    nothing = [np.zeros((n, 0), dtype=np.float32) for n in (world.users, world.items)]
    return LinearExpert(*nothing, LinearInputs(np.zeros(world.items, np.float32), np.empty(0, np.float32)))


def ranking(model: ScoreModel, users: Rows, *, repeats: int) -> float:
    """Seconds to rank all items for these users."""
    return seconds(lambda: model.topk(users, K, mask=model.seen), repeats=repeats)


if __name__ == "__main__":
    main()
