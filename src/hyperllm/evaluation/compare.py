"""Several runs, user by user.

Knows per-user tables (column user_id, one column a metric) of runs over the same users, and says for each run and
metric: the mean, its difference to a reference run, a paired bootstrap interval of that difference, and a p-value
corrected by Holm over all tests of the comparison. Does not know how the tables were made, nor how to draw them
(`tables`). Shapes: ``n`` users, ``s`` seeds, ``c`` differences, ``B`` resamples.

A run may be several seeds of one configuration. Each user's values are then averaged over the seeds first, so the
interval and the p-value speak of other users, not of other seeds; how much seeds matter is told by ``std`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special

from hyperllm.errors import ConfigError, DataError, MisalignedArrays, did_you_mean

Test = Literal["wilcoxon", "t"]
Mark = Literal["best", "second", ""]
Columns = npt.NDArray[np.float64]
Tables = pl.DataFrame | Sequence[pl.DataFrame]
_CELLS_AT_ONCE = 2**21
LEVEL = 0.95


@dataclass(frozen=True)
class Cell:
    """One run on one metric.

    ``mean`` is over users and seeds; ``std`` is the sample standard deviation, over ``seeds`` seeds, of the mean over
    users, None for one seed. ``difference`` is run − reference over the same users; ``low`` and ``high`` bound it in
    95 % of resamples; ``p_value`` is corrected by Holm. The four are None for the reference itself. ``mark`` is by the
    mean.
    """

    run: str
    metric: str
    mean: float
    std: float | None
    seeds: int
    mark: Mark
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All cells, run by run in the order given, with what they rest on."""

    runs: tuple[str, ...]
    metrics: tuple[str, ...]
    reference: str
    users: int
    test: Test
    cells: tuple[Cell, ...]

    def cell(self, run: str, metric: str) -> Cell:
        """The cell of ``run`` and ``metric``."""
        return self.cells[self.runs.index(run) * len(self.metrics) + self.metrics.index(metric)]


def compare(
    tables: Mapping[str, Tables],
    *,
    metrics: Sequence[str] | None = None,
    reference: str | None = None,
    test: Test | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare runs given as ``run name -> per-user table``, or a sequence of such tables, one for each seed.

    ``metrics`` defaults to the columns all tables share, ``reference`` to the first run, ``test`` to ``wilcoxon``, or
    to ``t`` where the numbers of seeds differ: a mean over three seeds has many small values where one seed has few
    large ones, and Wilcoxon's ranks would take that for a difference. Raises `MisalignedArrays` where two tables do not
    hold the same users, and `ConfigError` for unknown names.
    """
    if test is not None and test not in get_args(Test):
        raise ConfigError(f"unknown test {test!r}; choose one of {', '.join(get_args(Test))}.")
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples!r}; expected at least 1.")
    groups = {run: [given] if isinstance(given, pl.DataFrame) else list(given) for run, given in tables.items()}
    runs = tuple(groups)
    if not runs:
        raise DataError("there is no run to compare; name at least two.")
    reference = runs[0] if reference is None else reference
    if reference not in groups:
        raise ConfigError(
            f"the reference {reference!r} is not among the runs {list(runs)}.{did_you_mean(reference, runs)}"
        )
    test = test or ("wilcoxon" if len({len(found) for found in groups.values()}) == 1 else "t")
    chosen = _metrics(groups, metrics)
    by_seed = _aligned(groups, chosen)  # for each run (s, n, metrics)
    values = np.stack([found.mean(axis=0) for found in by_seed])  # (runs, n, metrics)
    gaps = _gaps(
        values - values[runs.index(reference)], test, resamples=resamples, seed=seed, skip=runs.index(reference)
    )
    mean, std = values.mean(axis=1), [_std(found) for found in by_seed]
    marks = np.stack([_marks(mean[:, m]) for m in range(len(chosen))], axis=1)
    cells = tuple(
        Cell(run, metric, float(mean[r, m]), std[r][m], len(groups[run]), marks[r, m], *gaps.get((r, m), ()))
        for r, run in enumerate(runs)
        for m, metric in enumerate(chosen)
    )
    return Comparison(runs, tuple(chosen), reference, values.shape[1], test, cells)


def _gaps(
    gaps: Columns, test: Test, *, resamples: int, seed: int, skip: int
) -> dict[tuple[int, int], tuple[float, float, float, float]]:
    """(run, metric) -> difference, low, high, p-value, for ``gaps`` (runs, n, metrics) without the run ``skip``."""
    places = [(r, m) for r in range(len(gaps)) for m in range(gaps.shape[2]) if r != skip]
    if not places:
        return {}
    flat = np.stack([gaps[r, :, m] for r, m in places], axis=1)
    low, high = bootstrap_interval(flat, resamples=resamples, seed=seed)
    p_values = holm(np.array([_p_value(column, test) for column in flat.T]))
    told = np.stack([flat.mean(axis=0), low, high, p_values], axis=1).tolist()
    return {place: tuple(line) for place, line in zip(places, told, strict=True)}


def _std(values: Columns) -> list[float] | list[None]:
    """For each metric of values (s, n, metrics), the standard deviation over seeds of the mean over users."""
    return [None] * values.shape[2] if len(values) < 2 else values.mean(axis=1).std(axis=0, ddof=1).tolist()


def _metrics(groups: Mapping[str, Sequence[pl.DataFrame]], metrics: Sequence[str] | None) -> list[str]:
    for run, tables in groups.items():
        if not tables:
            raise DataError(f"run {run!r} has no per-user table; expected one, or one for each seed.")
        for table in tables:
            if "user_id" not in table.columns:
                raise DataError(f"the table of run {run!r} has no column 'user_id'; it has {table.columns}.")
    first, *others = [table for tables in groups.values() for table in tables]
    shared = [c for c in first.columns if c != "user_id" and all(c in other.columns for other in others)]
    if metrics is None:
        metrics = shared
    for name in metrics:
        if name not in shared:
            raise ConfigError(f"not every run has the metric {name!r}; all have {shared}.{did_you_mean(name, shared)}")
    if not metrics:
        raise DataError("the runs share no metric; evaluate them again with the same k and metrics.")
    return list(metrics)


def _aligned(groups: Mapping[str, Sequence[pl.DataFrame]], metrics: Sequence[str]) -> list[Columns]:
    """For each run (s, n, metrics) over the users of the very first table, in its order."""
    first = next(iter(groups))
    order = groups[first][0]["user_id"]
    if not len(order) or order.n_unique() != len(order):
        raise DataError(f"the table of run {first!r} must hold each measured user once; it has {len(order):,} rows.")
    stacked: list[Columns] = []
    for run, tables in groups.items():
        for table in tables:
            if len(table) != len(order) or set(table["user_id"]) != set(order):
                common = len(set(table["user_id"]) & set(order))
                raise MisalignedArrays(
                    f"run {run!r} was measured on {len(table):,} users, {first!r} on {len(order):,}, and {common:,} "
                    "are in both. Evaluate them on the same split and part."
                )
        rows = [order.to_frame().join(table, on="user_id", how="left", maintain_order="left") for table in tables]
        stacked.append(np.stack([row.select(metrics).to_numpy().astype(np.float64) for row in rows]))
    return stacked


def _marks(mean: Columns) -> npt.NDArray[np.str_]:
    """best for the highest mean, second for the next lower; equals share a mark; a single run gets none."""
    levels = np.unique(mean)[::-1]
    marks = np.full(len(mean), "", dtype="<U6")
    if len(mean) > 1:
        marks[mean == levels[0]] = "best"
        if len(levels) > 1:
            marks[mean == levels[1]] = "second"
    return marks


def bootstrap_interval(
    values: Columns, *, resamples: int = 2000, seed: int = 0, level: float = LEVEL
) -> tuple[Columns, Columns]:
    """Percentile interval of the column means of ``values`` (n, c) under resampling of rows: two arrays (c,).

    All columns share each resample, so they stay paired. A block of resamples is a small matrix of counts times
    ``values``; memory does not grow with n × B.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    means = np.empty((resamples, values.shape[1]))
    step = max(1, _CELLS_AT_ONCE // n)
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        drawn = rng.integers(n, size=(block, n)) + n * np.arange(block)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n)
        means[start : start + block] = counts @ values / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _p_value(gap: Columns, test: Test) -> float:
    """Two-sided p-value of a paired test on the differences (n,); 1 where nothing differs.

    Means over seeds differ in their last bits where the sums were taken in another order, so these bits are dropped.
    """
    gap = gap.round(12)
    if not gap.any():
        return 1.0
    return _wilcoxon(gap) if test == "wilcoxon" else _paired_t(gap)


def _paired_t(gap: Columns) -> float:
    n, spread = len(gap), gap.std(ddof=1) if len(gap) > 1 else np.inf
    if spread <= 1e-12 * abs(gap.mean()):
        return 0.0
    return float(2 * special.stdtr(max(1, n - 1), -abs(gap.mean()) * np.sqrt(n) / spread))


def _wilcoxon(gap: Columns) -> float:
    """Signed-rank test without the zero differences, as Wilcoxon had it."""
    from scipy import stats  # slow to import, and needed only here

    return float(np.asarray(stats.wilcoxon(gap[gap != 0]))[1])


def holm(p_values: Columns) -> Columns:
    """Holm's step-down correction (c,): the family-wise error stays below the level a value is compared with."""
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return corrected
