"""The hyperbolic score and the linear expert's, added up so that ranking stays one matrix product.

Knows points of users and items, factors of a `LinearExpert`, and validation pairs. Does not know how either was made.
A user's factors are scaled so that over all clicked items both scores have the same standard deviation, times a share:
score(u, i) = ⟨u, i⟩ + share·(std_u⟨u, ·⟩ / std_u(u_f·))·u_f·i_f. Shapes: u users, i items, r factors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hyperllm.frameworks.base import CUTOFFS, held_out_metrics
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz, ranking
from hyperllm.training.report import Epoch, FitReport

Matrix = npt.NDArray[np.float32]

SHARES = (4.0, 0.25, 2.0, 0.5, 1.0)
"""Of equally good ones the later is taken, so equal weights where validation says nothing."""


@dataclass(frozen=True)
class Fused:
    """Vectors of users and items, points first and then r factors, and each tried share with its validation metrics."""

    users: Matrix
    items: Matrix
    report: FitReport


def fuse(
    world: World,
    users: Matrix,
    items: Matrix,
    expert: LinearExpert,
    *,
    curved: bool,
    share: float | None = None,
    spent_s: float = 0.0,
) -> Fused:
    """Add the expert to vectors of users and items: points of the unit hyperboloid where ``curved``, else plain ones.

    Without a ``share`` the best of `SHARES` by validation is taken. ``spent_s`` is what the expert took, told with the
    first of them.
    """
    queries = lorentz.flip(torch.from_numpy(users)).numpy() if curved else users
    clicked = np.unique(world.train[:, 1])
    ratio = spread(queries, items[clicked]) / np.maximum(spread(expert.users, expert.items[clicked]), 1e-12)
    factors = expert.users * ratio[:, None].astype(np.float32)
    columns = torch.from_numpy(np.concatenate([items, expert.items], axis=1)).to(world.device)
    report, seen, k = FitReport(ended="all tried"), world.seen(), min(max(CUTOFFS), world.items)
    tried = SHARES if share is None else (share,)
    for number, candidate in enumerate(tried, start=1):
        began = time.monotonic()
        rows = torch.from_numpy(np.concatenate([queries, candidate * factors], axis=1)).to(world.device)
        top = ranking.topk(rows, columns, k, seen=seen).cpu().numpy()
        metrics = held_out_metrics(top, world)
        report.epochs.append(Epoch(number, {"share": candidate}, metrics, spent_s + time.monotonic() - began))
        spent_s = 0.0
    best = report.best
    assert best is not None
    chosen = best.terms["share"]
    return Fused(np.concatenate([users, chosen * factors], axis=1), columns.cpu().numpy(), report)


def spread(queries: Matrix, items: Matrix) -> npt.NDArray[np.float64]:
    """Standard deviation (u,) of each query's products with all items, through the items' covariance."""
    covariance = np.atleast_2d(np.cov(items.T.astype(np.float64), bias=True))
    rows = queries.astype(np.float64)
    return np.sqrt(np.maximum(np.einsum("ud,ud->u", rows @ covariance, rows), 0))
