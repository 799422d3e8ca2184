"""Recommenders without a language model, to be beaten.

Knows the registry: name -> settings and function; each function turns a split into a
`hyperllm.serving.model.ScoreModel`. Does not know how a model is evaluated or saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from hyperllm.baselines.ease import EaseConfig, fit_ease
from hyperllm.baselines.popularity import PopularityConfig, fit_popularity
from hyperllm.data.split import Split
from hyperllm.errors import ConfigError, did_you_mean
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class Baseline:
    """One registry entry: its settings class and the function that fits it."""

    name: str
    config: type[Any]
    train: Callable[[Split, Any], ScoreModel]

    def configure(self, settings: Mapping[str, Any]) -> Any:
        """The settings object; raises `ConfigError` for an unknown key or a value that makes no sense."""
        known = [f.name for f in fields(self.config)]
        for key in settings:
            if key not in known:
                choices = f"it has {', '.join(known)}" if known else "it has none"
                raise ConfigError(f"{self.name} has no setting {key!r}; {choices}.{did_you_mean(key, known)}")
        return self.config(**settings)

    def fit(self, split: Split, *, settings: Mapping[str, Any] | None = None) -> ScoreModel:
        """Fit on the training part of ``split``."""
        return self.train(split, self.configure(settings or {}))


BASELINES: dict[str, Baseline] = {
    "popularity": Baseline("popularity", PopularityConfig, fit_popularity),
    "ease": Baseline("ease", EaseConfig, fit_ease),
}
