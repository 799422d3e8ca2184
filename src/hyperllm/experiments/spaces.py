"""What a search may choose from: named spaces, and the notation that they and TOML files are written in.

A setting has a list of values, or a range: ``{ low = 0.1, high = 4.0, step = 0.1 }``, or without steps, evenly or, with
``log = true``, by magnitude. A range from a whole number to a whole number has whole numbers only. Knows what was
searched in print; does not know how a space is searched.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hyperllm.errors import ConfigError, choose
from hyperllm.experiments.train import TrainRequest, configured
from hyperllm.frameworks.config import BaseConfig, HyperLLMConfig

_MARGIN = {"low": 0.1, "high": 4.0, "step": 0.1}
_TEXT_RATES = [1e-4, 5e-4, 1e-3]
_KAR = {"shared_experts": [2, 3], "dedicated_experts": [4, 5, 6], "text_learning_rate": _TEXT_RATES}

PAPER: Mapping[str, Mapping[str, Any]] = {
    "base": {"margin": _MARGIN},
    "hyperllm": {
        "experts": [12, 16, 20],
        "meta_margin": {"low": 0.1, "high": 0.5, "step": 0.1},
        "margin": _MARGIN,
        "tag_margin": {"low": 0.1, "high": 1.0, "step": 0.1},
    },
    "hyperllm/hgch": {"margin": {**_MARGIN, "high": 8.1}},
    "kar": _KAR,
    "kar-tuned": _KAR,
    "rlmrec-con": {"align_weight": [1e-3, 1e-2, 1e-1], "align_temperature": [0.1, 0.2, 0.5, 1.0]},
    "rlmrec-gen": {
        "mask_ratio": [0.05, 0.1, 0.2],
        "align_weight": [0.01, 0.1, 1.0],
        "align_temperature": [0.1, 0.2, 0.5],
    },
    "alpharec": {"align_temperature": [0.1, 0.15, 0.2], "text_learning_rate": _TEXT_RATES},
    "herec": {"align_weight": [0.01, 0.1, 1.0], "text_learning_rate": [1e-5, 1e-4, 1e-3]},
    "llminit": {"margin": _MARGIN},
}
"""HyperLLM and base: the paper's §5.1.3, with m₂ up to 8.1 for HGCH as in its published runs. KAR: a grid that has its
authors' pairs of experts, (2, 5), (3, 4) and (2, 6). RLMRec: what its authors chose over six backbones. AlphaRec and
HERec: around what their authors chose. LLMInit has nothing of its own."""

_TRAINING: Mapping[str, Any] = {
    "margin": _MARGIN,
    "learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "negatives": [1, 2, 4, 8],
}
_START: Mapping[str, Any] = {
    "contrast_weight": {"low": 1e-3, "high": 1.0, "log": True},
    "item_radius": {"low": 0.5, "high": 3.0, "step": 0.1},
    "user_radius": {"low": 0.01, "high": 1.0, "log": True},
}
_ALPHAREC: Mapping[str, Any] = {
    "align_temperature": {"low": 0.05, "high": 0.5, "log": True},
    "text_learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "shared_negatives": [64, 256, 1024],
}

SPACES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": PAPER,
    "wide": {
        **{name: space if "/" in name else {**_TRAINING, **space} for name, space in PAPER.items()},
        "hyperllm": {**_TRAINING, **PAPER["hyperllm"], **_START},
        "alpharec": _ALPHAREC,
    },
}
"""Name → framework, or framework/backbone, which goes over it → setting → what it may be."""


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)

    @property
    def values(self) -> Sequence[Any] | None:
        """All of them, rising; None where there is no end of them."""
        if self.whole:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if self.step is None:
            return None
        return [self.plain(self.low + k * self.step) for k in range(round((self.high - self.low) / self.step) + 1)]

    def plain(self, value: float) -> float:
        """The value as a person would write it: a step without binary noise, else four significant digits."""
        if self.whole:
            return value
        return round(value, 10) if self.step is not None else float(f"{value:.4g}")


@dataclass(frozen=True)
class Choice:
    """One of these."""

    values: Sequence[Any]

    def plain(self, value: Any) -> Any:
        """The value itself."""
        return value


Space = Mapping[str, Range | Choice]
SAMPLERS = {"tpe": "by what was good before", "random": "anywhere", "grid": "every combination once, shuffled"}


def chosen(request: TrainRequest, space: str | Mapping[str, Any], *, sampler: str = "tpe") -> Space:
    """What to search for a request: a space by name, by the path of a TOML file, or in the notation.

    What the request sets is not searched, and of a named space neither is what has no effect in the request's variant.
    Raises `ConfigError` on a setting that backbone and framework do not have, a value that it cannot have, an unknown
    sampler, and a grid without an end.
    """
    choose(sampler, SAMPLERS, what="sampler")
    found = configured(request)
    if found is None:
        raise ConfigError("a baseline has no epochs to prune; tune is for backbones")
    where, table = _table(space, found.framework, found.backbone_name)
    if isinstance(space, str) and space in SPACES:
        table = {name: v for name, v in table.items() if name not in idle(found.framework_config, request)}
    parsed = {name: _parsed(value, f"{where}: {name}") for name, value in table.items() if name not in request.settings}
    if not parsed:
        raise ConfigError(f"{where} leaves nothing to search: each of its settings is given, or has no effect here")
    for name, values in parsed.items():
        for value in (values.low, values.high) if isinstance(values, Range) else values.values:
            configured(replace(request, settings={**request.settings, name: value}))
        if sampler == "grid" and values.values is None:
            raise ConfigError(f"{where}: a grid needs a step or a list for {name!r}")
    return parsed


def _table(space: str | Mapping[str, Any], framework: str, backbone: str) -> tuple[str, Mapping[str, Any]]:
    """Where a space stands, and what is written there."""
    if not isinstance(space, str):
        return "the space", space
    if space.endswith(".toml"):
        try:
            return repr(space), tomllib.loads(Path(space).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{space!r} does not exist; expected a TOML file of settings to search") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{space!r} is not TOML: {error}") from None
    named = choose(space, SPACES, what="space (or write the name of a .toml file)")
    if framework not in named:
        there = ", ".join(name for name in named if "/" not in name)
        raise ConfigError(f"the space {space!r} has {there}, not {framework!r}; write one in a .toml file")
    return f"the space {space!r}", {**named[framework], **named.get(f"{framework}/{backbone}", {})}


def idle(config: BaseConfig, request: TrainRequest) -> set[str]:
    """Settings of HyperLLM that have no effect in a variant, or after a phase 1 that is done."""
    if not isinstance(config, HyperLLMConfig):
        return set()
    learns_phase1 = config.uses_meta and request.phase1 is None
    only_phase1 = config.variant == "only-semantic"
    active = {
        "meta_margin": learns_phase1,
        "experts": learns_phase1 or config.variant == "no-meta",
        "margin": not only_phase1,
        "tag_margin": config.uses_tags,
        "contrast_weight": config.uses_tags and config.variant != "no-contrast",
        "item_radius": config.uses_meta and not only_phase1,
        "user_radius": config.uses_meta and not only_phase1,
    }
    return {name for name, used in active.items() if not used}


def _parsed(value: Any, where: str) -> Range | Choice:
    if isinstance(value, Mapping):
        return _range(value, where)
    plain = isinstance(value, list) and all(isinstance(v, bool | int | float | str) for v in value)
    if not plain or not value or len(set(value)) < len(value):
        raise ConfigError(f"{where} is a list of different values, or {{ low = …, high = … }}; found {value!r}")
    return Choice(tuple(value))


def _range(table: Mapping[str, Any], where: str) -> Range:
    kinds = {"low": float, "high": float, "step": float, "log": bool}
    for key, value in table.items():
        kind = choose(key, kinds, what=f"key of {where}:")
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, bool | int | float):
            raise ConfigError(f"{where}: {key} is {'true or false' if kind is bool else 'a number'}; found {value!r}")
    if "low" not in table or "high" not in table or not -math.inf < table["low"] < table["high"] < math.inf:
        raise ConfigError(f"{where} goes from a low to a greater high; found {dict(table)}")
    found = Range(**table)
    if found.log and (found.step is not None or found.low <= 0):
        raise ConfigError(f"{where}: log needs a low above 0 and no step; found {dict(table)}")
    steps = 1.0 if found.step is None else (found.high - found.low) / found.step if found.step > 1e-9 else 0.0
    if abs(steps - round(steps)) > 1e-6 or steps < 1:
        raise ConfigError(f"{where}: steps from low must come to high; found {dict(table)}")
    return found
