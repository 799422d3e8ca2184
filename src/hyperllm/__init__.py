"""HyperLLM: item texts and clicks to hierarchical, explainable top-N recommendations.

Names load on first use, so that serving a trained model never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperllm.backbones import HGCF, Backbone
    from hyperllm.data.split import Split, split
    from hyperllm.errors import HyperLLMError
    from hyperllm.evaluation.evaluate import Evaluation, evaluate
    from hyperllm.experiments.quick import fit
    from hyperllm.frameworks import BaseConfig, HyperLLMConfig, train_base, train_hyperllm
    from hyperllm.serving.arrange import Order
    from hyperllm.serving.recommender import Recommender
    from hyperllm.serving.selection import Filter
    from hyperllm.training.loop import FitConfig

__version__ = "0.1.0"

_HOME = {
    "Backbone": "backbones",
    "BaseConfig": "frameworks",
    "Evaluation": "evaluation.evaluate",
    "Filter": "serving.selection",
    "FitConfig": "training.loop",
    "HGCF": "backbones",
    "HyperLLMConfig": "frameworks",
    "HyperLLMError": "errors",
    "Order": "serving.arrange",
    "Recommender": "serving.recommender",
    "Split": "data.split",
    "evaluate": "evaluation.evaluate",
    "fit": "experiments.quick",
    "split": "data.split",
    "train_base": "frameworks",
    "train_hyperllm": "frameworks",
}

__all__ = [
    "HGCF",
    "Backbone",
    "BaseConfig",
    "Evaluation",
    "Filter",
    "FitConfig",
    "HyperLLMConfig",
    "HyperLLMError",
    "Order",
    "Recommender",
    "Split",
    "evaluate",
    "fit",
    "split",
    "train_base",
    "train_hyperllm",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hyperllm' has no attribute {name!r}")
    return getattr(import_module(f"hyperllm.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
