"""A trained recommender as two matrices and two id lists.

Knows how to score, rank and find neighbours with NumPy alone, and how to be written and read without pickle. Does not
know how the matrices were learned; torch is never imported here.

Shapes: ``U`` users, ``I`` items, ``d`` columns, ``b`` rows asked for, ``k`` places.

``lorentz``: rows are points (x₀, x₁ … ) of the unit hyperboloid, −x₀² + x₁² + … = −1. (An exporter of curvature −c
multiplies its points by √c; that scales all distances alike.) score = ⟨u, i⟩_L = −u₀i₀ + u₁i₁ + … = −cosh(distance), so
one matrix product with the users' time coordinate negated ranks by distance. ``inner``: score = u·i.

A ``lorentz`` model may be fused: its last ``flat`` columns are Euclidean factors f beside the point, so that a row lies
in a product space H × E and score = ⟨u, i⟩_L + u_f·i_f, still one matrix product. It ranks by both; distances are those
of the points alone.

Dense scores are computed in float64, pair by pair, and forget their last 12 bits, where only the order of summation
shows: equal items tie exactly, whatever the batch they are scored in, and ties go by row number. A float32 product
finds the few pairs worth it (`scan`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.data.split import Split
from hyperllm.data.tags import UNKNOWN_LEVEL, TagGraph
from hyperllm.errors import ConfigError, DataError, MisalignedArrays
from hyperllm.evaluation.rank import NOTHING, TopK, check_k, hide, topk
from hyperllm.ids import Rows, Vocabulary
from hyperllm.serving import storage
from hyperllm.serving.checks import check_flat, check_shapes, check_values, columns
from hyperllm.serving.content import Content, LinearInputs
from hyperllm.serving.product import (
    FLOATS_AT_ONCE,
    Doubles,
    Floats,
    ItemSide,
    SparseSide,
    cosine,
    flipped,
    minus_distance,
    norms,
    raised,
)
from hyperllm.serving.scan import best, users_at_once

Geometry = Literal["lorentz", "inner"]
Vectors = Floats | sparse.csr_matrix
KIND = storage.KIND
_SCORES_AT_ONCE = 2**24
_SCORES_IN_CACHE = 2**21
_USERS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class ScoreModel:
    """``user_vectors`` (U, d) float32 or CSR, ``item_vectors`` (I, d) float32, ``seen`` (U, I) CSR of training pairs.

    ``catalog`` says what the items are, ``tags`` belongs to the same items. ``flat`` counts the trailing columns of
    both matrices that are Euclidean factors beside points of the hyperboloid; 0 with ``inner``. ``content`` and
    ``linear`` are what new items and users join by, None where nothing was kept. Raises `ConfigError`,
    `MisalignedArrays` or `DataError` where the parts do not fit.
    """

    users: Vocabulary
    items: Vocabulary
    user_vectors: Vectors
    item_vectors: Floats
    geometry: Geometry
    seen: sparse.csr_matrix
    catalog: Catalog
    tags: TagGraph | None = None
    flat: int = 0
    content: Content | None = None
    linear: LinearInputs | None = None

    def __post_init__(self) -> None:
        if self.geometry not in get_args(Geometry):
            raise ConfigError(f"unknown geometry {self.geometry!r}; choose one of {', '.join(get_args(Geometry))}.")
        check_shapes(self)
        check_flat(self)
        for what, vectors in (("user", self.user_vectors), ("item", self.item_vectors)):
            check_values(what, vectors, self.curved)

    @cached_property
    def titles(self) -> tuple[str | None, ...]:
        """The items' titles, None where unknown."""
        return tuple(self.catalog.frame["title"])

    @cached_property
    def clicks(self) -> Rows:
        """How many users (I,) have seen each item in training."""
        return np.bincount(self.seen.indices, minlength=len(self.items)).astype(np.int64)

    @cached_property
    def tag_columns(self) -> sparse.csc_matrix:
        """(t, I) `TagGraph.rows`, to take items from; only where there are tags."""
        assert self.tags is not None, "this model has no tags"
        return sparse.csc_matrix(self.tags.rows())

    @cached_property
    def tag_depth(self) -> Doubles:
        """(I,) mean level of the items' tags, 0 without any; of tags without levels the mean log rarity."""
        assert self.tags is not None, "this model has no tags"
        tag, item = self.tags.tag_items.T
        depth = self.tags.level.astype(np.float64)
        if (depth == UNKNOWN_LEVEL).any():
            depth = np.log(len(self.items) / np.maximum(np.bincount(tag, minlength=len(depth)), 1))
        count = np.maximum(np.bincount(item, minlength=len(self.items)), 1)
        return np.bincount(item, depth[tag], minlength=len(self.items)) / count

    @cached_property
    def radii(self) -> Doubles:
        """(I,) distances of the items' points from the origin; only of the hyperboloid."""
        assert self.curved, "this model is not hyperbolic"
        return np.arcsinh(np.linalg.norm(self.item_points[:, 1:].astype(np.float64), axis=1))

    @property
    def user_points(self) -> Vectors:
        """The users' points (U, d − flat), without the factors; with ``inner`` all columns."""
        return self.user_vectors[:, : self.curved] if self.flat else self.user_vectors

    @property
    def item_points(self) -> Floats:
        """The items' points (I, d − flat), without the factors; with ``inner`` all columns."""
        return self.item_vectors[:, : self.curved] if self.flat else self.item_vectors

    @property
    def curved(self) -> int:
        """How many leading columns are the hyperboloid: 1 + its dimension, 0 with ``inner``."""
        return self.item_vectors.shape[1] - self.flat if self.geometry == "lorentz" else 0

    @classmethod
    def of_points(
        cls,
        split: Split,
        *,
        users: Floats,
        items: Floats,
        geometry: Geometry = "lorentz",
        tags: TagGraph | None = None,
        flat: int = 0,
        linear: LinearInputs | None = None,
    ) -> ScoreModel:
        """The model of trained vectors, users (U, d) and items (I, d); training pairs count as seen.

        The last ``flat`` columns are Euclidean factors. Raises as the class does.
        """
        return cls(
            users=split.users,
            items=split.items,
            user_vectors=users,
            item_vectors=items,
            geometry=geometry,
            seen=split.train.matrix(len(split.users), len(split.items)),
            catalog=Catalog.empty(split.items),
            tags=tags,
            flat=flat,
            linear=linear,
        )

    def with_users(self, users: Vocabulary, vectors: Vectors, seen: sparse.csr_matrix) -> ScoreModel:
        """The same items for other users, such as some that were folded in; the items are not checked again."""
        other = copy(self)
        kept = {"clicks": self.clicks}  # what everybody clicked does not change with who is asking
        for name, value in {"users": users, "user_vectors": vectors, "seen": seen, **kept}.items():
            object.__setattr__(other, name, value)
        check_shapes(other)
        check_values("user", vectors, self.curved)
        return other

    def save(
        self,
        folder: Path,
        *,
        config: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the artifact ``folder`` of kind ``model``: .npy arrays that can be memory-mapped, and JSON."""
        arrays = {"item_vectors": self.item_vectors, **storage.from_csr("seen", self.seen, with_data=False)}
        if isinstance(self.user_vectors, np.ndarray):
            arrays["user_vectors"] = self.user_vectors
        else:
            arrays |= storage.from_csr("user_vectors", self.user_vectors)
        lists: dict[str, Any] = {"users": self.users.texts.to_list(), "items": self.items.texts.to_list()}
        if self.tags is not None:
            more, lists["tags"] = storage.from_tags(self.tags)
            arrays |= more
        sparse_users = not isinstance(self.user_vectors, np.ndarray)
        lists["model"] = {"geometry": self.geometry, "sparse_users": sparse_users, "flat": self.flat}
        for name, part in (("content", self.content), ("linear", self.linear)):
            if part is not None:
                more, lists[name] = part.stored()
                arrays |= {f"{name}.{key}": array for key, array in more.items()}
        told = {"users": len(self.users), "items": len(self.items), "dim": self.item_vectors.shape[1]}
        told |= facts or {}
        storage.write(folder, arrays, lists, self.catalog, config=config, inputs=inputs, facts=told)

    @classmethod
    def load(cls, folder: Path | str) -> ScoreModel:
        """Read what `save` wrote; ``folder`` is a run or its ``model/`` folder. Arrays are memory-mapped.

        Raises `Incomplete`, `WrongKind` or `Corrupt`, each naming the folder and what to do.
        """
        with storage.reading(Path(folder)) as stored:
            users, items = stored.ids("users"), stored.ids("items")
            about = stored.list("model")
            size = len(users), len(items)
            dense = stored.array("item_vectors")
            sparse_users = bool(about["sparse_users"])
            return cls(
                users=users,
                items=items,
                user_vectors=stored.csr("user_vectors", (size[0], dense.shape[1]))
                if sparse_users
                else stored.array("user_vectors"),
                item_vectors=dense,
                geometry=about["geometry"],
                seen=stored.csr("seen", size),
                catalog=stored.catalog(items),
                tags=stored.tags(items),
                flat=int(about.get("flat", 0)),
                content=stored.part("content", Content.restored),
                linear=stored.part("linear", LinearInputs.restored),
            )

    def topk(
        self,
        user_rows: Rows,
        k: int,
        *,
        mask: sparse.csr_matrix | None = None,
        candidates: Rows | None = None,
    ) -> TopK:
        """The k best items of each row of ``user_rows`` (b,), a block of scores in memory at a time.

        ``mask`` (U, I) holds one row for every user; its stored pairs are never returned. ``candidates`` restricts the
        ranking to these item rows.
        """
        rows = self._checked(user_rows, len(self.users), what="user")
        chosen = None if candidates is None else np.unique(self._checked(candidates, len(self.items), what="item"))
        if not isinstance(self.user_vectors, np.ndarray):
            return _ranked_sparse(self.user_vectors[rows], self._turned_items, k, mask, rows, chosen)
        right = self.item_side if chosen is None else self.item_side.of_rows(chosen)
        return _ranked(lambda part: self.left_factors(rows[part]), right, len(rows), k, mask, rows)

    @cached_property
    def item_side(self) -> ItemSide:
        """Right factors of the score product."""
        return ItemSide.of(self.item_vectors, curved=self.curved)

    @cached_property
    def _turned_items(self) -> SparseSide:
        return SparseSide(np.asarray(self.item_vectors))

    @cached_property
    def near_side(self) -> ItemSide:
        """Right factors of nearness between items."""
        scale = None if self.geometry == "lorentz" else 1.0 / norms(self.item_points)
        return ItemSide.of(self.item_points, curved=self.curved, scale=scale)

    def similar(self, item_rows: Rows, k: int, *, candidates: Rows | None = None) -> TopK:
        """The k nearest other items of each row of ``item_rows`` (b,), among ``candidates`` where there are some.

        ``lorentz``: by hyperbolic distance, scores ⟨i, j⟩_L; factors play no part. ``inner``: by the cosine of the item
        vectors.
        """
        rows = self._checked(item_rows, len(self.items), what="item")
        itself = sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.float32), rows, np.arange(len(rows) + 1)), shape=(len(rows), len(self.items))
        )
        own = np.arange(len(rows), dtype=np.int64)
        points, scale = self.item_points, self.near_side.scale

        def queries(part: slice) -> Doubles:
            left = points[rows[part]].astype(np.float64)
            return flipped(left) if scale is None else left * scale[rows[part], None]

        chosen = None if candidates is None else np.unique(self._checked(candidates, len(self.items), what="item"))
        right = self.near_side if chosen is None else self.near_side.of_rows(chosen)
        return _ranked(queries, right, len(rows), k, itself, own)

    def shown_scores(self, user_rows: Rows, found: TopK) -> Doubles:
        """What a person is shown for ``found``, the answer of `topk` for these users; −inf where an item is −1.

        ``lorentz``: minus the hyperbolic distance, −arcosh(−⟨u, i⟩_L), in float64; of a fused model the score itself,
        since that is what ranks and no distance. ``inner``: the product.
        """
        if self.geometry == "inner" or self.flat or not isinstance(self.user_vectors, np.ndarray):
            return found.scores.astype(np.float64)
        rows = self._checked(user_rows, len(self.users), what="user")
        return self._pairwise(self.user_vectors[rows], found.items, minus_distance)

    def similarities(self, item_rows: Rows, items: Rows) -> Doubles:
        """Minus the points' distance (``lorentz``) or the cosine (``inner``) of items (b,) and ``items`` (b, k)."""
        rows = self._checked(item_rows, len(self.items), what="item")
        pair = minus_distance if self.geometry == "lorentz" else cosine
        return self._pairwise(self.item_points[rows], items, pair)

    def products(self, vectors: Vectors, items: Rows) -> Doubles:
        """Scores (b, n) of users with these ``vectors`` (b, columns), such as folded-in ones, for item rows (n,)."""
        right = self.item_vectors[items].astype(np.float64)
        if not isinstance(vectors, np.ndarray):
            return np.asarray(vectors.astype(np.float64) @ right.T)
        left = vectors.astype(np.float64)
        if self.curved:
            flipped(left[:, : self.curved])
            raised(right[:, : self.curved])
        return left @ right.T

    def _pairwise(self, left: npt.NDArray[Any], items: Rows, pair: Callable[[Doubles, Doubles], Doubles]) -> Doubles:
        points, out = self.item_points, np.empty(items.shape)
        step = max(1, FLOATS_AT_ONCE // max(1, items.shape[1] * left.shape[1]))
        for start in range(0, len(items), step):
            part = slice(start, start + step)
            right = points[np.maximum(items[part], 0)].astype(np.float64)
            out[part] = pair(left[part, None, :].astype(np.float64), right)
        return np.where(items == NOTHING, -np.inf, out)

    def _checked(self, rows: Rows, size: int, *, what: str) -> Rows:
        rows = np.asarray(rows, dtype=np.int64)
        if rows.ndim != 1 or (len(rows) and (rows.min() < 0 or rows.max() >= size)):
            raise DataError(f"{what} rows must be a flat array of numbers from 0 to {size - 1:,}; got {rows!r}.")
        return rows

    def left_factors(self, rows: Rows) -> Doubles:
        """Left factors of the score product for users (b,) whose vectors are dense."""
        left = cast(Floats, self.user_vectors)[rows].astype(np.float64)
        if self.curved:
            flipped(left[:, : self.curved])
        return left


def _ranked(
    queries: Callable[[slice], Doubles],
    right: ItemSide,
    count: int,
    k: int,
    mask: sparse.csr_matrix | None,
    mask_rows: Rows,
) -> TopK:
    """The k best items of ``right`` for ``count`` left factors, which ``queries`` gives part by part."""
    step = users_at_once(check_k(k))
    parts = [slice(start, start + step) for start in range(0, count, step)]
    hidden = (_hidden(mask, mask_rows[part], len(right.vectors), right.chosen) for part in parts)
    found = [best(queries(part), right, k, hidden=veil) for part, veil in zip(parts, hidden, strict=True)]
    return _joined(found, k, right.chosen)


def _ranked_sparse(
    left: sparse.csr_matrix,
    right: SparseSide,
    k: int,
    mask: sparse.csr_matrix | None,
    mask_rows: Rows,
    chosen: Rows | None,
) -> TopK:
    """The k best items for sparse left factors (b, d), from dense scores."""
    check_k(k)
    side = right if chosen is None else SparseSide(right.vectors[chosen])
    width = len(side.vectors)
    step = max(1, min(max(_USERS_AT_ONCE, _SCORES_IN_CACHE // max(1, width)), _SCORES_AT_ONCE // max(1, width)))
    found: list[TopK] = []
    for start in range(0, len(mask_rows), step):
        part = slice(start, start + step)
        hidden = _hidden(mask, mask_rows[part], len(right.vectors), chosen)
        scores = side.product(left[part])
        if hidden is not None:
            hide(scores, hidden)
        found.append(topk(scores, k))
    return _joined(found, k, chosen)


def _hidden(mask: sparse.csr_matrix | None, rows: Rows, items: int, chosen: Rows | None) -> sparse.csr_matrix | None:
    """Rows of the mask over the items to rank."""
    if mask is None:
        return None
    if columns(mask) != items:
        raise MisalignedArrays(f"the mask has {columns(mask):,} columns; the model has {items:,} items.")
    return mask[rows] if chosen is None else mask[rows][:, chosen]


def _joined(found: list[TopK], k: int, chosen: Rows | None) -> TopK:
    """Parts one after the other, places among the ``chosen`` told as item rows."""
    if not found:
        return TopK(np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32))
    items = np.concatenate([f.items for f in found])
    if chosen is not None:
        items = np.where(items == NOTHING, NOTHING, chosen[items] if len(chosen) else NOTHING)
    return TopK(items, np.concatenate([f.scores for f in found]))
