"""Recommenders without a language model, to be beaten.

Knows the registry: name -> settings, function and the settings to try; each function turns a split, and tags or text
vectors where it needs them, into a `hyperllm.serving.model.ScoreModel`. Does not know how a model is evaluated or kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hyperllm.baselines.als import AlsConfig, fit_als
from hyperllm.baselines.content import ContentConfig, fit_content
from hyperllm.baselines.ease import EaseConfig, fit_ease
from hyperllm.baselines.ease_tags import EaseTagsConfig, fit_ease_tags
from hyperllm.baselines.itemknn import ItemKnnConfig, fit_itemknn
from hyperllm.baselines.popularity import PopularityConfig, fit_popularity
from hyperllm.baselines.rp3beta import Rp3betaConfig, fit_rp3beta
from hyperllm.config import build
from hyperllm.data.semantics import Semantics
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError, did_you_mean
from hyperllm.serving.model import ScoreModel


@dataclass(frozen=True)
class Baseline:
    """One registry entry: its settings class, the function that fits it, and the settings that tuning tries.

    ``train`` takes a split and the settings, ``semantics`` too where the entry ``needs_semantics``, and ``tags`` where
    `uses_tags` says so.
    """

    name: str
    config: type[Any]
    train: Callable[..., ScoreModel]
    grid: Sequence[Mapping[str, Any]] = ({},)
    needs_tags: bool = False
    needs_semantics: bool = False

    @property
    def known(self) -> list[str]:
        """Names of its settings."""
        return [f.name for f in fields(self.config)]

    def configure(self, settings: Mapping[str, Any]) -> Any:
        """The settings object; raises `ConfigError` for an unknown key or a value that makes no sense."""
        for key in settings:
            if key not in self.known:
                choices = f"it has {', '.join(self.known)}" if self.known else "it has none"
                raise ConfigError(f"{self.name} has no setting {key!r}; {choices}.{did_you_mean(key, self.known)}")
        return build([self.config], settings)[0]

    def uses_tags(self, settings: Mapping[str, Any]) -> bool:
        """Whether tags are needed under these settings: always, or for a ``tag_weight`` above 0."""
        return self.needs_tags or getattr(self.configure(settings), "tag_weight", 0) > 0

    def fit(
        self,
        split: Split,
        *,
        settings: Mapping[str, Any] | None = None,
        tags: TagGraph | None = None,
        semantics: Semantics | None = None,
    ) -> ScoreModel:
        """Fit on the training part of ``split``; raises `DataError` where needed tags or text vectors are absent."""
        config, needed = self.configure(settings or {}), dict[str, Any]()
        if self.needs_semantics:
            needed["semantics"] = _there(semantics, f"{self.name} needs text vectors; run `hyperllm embed`")
        if self.uses_tags(settings or {}):
            needed["tags"] = _there(tags, f"{self.name} needs tags; run `hyperllm extract`")
        return self.train(split, config, **needed)


def _there(value: Any, told: str) -> Any:
    if value is None:
        raise DataError(f"{told} first, or take a baseline without them")
    return value


def _every(**values: Sequence[Any]) -> list[dict[str, Any]]:
    """Every combination of the values."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


BASELINES: dict[str, Baseline] = {
    entry.name: entry
    for entry in (
        Baseline("popularity", PopularityConfig, fit_popularity),
        Baseline(
            "itemknn",
            ItemKnnConfig,
            fit_itemknn,
            _every(similarity=("cosine", "tfidf"), shrinkage=(0, 10, 50), neighbours=(100, 1000)),
        ),
        Baseline("rp3beta", Rp3betaConfig, fit_rp3beta, _every(alpha=(0.2, 0.4, 0.6, 0.8), beta=(0.0, 0.1, 0.3))),
        Baseline("ease", EaseConfig, fit_ease, _every(regularisation=(25, 50, 100, 150, 200, 300, 500, 1000))),
        Baseline(
            "ease-tags",
            EaseTagsConfig,
            fit_ease_tags,
            _every(regularisation=(100, 200, 400), tag_weight=(1.0, 2.5, 5.0, 10.0)),
            needs_tags=True,
        ),
        Baseline("als", AlsConfig, fit_als, _every(factors=(256, 512), regularisation=(50, 100, 200), alpha=(40, 80))),
        Baseline(
            "content",
            ContentConfig,
            fit_content,
            _every(neighbours=(5, 20, 100, None), tag_weight=(0.0, 0.5)),
            needs_semantics=True,
        ),
    )
}
