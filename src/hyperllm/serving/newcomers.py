"""New items in a trained model: text → profile → tags and vector → place, without training.

Knows how a new item's catalogue row, or a profile that was written of it, becomes tags of the standing taxonomy
(`extraction.attach`), a text vector by the model's own recipe, and a point and factors between the items that are
nearest (`placement`). Does not know who asks, nor where newcomers are kept (`additions`). Neighbours are only items
that somebody clicked, so newcomers do not lean on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from hyperllm.data.catalog import Catalog
from hyperllm.data.semantics import mean_of_told, unit_from_mean
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError, ProviderUnavailable, choose
from hyperllm.extraction.attach import Attacher
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.extraction.tagged import TEXT_CHARACTERS, tagged_text
from hyperllm.ids import Rows, Vocabulary
from hyperllm.llm.encoders import ENCODERS, SENTENCE_TRANSFORMERS, make_encoder
from hyperllm.serving.cards import Tag, tags_of
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.placement import nearest, points_between
from hyperllm.serving.product import expmap0
from hyperllm.serving.selection import carried

Matrix = npt.NDArray[np.float32]
Method = Literal["neighbours", "experts"]
Encode = Callable[[Sequence[str]], Matrix]
_SHOWN = 5


@dataclass(frozen=True)
class Neighbour:
    """A known item that a newcomer stands near; ``share`` is its part of the newcomer's place."""

    item_id: str
    title: str | None
    share: float


@dataclass(frozen=True)
class PlacedItem:
    """What became of a new item. ``by`` is ``text`` or ``tags``, whichever placed it."""

    item_id: str
    title: str | None
    tags: tuple[Tag, ...]
    near: tuple[Neighbour, ...]
    by: str
    radius: float | None


@dataclass(frozen=True, eq=False)
class Placed:
    """The model with its new items, what became of each, and what a person should know.

    ``vectors`` (n, d₁) are the new items' text vectors, None where the model reads no texts.
    """

    model: ScoreModel
    items: tuple[PlacedItem, ...]
    vectors: Matrix | None
    notes: tuple[str, ...] = ()


def place(
    model: ScoreModel,
    new: Catalog,
    *,
    encode: Encode | None = None,
    vectors: Matrix | None = None,
    profiles: Mapping[str, ItemProfile] | None = None,
    method: Method = "neighbours",
) -> Placed:
    """Give the items of ``new`` a place beside those of ``model``, which stay where they are.

    With ``method`` ``neighbours`` a point lies between those of the nearest items; with ``experts`` in the direction in
    which phase 1's experts send its text (Eq. 8), as far out as the neighbours, which ranks worse (`docs/serving.md`).

    ``encode`` makes text vectors as the model's were made; ``vectors`` are such vectors, made before. Without either,
    or where a text says nothing, tags place. ``profiles`` by item id stand in for the catalogue's own words. Raises
    `DataError` where an id is known already, or neither text nor tags of an item are like any known item's, and
    `ConfigError` where the model has no experts and they are asked for.
    """
    choose(method, dict.fromkeys(get_args(Method)), what="method of placing")
    known = [item for item in new.items.ids if item in model.items]
    if known:
        raise DataError(f"the model has the item {known[0]!r} already; a new item needs an id of its own")
    ground = Ground.of(model)
    tags = _attached(ground, new, profiles or {})
    notes: list[str] = []
    if vectors is None and model.content is not None and encode is not None:
        vectors = encode(_texts(model, new, tags, profiles or {}, notes))
    grown = _with_tags(model, new, tags)
    weights, by = _weights(model, ground, new, tags, vectors)
    rows = _between(model, weights)
    if method == "experts":
        rows[:, : model.curved] = _by_experts(model, vectors, rows[:, : model.curved])
    made = _grown(model, new, grown, weights, rows, vectors)
    _GROUNDS[made] = ground
    told = [_told(made, model, weights, row, by[row]) for row in range(len(new.items))]
    return Placed(made, tuple(told), vectors, tuple(notes))


def encoder_for(model: ScoreModel, *, threads: int | None = None) -> tuple[Encode | None, str | None]:
    """What makes text vectors as the model's were made, and a remark where that is not to be had.

    The encoder is loaded when it is first used. Vectors that were imported, or that a server made, cannot be made here.
    """
    if model.content is None:
        return None, "this model reads no texts, so new items are placed by their tags"
    name, version = str(model.content.recipe["encoder"]), model.content.recipe.get("version")
    if name not in ENCODERS and not name.startswith(SENTENCE_TRANSFORMERS):
        return None, f"text vectors of {name!r} cannot be made here, so new items are placed by their tags"
    loaded: list[Any] = []

    def encode(texts: Sequence[str]) -> Matrix:
        if not loaded:
            encoder = make_encoder(name, threads=threads, fall_back=False)
            if encoder.version != version:
                raise ProviderUnavailable(
                    f"the text encoder {name!r} is at version {encoder.version}, the model's vectors were made with "
                    f"{version}; train again, or install that version"
                )
            loaded.append(encoder)
        return loaded[0].encode(texts)

    return encode, None


@dataclass(frozen=True, eq=False)
class Ground:
    """What newcomers are compared with: items that somebody clicked, so it is the same whoever has joined before.

    ``known`` (n,) are their rows, ``texts`` (n, d₁) their text vectors around ``mean``, of unit length, None where the
    model reads no texts. ``attacher`` finds tags, ``spread`` (t,) of these items carry each, and ``labels`` (n, t) are
    unit rows of their tags, rare ones (``rarity``) weighing more; None where the model has no tags.
    """

    known: Rows
    mean: npt.NDArray[np.float64] | None
    texts: npt.NDArray[np.float64] | None
    attacher: Attacher | None
    spread: Rows
    rarity: npt.NDArray[np.float64]
    labels: sparse.csr_array | None

    @classmethod
    def of(cls, model: ScoreModel) -> Ground:
        """Read a model; made once for each."""
        if model in _GROUNDS:
            return _GROUNDS[model]
        known = np.flatnonzero(model.clicks > 0)
        mean = texts = attacher = labels = None
        spread, rarity = np.empty(0, dtype=np.int64), np.empty(0)
        if model.content is not None:
            vectors = model.content.vectors[known]
            mean = mean_of_told(vectors)
            texts = unit_from_mean(vectors, mean)
        if model.tags is not None:
            pairs = model.tags.tag_items
            clicked = replace(model.tags, tag_items=pairs[model.clicks[pairs[:, 1]] > 0])
            attacher = Attacher.of(clicked)
            spread = attacher.count
            rarity = np.log(max(1, len(known)) / np.maximum(spread, 1))
            labels = _unit_rows(carried(clicked)[known], rarity)
        found = _GROUNDS[model] = cls(known, mean, texts, attacher, spread, rarity, labels)
        return found

    def rows_of(self, tags: Sequence[Sequence[int]]) -> sparse.csr_array:
        """Unit rows (n, t) of the tags of new items."""
        pairs = np.array([(row, tag) for row, mine in enumerate(tags) for tag in mine], dtype=np.int64).reshape(-1, 2)
        shape = len(tags), len(self.rarity)
        ones = np.ones(len(pairs))
        return _unit_rows(sparse.csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=shape), self.rarity)


_GROUNDS: WeakKeyDictionary[ScoreModel, Ground] = WeakKeyDictionary()


def _unit_rows(having: sparse.csr_matrix, rarity: npt.NDArray[np.float64]) -> sparse.csr_array:
    weighed = sparse.csr_array(having.multiply(rarity[None, :]))
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(length, 1e-12)) @ weighed)


def _attached(ground: Ground, new: Catalog, profiles: Mapping[str, ItemProfile]) -> list[list[int]]:
    """Tag rows of each new item, broad first."""
    attacher = ground.attacher
    if attacher is None:
        return [[] for _ in new.items.ids]
    return [
        attacher.of_profile(profiles[row["item_id"]]) if row["item_id"] in profiles else attacher.of_row(row)
        for row in new.frame.iter_rows(named=True)
    ]


def _texts(
    model: ScoreModel,
    new: Catalog,
    tags: Sequence[Sequence[int]],
    profiles: Mapping[str, ItemProfile],
    notes: list[str],
) -> list[str]:
    """What the encoder reads, by the model's recipe."""
    assert model.content is not None, "only texts have a recipe"
    recipe = model.content.recipe
    texts = new.texts(limit=TEXT_CHARACTERS)
    if recipe.get("profiles") is not None:
        summaries = [profiles[item].summary if item in profiles else "" for item in new.items.ids]
        texts = [summary or text for summary, text in zip(summaries, texts, strict=True)]
        if not all(summaries):
            notes.append("the model was trained on written summaries; items without one are placed by their own text")
    if model.tags is None or recipe.get("tags") is None:
        return texts
    spread = Ground.of(model).spread
    return [tagged_text(text, mine, model.tags.names, spread) for text, mine in zip(texts, tags, strict=True)]


def _with_tags(model: ScoreModel, new: Catalog, tags: Sequence[Sequence[int]]) -> TagGraph | None:
    """The tag graph with the new items behind the known ones."""
    if model.tags is None:
        return None
    first = len(model.items)
    pairs = [(tag, first + row) for row, mine in enumerate(tags) for tag in mine]
    links = np.concatenate([model.tags.tag_items, np.array(pairs, dtype=np.int64).reshape(-1, 2)])
    return replace(model.tags, items=Vocabulary((*model.items.ids, *new.items.ids)), tag_items=links)


def _weights(
    model: ScoreModel, ground: Ground, new: Catalog, tags: Sequence[Sequence[int]], vectors: Matrix | None
) -> tuple[sparse.csr_array, list[str]]:
    """(n, I) how much each known item says of each new one; and by what, text or tags, it was found."""
    found = sparse.lil_array((len(new.items), len(model.items)), dtype=np.float32)
    by = [""] * len(new.items)
    for name, fresh, there in _contents(ground, tags, vectors):
        near = nearest(fresh, there)
        for row in np.flatnonzero(np.asarray(near.sum(axis=1)).ravel() > 0):
            if not by[row]:
                mine = near[[row]]
                found[row, ground.known[mine.indices]] = mine.data
                by[row] = name
    lost = [item for item, name in zip(new.items.ids, by, strict=True) if not name]
    if lost:
        raise DataError(
            f"nothing known is like {', '.join(map(repr, lost[:3]))}{' …' if len(lost) > 3 else ''}: neither text nor "
            "tags. Give each new item a title, a description or categories."
        )
    return sparse.csr_array(found), by


def _contents(ground: Ground, tags: Sequence[Sequence[int]], vectors: Matrix | None) -> Iterator[tuple[str, Any, Any]]:
    """(name, rows of the new items, rows of the known ones), of unit length: texts, then tags."""
    if ground.texts is not None and ground.mean is not None and vectors is not None:
        yield "text", unit_from_mean(vectors, ground.mean), ground.texts
    if ground.labels is not None:
        yield "tags", ground.rows_of(tags), ground.labels


def _grown(
    model: ScoreModel,
    new: Catalog,
    grown: TagGraph | None,
    weights: sparse.csr_array,
    rows: Matrix,
    vectors: Matrix | None,
) -> ScoreModel:
    """The model with n more items at ``rows`` (n, columns)."""
    items = Vocabulary((*model.items.ids, *new.items.ids))
    content, linear = model.content, model.linear
    if content is not None:
        size = content.vectors.shape[1]
        more = np.zeros((len(new.items), size), dtype=np.float32) if vectors is None else vectors
        content = replace(content, vectors=np.concatenate([content.vectors, more]))
    if linear is not None:
        linear = replace(linear, weights=np.concatenate([linear.weights, weights @ linear.weights]))
    seen = sparse.csr_matrix(
        (model.seen.data, model.seen.indices, model.seen.indptr), shape=(len(model.users), len(items))
    )
    return replace(
        model,
        items=items,
        item_vectors=np.concatenate([model.item_vectors, rows]),
        seen=seen,
        catalog=Catalog(items, pl.concat([model.catalog.frame, new.frame])),
        tags=grown,
        content=content,
        linear=linear,
    )


def _between(model: ScoreModel, weights: sparse.csr_array) -> Matrix:
    """(n, columns) where the new items stand."""
    mean = np.asarray(weights @ model.item_vectors, dtype=np.float32)
    if model.curved:
        mean[:, : model.curved] = points_between(weights, np.asarray(model.item_points))
    return mean


def _by_experts(model: ScoreModel, vectors: Matrix | None, points: Matrix) -> Matrix:
    """(n, d + 1) points as far out as ``points``, towards where the experts send the text; without one as they are."""
    experts = None if model.content is None else model.content.experts
    if experts is None or vectors is None or not model.curved:
        raise ConfigError("this model keeps no experts to place items with; use the method 'neighbours'")
    tangent = experts.tangent(vectors).astype(np.float64)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    made = expmap0(tangent * np.arcsinh(np.linalg.norm(points[:, 1:], axis=1, keepdims=True)))
    told = np.asarray(vectors.any(axis=1))[:, None]
    return np.where(told, made, points).astype(np.float32)


def _told(made: ScoreModel, model: ScoreModel, weights: sparse.csr_array, row: int, by: str) -> PlacedItem:
    at, mine = len(model.items) + row, weights[[row]]
    best = np.argsort(-mine.data, kind="stable")[:_SHOWN]
    near = [(int(mine.indices[n]), float(mine.data[n])) for n in best]
    return PlacedItem(
        item_id=made.items.ids[at],
        title=made.titles[at],
        tags=tags_of(made, at),
        near=tuple(Neighbour(model.items.ids[item], model.titles[item], share) for item, share in near),
        by=by,
        radius=float(made.radii[at]) if made.curved else None,
    )
