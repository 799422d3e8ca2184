"""Named choices of backbone, framework and settings; what is given by hand wins over a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Mapping[str, Any]]
"""Settings a framework, since one name may mean different things in two of them."""


@dataclass(frozen=True)
class Preset:
    """``settings`` hold for every backbone; ``by_backbone`` wins over them."""

    backbone: str = "hgcf"
    framework: str = "hyperllm"
    settings: Settings = field(default_factory=dict)
    by_backbone: Mapping[str, Settings] = field(default_factory=dict)

    def chosen(self, backbone: str, framework: str) -> dict[str, Any]:
        """What it sets in a run of these two; a rival framework trains as base does but for what it is named with."""
        names = [framework] if framework in ("base", "hyperllm") else ["base", framework]
        levels = (self.settings, self.by_backbone.get(backbone, {}))
        return {key: value for name in names for level in levels for key, value in level.get(name, {}).items()}


_ADAM: dict[str, Any] = {
    "optimizer": "adam",
    "parametrisation": "tangent",
    "learning_rate": 0.002,
    "weight_decay": 0.05,
    "margin": 1.0,
}

_BPR: dict[str, Any] = {**_ADAM, "learning_rate": 0.005, "weight_decay": 0.01, "margin": 0.0, "negatives": 4}

_CENTROIDS: dict[str, Any] = {**_ADAM, "learning_rate": 0.01, "weight_decay": 0.01, "margin": 0.3, "negatives": 4}

TUNED: Mapping[str, Settings] = {
    "hgcf": {"base": {**_ADAM, "negatives": 4}},
    "hgch": {
        "base": {**_ADAM, "weight_decay": 1e-5, "reduction": "mean_active"},
        "hyperllm": {"radius": 1.5},
    },
    "hicf": {
        "base": {**_ADAM, "margin": 2.0, "negatives": 8},
        "hyperllm": {"margin": 1.6, "tag_margin": 0.6, "negatives": 3},
    },
    "hrcf": {"base": {**_ADAM, "negatives": 4}, "hyperllm": {"tag_margin": 0.4}},
    "lgcf": {"base": _CENTROIDS},
    "lhgcn": {"base": _CENTROIDS},
    "hypercl": {"base": _ADAM, "hyperllm": {"tag_margin": 0.4, "view_weight": 0.02}},
    "lightgcn": {
        "base": _BPR,
        "hyperllm": {**_BPR, "tag_margin": 0.0, "contrast_weight": 0.1, "item_radius": 3.0, "user_radius": 0.3},
    },
}
"""Chosen on the validation part of Beauty; each is the winner of the search in the experiment file of its name."""

RIVALS: Settings = {
    "kar": {
        "text_dim": 128,
        "precision": "bf16",
        "text_learning_rate": 0.001,
        "shared_experts": 3,
        "dedicated_experts": 4,
    },
    "rlmrec-con": {"text_dim": 128, "align_sample": 1024, "align_weight": 0.1, "align_temperature": 0.2},
    "rlmrec-gen": {"text_dim": 128, "mask_ratio": 0.1, "align_weight": 1.0, "align_temperature": 0.2},
}
"""What rivals add to a backbone's base settings: winners of the searches on HGCF, used on every backbone."""

_PUBLISHED: dict[str, Any] = {
    "learning_rate": 1e-3,
    "weight_decay": 5e-4,
    "momentum": 0.95,
    "batch_size": 4096,
    "average": 0.0,
}
_HGCH: dict[str, Any] = {"learning_rate": 1e-4, "optimizer": "adam", "parametrisation": "tangent"}
_EXPERTS: dict[str, Any] = {"experts": 20, "meta_margin": 0.1}

BEST: Mapping[str, Any] = {
    "ranking": "softmax",
    "softmax_temperature": 0.5,
    "softmax_negatives": 1024,
    "optimizer": "adam",
    "parametrisation": "tangent",
    "learning_rate": 0.002,
    "weight_decay": 0.01,
    "linear_expert": True,
    "patience": 20,
}
"""What ranks best: a sampled softmax over hyperbolic distances, and a linear expert in the score."""


@dataclass(frozen=True)
class Part:
    """What one part of the best model is worth: ``settings`` put over preset ``best``, in this variant."""

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    variant: str = "full"


_OWN_LOSS: dict[str, Any] = {
    "ranking": "own",
    "optimizer": "sgd",
    "parametrisation": "manifold",
    "learning_rate": 4e-3,
    "weight_decay": 5e-4,
}

PARTS: Mapping[str, Part] = {
    "best": Part("Best"),
    "best-no-linear": Part("w/o linear expert", {"linear_expert": False}),
    "best-no-tags-in-linear": Part("w/o tags in the linear expert", {"linear_tag_weight": 0.0}),
    "best-no-text-in-linear": Part("w/o texts in the linear expert", {"linear_text_weight": 0.0}),
    "best-unscaled": Part("w/o scaled columns in the linear expert", {"linear_scaling": 0.0}),
    "best-own-loss": Part("Backbone's own loss and rule in phase 2", _OWN_LOSS),
    "best-no-contrast": Part("w/o contrast", variant="no-contrast"),
    "best-semantic": Part("Semantic: w/o tags", variant="semantic"),
    "best-structural": Part("Structural: w/o texts", variant="structural"),
    "best-only-semantic": Part("Phase 1 alone, with the linear expert", variant="only-semantic"),
}
"""The best model and what is left without a part of it; ``best-own-loss`` trains phase 2 as preset ``default`` HGCF."""

PRESETS: dict[str, Preset] = {
    "default": Preset(settings=RIVALS, by_backbone=TUNED),
    "best": Preset(
        settings=RIVALS,
        by_backbone={b: {**own, "hyperllm": {**own.get("hyperllm", {}), **BEST}} for b, own in TUNED.items()},
    ),
    "plain": Preset(),
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
        },
        by_backbone={
            "hrcf": {"hyperllm": {"tag_margin": 0.4}},
            "hicf": {
                "base": {"margin": 3.8, "negatives": 3},
                "hyperllm": {**_EXPERTS, "margin": 3.3, "tag_margin": 0.3, "negatives": 3},
            },
            "hgch": {
                "base": {**_HGCH, "margin": 1.0, "reduction": "mean_active"},
                "hyperllm": {**_HGCH, **_EXPERTS, "margin": 4.6, "tag_margin": 0.2},
            },
            "hypercl": {
                "base": {"margin": 2.5, "weight_decay": 5e-3},
                "hyperllm": {**_EXPERTS, "margin": 2.3, "tag_margin": 0.02, "meta_margin": 0.3, "weight_decay": 5e-3},
            },
        },
    ),
}
"""``default``: `TUNED` and `RIVALS` over the settings' own defaults; ``best``: these and `BEST`; ``plain``: none;
``paper``: the hyper-parameters of the published runs on Beauty, without the published sampler's quirks."""
