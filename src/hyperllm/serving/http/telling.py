"""What the library says, as the JSON values of the contract.

Knows the library's rows and the answers' fields. Does not know how either came about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hyperllm.serving.cards import ItemCard
from hyperllm.serving.explain import Reasons
from hyperllm.serving.frames import Recommendation
from hyperllm.serving.http.tagtree import TagTree
from hyperllm.serving.model import ScoreModel


def explanation(row: Recommendation, model: ScoreModel) -> dict[str, Any]:
    """Why an item, from a row that was asked to explain itself."""
    reasons = row.reasons
    assert reasons is not None, "the row was asked to explain itself"
    return {
        "item_id": row.item_id,
        "title": row.title,
        "score": row.score,
        "parts": _parts(reasons, model),
        "distance": reasons.parts.distance,
        "path": list(reasons.tag_path),
        "path_items": reasons.tagged,
        "nearest": [
            {"item_id": near.item_id, "title": near.title, "similarity": near.score, "effect": near.effect}
            for near in reasons.nearest
        ],
    }


def _parts(reasons: Reasons, model: ScoreModel) -> dict[str, float]:
    """Only the parts this kind of model has."""
    parts: dict[str, float] = {}
    if model.curved:
        parts["hyperbolic"] = reasons.parts.hyperbolic
    if model.flat or not model.curved:
        parts["linear"] = reasons.parts.linear
    return parts


def card(told: ItemCard, *, added: bool) -> dict[str, Any]:
    """All there is of an item."""
    return {**asdict(told), "added": added}


def tag_name(tree: TagTree, tag: int) -> dict[str, Any]:
    """A tag by name."""
    return {"tag_id": tree.ids.ids[tag], "name": tree.names[tag]}


def tag_rows(tree: TagTree, tags: Iterable[int]) -> list[dict[str, Any]]:
    """Tags in a list."""
    return [
        {
            **tag_name(tree, tag),
            "level": tree.level_of(tag),
            "items": int(tree.count[tag]),
            "children": len(tree.children.get(tag, ())),
        }
        for tag in tags
    ]
