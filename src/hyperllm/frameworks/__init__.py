"""Frameworks decide what goes into a backbone and which terms come out; the paper's variants are config fields."""

from __future__ import annotations

from hyperllm.frameworks.base import Base, Framework
from hyperllm.frameworks.config import BaseConfig, HyperLLMConfig
from hyperllm.frameworks.hyperllm import Integration, SemanticExtraction
from hyperllm.frameworks.train import Trained, train_base, train_hyperllm

FRAMEWORKS: dict[str, type[BaseConfig]] = {"base": BaseConfig, "hyperllm": HyperLLMConfig}

__all__ = [
    "FRAMEWORKS",
    "Base",
    "BaseConfig",
    "Framework",
    "HyperLLMConfig",
    "Integration",
    "SemanticExtraction",
    "Trained",
    "train_base",
    "train_hyperllm",
]
