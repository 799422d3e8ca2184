"""How backbones, frameworks, baselines and statistics are written where people read them.

Knows the spelling of each name and nothing else; a name it does not know is written as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperllm.experiments.presets import PARTS

TITLES: Mapping[str, str] = {
    "hgcf": "HGCF",
    "hrcf": "HRCF",
    "hicf": "HICF",
    "hgch": "HGCH",
    "hypercl": "HyperCL",
    "lgcf": "LGCF",
    "lhgcn": "LHGCN",
    "lightgcn": "LightGCN",
    "plain": "Plain",
    "base": "Base",
    "structural": "Structural",
    "semantic": "Semantic",
    "hyperllm": "HyperLLM",
    "linear": "The linear expert alone",
    **{name: part.title for name, part in PARTS.items()},
    "no-meta": "w/o Meta",
    "kar": "KAR",
    "kar-tuned": "KAR, tuned",
    "rlmrec-con": "RLMRec-Con",
    "rlmrec-gen": "RLMRec-Gen",
    "alpharec": "AlphaRec",
    "herec": "HERec",
    "llminit": "LLMInit",
    "popularity": "Popularity",
    "itemknn": "Item-kNN",
    "rp3beta": "RP3β",
    "ease": "EASEᴿ",
    "ease-tags": "EASEᴿ + tags",
    "als": "ALS",
    "users": "Users",
    "items": "Items",
    "interactions": "User-item interactions",
    "density": "Density",
    "features": "Features",
    "mean_tokens": "Avg Token",
    "tags": "Tags",
    "tag_item_pairs": "Tag-item pairs",
    "tag_tag_edges": "Tag-tag edges",
    "summary_tokens": "Avg Summary",
}


def title(name: str) -> str:
    """``rlmrec-con`` -> ``RLMRec-Con``."""
    return TITLES.get(name, name)
