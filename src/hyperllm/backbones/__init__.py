"""One paper a file; a new backbone is one class and one line here."""

from __future__ import annotations

from hyperllm.backbones.base import Backbone, BackboneConfig, Encoded
from hyperllm.backbones.hgcf import HGCF
from hyperllm.backbones.hgch import HGCH
from hyperllm.backbones.hicf import HICF
from hyperllm.backbones.hrcf import HRCF
from hyperllm.backbones.hypercl import HyperCL
from hyperllm.backbones.lgcf import LGCF
from hyperllm.backbones.lhgcn import LHGCN
from hyperllm.backbones.lightgcn import LightGCN

BACKBONES: dict[str, type[Backbone]] = {
    "hgcf": HGCF,
    "hgch": HGCH,
    "hicf": HICF,
    "hrcf": HRCF,
    "hypercl": HyperCL,
    "lgcf": LGCF,
    "lhgcn": LHGCN,
    "lightgcn": LightGCN,
}

__all__ = [
    "BACKBONES",
    "HGCF",
    "HGCH",
    "HICF",
    "HRCF",
    "LGCF",
    "LHGCN",
    "Backbone",
    "BackboneConfig",
    "Encoded",
    "HyperCL",
    "LightGCN",
]
