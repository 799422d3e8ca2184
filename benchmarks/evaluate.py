"""Full ranking of a catalogue of Beauty's size, as ratios taken in one run: `make bench WHAT=evaluate`.

Both paths rank every item for every user with training items hidden, and take the same metrics; each is compared with
dense scores and a full sort by the same library, which must give the same numbers.
"""

from __future__ import annotations

import argparse

import numpy as np
import plain
import torch
from worlds import BEAUTY, seconds, shop, table

from hyperllm.evaluation.evaluate import evaluate
from hyperllm.evaluation.rank import TopK
from hyperllm.frameworks.base import held_out_metrics
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz, ranking
from hyperllm.serving.model import ScoreModel

K = 20


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    split, _ = shop(**BEAUTY)
    world = World.of(split)
    rng = torch.Generator().manual_seed(0)
    points = [lorentz.expmap0(0.2 * torch.randn(n, 50, generator=rng)) for n in (world.users, world.items)]
    seen = world.seen()
    model = ScoreModel.of_points(split, users=points[0].numpy(), items=points[1].numpy())

    def sorted_numpy(user_rows: np.ndarray, k: int, *, mask: object = None) -> TopK:
        del mask
        users, items = (p.numpy().astype(np.float64) for p in points)
        items[:, 0] *= -1
        scores = users[user_rows] @ items.T
        owner = np.repeat(np.arange(world.users), np.diff(seen[0].numpy()))
        inside = np.isin(owner, user_rows)
        scores[owner[inside] - user_rows[0], seen[1].numpy()[inside]] = -np.inf
        order = np.argsort(-scores, axis=1)[:, :k]
        return TopK(order, np.take_along_axis(scores, order, axis=1).astype(np.float32))

    numpy_dense = lambda: evaluate(sorted_numpy, split, part="test").metrics  # noqa: E731
    numpy_ours = lambda: evaluate(model, split, part="test").metrics  # noqa: E731
    torch_dense = lambda: held_out_metrics(plain.evaluation(*points, seen, K).numpy(), world)  # noqa: E731
    torch_ours = lambda: held_out_metrics(ranking.topk(lorentz.flip(points[0]), points[1], K, seen=seen).numpy(), world)  # noqa: E731
    rows = []
    for name, dense, ours in (("NumPy", numpy_dense, numpy_ours), ("torch", torch_dense, torch_ours)):
        one, other = dense(), ours()
        same = max(abs(one[key] - other[key]) for key in one)
        if same > 1e-6:
            raise SystemExit(f"the {name} path gives other metrics than a full sort: off by {same}")
        slow, fast = seconds(dense, repeats=3), seconds(ours)
        rows.append([name, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.1f}", f"{same:.0e}"])
    print(f"{world.users:,} users x {world.items:,} items, k = {K}, {torch.get_num_threads()} threads")
    table(["path", "dense + full sort, s", "ours, s", "times faster", "largest difference of a metric"], rows)


if __name__ == "__main__":
    main()
