"""What a shop calls: recommend, rank, similar, explain, fold a guest in, and a whole catalogue of users at once.

Knows external ids and asks a `ScoreModel`. Does not know how the model was trained; NumPy only, no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hyperllm.data.sources.table import read_histories, read_items
from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.rank import NOTHING, TopK, check_k
from hyperllm.ids import Rows, Vocabulary
from hyperllm.serving.additions import Additions
from hyperllm.serving.arrange import Order
from hyperllm.serving.cards import ItemCard
from hyperllm.serving.disk import Disk
from hyperllm.serving.explain import Explainer
from hyperllm.serving.folding import Folding, history_matrix
from hyperllm.serving.frames import Recommendation, Recommendations, SimilarItem, SimilarItems
from hyperllm.serving.index import ApproximateIndex, place_of
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Placed, encoder_for, place
from hyperllm.serving.picture import Picture
from hyperllm.serving.selection import Filter

Progress = Callable[[int, int], object]
BATCH = 4096
"""Users that are ranked and written together."""
SCHEMA = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32, "score": pl.Float64}


@dataclass(frozen=True, eq=False)
class Recommender:
    """A model behind external ids.

    ``score`` means: minus the hyperbolic distance for a hyperbolic model, the Lorentz product plus that of the factors
    for a fused one, the inner product for the others; it compares items for one user, not users with each other.
    Ranking is exact unless there is an ``index``.
    """

    model: ScoreModel
    index: ApproximateIndex | None = None

    @classmethod
    def load(cls, path: Path | str, *, approximate: bool = False) -> Recommender:
        """Open a run or its ``model/`` folder, with the items that were added to it.

        ``approximate`` ranks through the index that `hyperllm index` built, for very large catalogues. Raises an
        `ArtifactError` that says what is wrong with either.
        """
        model = ScoreModel.load(path)
        index = ApproximateIndex.load(place_of(path), model) if approximate else None
        whole = Additions.beside(path).apply(model)
        return cls(whole, None if index is None else index.of(whole))

    def in_memory(self) -> Recommender:
        """The same recommender without any file behind it."""
        model, content = self.model, self.model.content
        dense = isinstance(model.user_vectors, np.ndarray)
        held = replace(
            model,
            content=None if content is None else replace(content, vectors=np.array(content.vectors)),
            user_vectors=np.array(model.user_vectors) if dense else model.user_vectors.copy(),
            item_vectors=np.array(model.item_vectors),
            seen=model.seen.copy(),
        )
        return Recommender(held, None if self.index is None else self.index.of(held))

    @property
    def users(self) -> Vocabulary:
        """The users the model knows."""
        return self.model.users

    @property
    def items(self) -> Vocabulary:
        """The items the model knows."""
        return self.model.items

    @cached_property
    def folding(self) -> Folding:
        """What the model makes of a history."""
        return Folding(self.model)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer.of(self.folding)

    def recommend(
        self,
        users: Sequence[str],
        k: int = 10,
        *,
        filter_seen: bool = True,
        filter: Filter | None = None,
        order: Order | None = None,
        explain: bool = False,
    ) -> Recommendations:
        """The k best items of each user, in the order of ``users``.

        With ``filter_seen`` training items are left out, so a user may get fewer than k, as with a narrow ``filter``.
        ``order`` arranges the best ones anew. Raises `UnknownId`.
        """
        rows = self.users.rows(_ids(users, "users"), what="user")
        found = self._found(self.model, rows, k, filter_seen, filter, order)
        return self._shown(self.model, rows, found, explain=explain)

    def rank(self, users: Sequence[str], items: Sequence[str], *, explain: bool = False) -> Recommendations:
        """All of the given ``items``, best first, for each user; seen ones too. Raises `UnknownId`."""
        rows = self.users.rows(_ids(users, "users"), what="user")
        chosen = np.unique(self.items.rows(_ids(items, "items"), what="item"))
        if not len(chosen):
            return Recommendations(())
        return self._shown(self.model, rows, self.model.topk(rows, len(chosen), candidates=chosen), explain=explain)

    def explain(self, user: str, item: str) -> Recommendation:
        """Why ``item`` suits ``user``, or how far it does: its score with reasons, whatever its place (``rank`` 0)."""
        (row,) = self.rank([user], [item], explain=True)
        return replace(row, rank=0)

    def fold_in(
        self,
        histories: Mapping[str, Sequence[str]] | Any,
        k: int = 10,
        *,
        filter_seen: bool = True,
        filter: Filter | None = None,
        order: Order | None = None,
        explain: bool = False,
    ) -> Recommendations:
        """The k best items of people the model does not know, from the items they chose; `recommend` for guests.

        ``histories`` maps a name to item ids, or is a table of users and items (a data frame or a file's path); nothing
        is kept. Raises `UnknownId` for an unknown item.
        """
        guests = self._guests(histories if isinstance(histories, Mapping) else read_histories(histories))
        rows = np.arange(len(guests.users), dtype=np.int64)
        found = self._found(guests, rows, k, filter_seen, filter, order)
        return self._shown(guests, rows, found, explain=explain)

    def _guests(self, histories: Mapping[str, Sequence[str]]) -> ScoreModel:
        """The model for people who are folded in."""
        told = [self.items.rows(_ids(items, "a history"), what="item") for items in histories.values()]
        seen = history_matrix(told, len(self.items))
        return self.model.with_users(Vocabulary(tuple(map(str, histories))), self.folding.vectors(seen), seen)

    def ranked(self, rows: Rows, k: int, *, filter_seen: bool = True) -> TopK:
        """The k best item rows of user rows (b,), for whoever makes lists of their own."""
        return self._found(self.model, rows, k, filter_seen, None, None)

    def _found(
        self,
        model: ScoreModel,
        rows: Rows,
        k: int,
        filter_seen: bool,
        filter: Filter | None,
        order: Order | None,
    ) -> TopK:
        check_k(k)
        candidates = None if filter is None else filter.rows(model)
        ranker = model if self.index is None else self.index.of(model)
        found = ranker.topk(
            rows, order.pool(k) if order else k, mask=model.seen if filter_seen else None, candidates=candidates
        )
        return order.arranged(model, found, k) if order else found

    def _shown(self, model: ScoreModel, rows: Rows, found: TopK, *, explain: bool) -> Recommendations:
        scores = model.shown_scores(rows, found)
        made: list[Recommendation] = []
        for user, items, score in zip(rows.tolist(), found.items, scores, strict=True):
            kept = items[items != NOTHING]
            reasons = self._explainer.explain(model, user, kept) if explain else [None] * len(kept)
            for n, item in enumerate(kept.tolist()):
                name, title = self.items.ids[item], model.titles[item]
                made.append(Recommendation(model.users.ids[user], name, n + 1, float(score[n]), title, reasons[n]))
        return Recommendations(tuple(made))

    def similar(self, items: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> SimilarItems:
        """The k nearest other items of each item, in the order of ``items``. Raises `UnknownId`.

        Nearness is minus the hyperbolic distance, also for a fused model, or the cosine for one that is not hyperbolic.
        """
        rows = self.items.rows(_ids(items, "items"), what="item")
        ranker = self.index or self.model
        found = ranker.similar(rows, k, candidates=None if filter is None else filter.rows(self.model))
        scores = self.model.similarities(rows, found.items)
        made = [
            SimilarItem(query, self.items.ids[item], n + 1, float(score[n]), self.model.titles[item])
            for query, near, score in zip(self.items.take(rows), found.items, scores, strict=True)
            for n, item in enumerate(near[near != NOTHING].tolist())
        ]
        return SimilarItems(tuple(made))

    def add_items(self, items: Any, **columns: Any) -> tuple[Recommender, Placed]:
        """This shop with new items in it, and what became of each; nothing is trained, and nothing is written.

        ``items`` is a data frame or the path of a table with item_id and whatever else is known: title, description,
        brand, categories; ``columns`` are those of `hyperllm.data.sources.table.read_items`. Raises `DataError` where
        an id is known already, or an item is like nothing known.
        """
        catalog, notes = read_items(items, **columns)
        encode, remark = encoder_for(self.model)
        placed = place(self.model, catalog, encode=encode)
        placed = replace(placed, notes=(*notes, *([remark] if remark else []), *placed.notes))
        index = None if self.index is None else self.index.of(placed.model)
        return Recommender(placed.model, index), placed

    @cached_property
    def disk(self) -> Disk:
        """The catalogue on the Poincaré disk. Raises `ConfigError` where the model is not hyperbolic."""
        return Disk.of(self.model)

    def picture(self, user: str | None = None, k: int = 10) -> Picture:
        """The disk to look at, in a notebook or as SVG; with a ``user`` their history and k best items lit up.

        Raises `UnknownId`, and `ConfigError` where the model is not hyperbolic.
        """
        if user is None:
            return Picture(self.disk, caption="The catalogue on the Poincaré disk")
        (row,) = self.users.rows(_ids([user], "users"), what="user")
        best = self.items.rows(self.recommend([user], k).item_ids)
        return Picture(
            self.disk,
            self.model.seen[int(row)].indices.tolist(),
            best.tolist(),
            self.disk.user(self.model, int(row)),
            f"{user}: history and {len(best)} recommendations",
        )

    def describe(self, item: str) -> ItemCard:
        """All there is of one item. Raises `UnknownId`."""
        (row,) = self.items.rows(_ids([item], "items"), what="item")
        return ItemCard.of(self.model, int(row))

    def history(self, user: str) -> list[str]:
        """The ids of the items a user had in training. Raises `UnknownId`."""
        (row,) = self.users.rows(_ids([user], "users"), what="user")
        return self.items.take(self.model.seen[int(row)].indices)

    def recommend_all(
        self,
        out: Path | str,
        k: int = 10,
        *,
        filter_seen: bool = True,
        filter: Filter | None = None,
        order: Order | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write the k best items of every user to the Parquet file ``out``; returns the number of rows.

        Columns user_id, item_id, rank (from 1), score. Users come in batches, so memory stays flat; the file appears
        when it is whole. ``progress`` is called with (users done, all users).
        """
        check_k(k)
        out = Path(out)
        if not out.parent.is_dir():
            raise DataError(f"the folder {str(out.parent)!r} of the file to write does not exist; make it first.")
        scratch = out.with_name(f".{out.name}.partial")
        try:
            written = write_frames(scratch, self._batches(k, filter_seen, filter, order, progress))
            scratch.replace(out)
        finally:
            scratch.unlink(missing_ok=True)
        return written

    def _batches(
        self, k: int, filter_seen: bool, filter: Filter | None, order: Order | None, progress: Progress | None
    ) -> Iterator[pl.DataFrame]:
        count = len(self.users)
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(count, start + BATCH), dtype=np.int64)
            yield self.frame(rows, k, filter_seen=filter_seen, filter=filter, order=order)
            if progress is not None:
                progress(min(count, start + BATCH), count)

    def frame(
        self,
        rows: Rows,
        k: int,
        *,
        filter_seen: bool = True,
        filter: Filter | None = None,
        order: Order | None = None,
    ) -> pl.DataFrame:
        """The k best items of some users, by row number, as `recommend_all` writes them."""
        found = self._found(self.model, rows, k, filter_seen, filter, order)
        scores = self.model.shown_scores(rows, found)
        user, place = np.nonzero(found.items != NOTHING)
        columns = {
            "user_id": self.users.take(rows[user]),
            "item_id": self.items.take(found.items[user, place]),
            "rank": place + 1,
            "score": scores[user, place],
        }
        return pl.DataFrame(columns, schema=SCHEMA)


def _ids(values: Iterable[object], what: str) -> list[str]:
    """Ids as text; a lone string is a frequent slip, and would be read letter by letter."""
    if isinstance(values, str | bytes):
        raise ConfigError(f"{what} is the single text {values!r}; expected a list of ids, such as [{values!r}].")
    return [str(value) for value in values]


def write_frames(path: Path, frames: Iterable[pl.DataFrame]) -> int:
    """Rows of `recommend_all` as Parquet, one row group a frame; on disk when this returns how many there are."""
    from pyarrow import parquet  # only this method needs it

    written = 0
    with path.open("wb") as stream:
        with parquet.ParquetWriter(stream, pl.DataFrame(schema=SCHEMA).to_arrow().schema) as writer:
            for frame in frames:
                writer.write_table(frame.to_arrow())
                written += len(frame)
        stream.flush()
        os.fsync(stream.fileno())
    return written
