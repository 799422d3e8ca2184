"""One paper a file; a new backbone is one class and one line here."""

from __future__ import annotations

from hyperllm.backbones.base import Backbone, BackboneConfig, Encoded
from hyperllm.backbones.hgcf import HGCF

BACKBONES: dict[str, type[Backbone]] = {"hgcf": HGCF}

__all__ = ["BACKBONES", "HGCF", "Backbone", "BackboneConfig", "Encoded"]
