"""A baseline's settings chosen on validation.

Knows how to try the candidates of a baseline's grid one by one. The test part is never read, and nothing is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperllm.baselines import BASELINES
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import choose
from hyperllm.evaluation.evaluate import evaluate
from hyperllm.training.report import SELECTION


@dataclass(frozen=True)
class Trial:
    """One candidate: its settings and what it reached on validation with training pairs hidden."""

    settings: Mapping[str, Any]
    metrics: Mapping[str, float]

    @property
    def score(self) -> float:
        """The number that selection maximises: R@10 + R@20 + N@10 + N@20."""
        return sum(self.metrics[name] for name in SELECTION)


def tuned(
    split: Split,
    name: str,
    *,
    tags: TagGraph | None = None,
    semantics: Semantics | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Fit and measure every candidate of the grid of `BASELINES`; best first, the earlier of equals first.

    Without ``tags``, candidates that need them are passed over where the baseline can do without. Raises
    `ConfigError` for an unknown name and what `hyperllm.baselines.Baseline.fit` raises.
    """
    baseline = choose(name, BASELINES, what="baseline")
    trials: list[Trial] = []
    for settings in baseline.grid:
        if tags is None and not baseline.needs_tags and baseline.uses_tags(settings):
            continue
        model = baseline.fit(split, settings=settings, tags=tags, semantics=semantics)
        found = evaluate(model, split, part="valid", mask="train", metrics=("recall", "ndcg"))
        trials.append(Trial(settings, found.metrics))
        if on_trial is not None:
            on_trial(trials[-1])
    return sorted(trials, key=lambda trial: -trial.score)
