"""Frameworks decide what goes into a backbone and which terms come out; the paper's variants are config fields."""

from __future__ import annotations

from hyperllm.frameworks.alpharec import AlphaRec
from hyperllm.frameworks.base import Base, Framework
from hyperllm.frameworks.config import BaseConfig, HyperLLMConfig
from hyperllm.frameworks.herec import HERec
from hyperllm.frameworks.hyperllm import Integration, SemanticExtraction
from hyperllm.frameworks.kar import KAR, KARTuned
from hyperllm.frameworks.llminit import LLMInit
from hyperllm.frameworks.rlmrec import RLMRecCon, RLMRecGen
from hyperllm.frameworks.train import Trained, train_base, train_framework, train_hyperllm

FRAMEWORKS: dict[str, type[Framework]] = {
    "base": Base,
    "hyperllm": Integration,
    "kar": KAR,
    "kar-tuned": KARTuned,
    "rlmrec-con": RLMRecCon,
    "rlmrec-gen": RLMRecGen,
    "alpharec": AlphaRec,
    "herec": HERec,
    "llminit": LLMInit,
}

__all__ = [
    "FRAMEWORKS",
    "KAR",
    "AlphaRec",
    "Base",
    "BaseConfig",
    "Framework",
    "HERec",
    "HyperLLMConfig",
    "Integration",
    "KARTuned",
    "LLMInit",
    "RLMRecCon",
    "RLMRecGen",
    "SemanticExtraction",
    "Trained",
    "train_base",
    "train_framework",
    "train_hyperllm",
]
