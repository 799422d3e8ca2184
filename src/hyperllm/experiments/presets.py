"""Named choices of backbone, framework and settings; what is given by hand wins over a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """``settings`` are kept a framework, since one name may mean different things in two of them."""

    backbone: str = "hgcf"
    framework: str = "hyperllm"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_PUBLISHED: dict[str, Any] = {
    "learning_rate": 1e-3,
    "weight_decay": 5e-4,
    "momentum": 0.95,
    "batch_size": 4096,
    "average": 0.0,
}

PRESETS: dict[str, Preset] = {
    "default": Preset(),
    "paper": Preset(
        settings={
            "base": {**_PUBLISHED, "margin": 2.3},
            "hyperllm": {
                **_PUBLISHED,
                "margin": 1.6,
                "tag_margin": 0.9,
                "meta_margin": 0.1,
                "experts": 16,
                "contrast_weight": 0.01,
                "contrast_temperature": 0.5,
                "contrast": "exact",
                "text_dim": None,
                "meta_optimizer": "sgd",
                "meta_learning_rate": 1e-3,
                "meta_epochs": 500,
                "meta_patience": 50,
                "user_radius": None,
                "item_radius": None,
                "tag_edge_weight": 2.0,
            },
        }
    ),
}
"""``paper``: the hyper-parameters of the published HGCF runs on Beauty, without the published sampler's quirks."""
