"""The hyperbolic score and the linear expert's, added up so that ranking stays one matrix product.

Knows points of users and items, factors of a `LinearExpert`, and validation pairs. Does not know how either was made.
A user's factors are scaled so that over all clicked items both scores have the same standard deviation, times a share:
score(u, i) = ⟨u, i⟩ + share·(std_u⟨u, ·⟩ / std_u(u_f·))·u_f·i_f. Shapes: u users, i items, r factors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from hyperllm.frameworks.base import CUTOFFS, held_out_metrics
from hyperllm.frameworks.linear import LinearExpert
from hyperllm.frameworks.world import World
from hyperllm.geometry import lorentz, ranking
from hyperllm.ids import Rows
from hyperllm.serving.content import LinearInputs
from hyperllm.training.report import Epoch, FitReport

Matrix = npt.NDArray[np.float32]

SHARES = (4.0, 0.125, 2.0, 0.25, 0.5, 1.0)
"""Of equally good ones the later is taken, so equal weights where validation says nothing."""
JUDGES = 50_000
"""Users whose validation items decide, at most."""
_USERS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Fused:
    """Vectors of users and items, points first and then r factors, and each tried share with its validation metrics."""

    users: Matrix
    items: Matrix
    inputs: LinearInputs
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
    clicked = world.clicked()
    ratio = spread(queries, items[clicked]) / np.maximum(spread(expert.users, expert.items[clicked]), 1e-12)
    factors = expert.users * ratio[:, None].astype(np.float32)
    both = np.concatenate([items, expert.items], axis=1)
    judges = _judges(world)
    columns, seen = torch.from_numpy(both).to(world.device), world.seen(judges)
    report, k = FitReport(ended="all tried"), min(max(CUTOFFS), world.items)
    top = np.full((world.users, k), -1)
    asked = replace(world, valid=world.valid[np.isin(world.valid[:, 0], judges)])
    for number, candidate in enumerate(SHARES if share is None else (share,), start=1):
        began = time.monotonic()
        rows = np.concatenate([queries[judges], candidate * factors[judges]], axis=1)
        top[judges] = ranking.topk(torch.from_numpy(rows).to(world.device), columns, k, seen=seen).cpu().numpy()
        metrics = held_out_metrics(top, asked)
        report.epochs.append(Epoch(number, {"share": candidate}, metrics, spent_s + time.monotonic() - began))
        spent_s = 0.0
    best = report.best
    assert best is not None
    factors *= best.terms["share"]
    inputs = replace(expert.inputs, share=best.terms["share"])
    return Fused(np.concatenate([users, factors], axis=1), both, inputs, report)


def _judges(world: World) -> Rows:
    """Users who have a validation item; of very many, `JUDGES` of them, evenly spaced."""
    users = np.unique(world.valid[:, 0])
    return users if len(users) <= JUDGES else users[np.linspace(0, len(users) - 1, JUDGES).astype(np.int64)]


def spread(queries: Matrix, items: Matrix) -> npt.NDArray[np.float64]:
    """Standard deviation (u,) of each query's products with all items, through the items' covariance."""
    covariance = np.atleast_2d(np.cov(items.T.astype(np.float64), bias=True))
    found = np.empty(len(queries))
    for start in range(0, len(queries), _USERS_AT_ONCE):
        rows = queries[start : start + _USERS_AT_ONCE].astype(np.float64)
        found[start : start + _USERS_AT_ONCE] = np.einsum("ud,ud->u", rows @ covariance, rows)
    return np.sqrt(np.maximum(found, 0))
