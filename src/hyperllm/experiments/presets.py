"""Named sets of settings; what is given by hand wins over a preset, a preset over the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: dict[str, Mapping[str, Any]] = {
    "default": {},
    "paper": {
        "margin": 1.6,
        "tag_margin": 0.9,
        "meta_margin": 0.1,
        "experts": 16,
        "contrast_weight": 0.01,
        "contrast_temperature": 0.5,
        "contrast_anchors": None,
        "text_dim": None,
        "learning_rate": 1e-3,
        "weight_decay": 5e-4,
        "momentum": 0.95,
        "batch_size": 4096,
        "tag_edge_weight": 2.0,
    },
}
