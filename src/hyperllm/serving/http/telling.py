"""What the library says, as the JSON values of the contract.

Knows the library's rows and the answers' fields. Does not know how either came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hyperllm.serving.cards import ItemCard
from hyperllm.serving.explain import Reasons
from hyperllm.serving.frames import Recommendation
from hyperllm.serving.http.tagtree import TagTree
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Placed, PlacedItem
from hyperllm.serving.recommender import Recommender


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


def placed_items(told: Placed, shop: Recommender, remarks: Sequence[str]) -> list[dict[str, Any]]:
    """What became of new items: ``told`` of placing them into the model of ``shop``."""
    note = " ".join(_sentence(remark) for remark in remarks) or None
    return [
        {
            "item_id": item.item_id,
            "title": item.title,
            "tags": [asdict(tag) for tag in item.tags],
            "near": _near(item, told.model),
            **_spot(item, shop),
            "radius": item.radius,
            "note": note,
        }
        for item in told.items
    ]


def _near(item: PlacedItem, model: ScoreModel) -> list[dict[str, Any]]:
    (row,), near = model.items.rows([item.item_id]), model.items.rows([other.item_id for other in item.near])
    alike = model.similarities(np.array([row]), near[None, :])[0].tolist() if len(near) else []
    return [{**asdict(other), "similarity": value} for other, value in zip(item.near, alike, strict=True)]


def _spot(item: PlacedItem, shop: Recommender) -> dict[str, float | None]:
    """Where a new item stands on the disk that is drawn now."""
    if item.radius is None:
        return {"x": None, "y": None}
    near = shop.items.rows([other.item_id for other in item.near])
    x, y = shop.disk.between(item.radius, near, np.array([other.share for other in item.near]))
    return {"x": x, "y": y}


def _sentence(remark: str) -> str:
    return f"{remark[:1].upper()}{remark[1:].rstrip('.')}."
