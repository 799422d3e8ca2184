"""What a shop calls: recommend, similar, and a whole catalogue of users at once.

Knows external ids and asks a `ScoreModel`. Does not know how the model was trained; NumPy only, no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from hyperllm.errors import ConfigError, DataError
from hyperllm.evaluation.rank import NOTHING, check_k
from hyperllm.ids import Rows, Vocabulary
from hyperllm.serving.explain import Explainer
from hyperllm.serving.frames import Recommendation, Recommendations, SimilarItem, SimilarItems
from hyperllm.serving.model import ScoreModel

Progress = Callable[[int, int], object]
_BATCH = 4096
_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32, "score": pl.Float64}


@dataclass(frozen=True, eq=False)
class Recommender:
    """A model behind external ids.

    ``score`` means: minus the hyperbolic distance for a hyperbolic model, the Lorentz product plus that of the factors
    for a fused one, the inner product for the others; it compares items for one user, not users with each other.
    """

    model: ScoreModel

    @classmethod
    def load(cls, path: Path | str) -> Recommender:
        """Open a run or its ``model/`` folder; raises an `ArtifactError` that says what is wrong with it."""
        return cls(ScoreModel.load(path))

    def in_memory(self) -> Recommender:
        """The same recommender without any file behind it."""
        model = self.model
        dense = isinstance(model.user_vectors, np.ndarray)
        return Recommender(
            replace(
                model,
                user_vectors=np.array(model.user_vectors) if dense else model.user_vectors.copy(),
                item_vectors=np.array(model.item_vectors),
                seen=model.seen.copy(),
            )
        )

    @property
    def users(self) -> Vocabulary:
        """The users the model knows."""
        return self.model.users

    @property
    def items(self) -> Vocabulary:
        """The items the model knows."""
        return self.model.items

    def recommend(
        self, users: Sequence[str], k: int = 10, *, filter_seen: bool = True, explain: bool = False
    ) -> Recommendations:
        """The k best items of each user, in the order of ``users``.

        With ``filter_seen`` training items are left out, so a user may get fewer than k. Raises `UnknownId`.
        """
        rows = self.users.rows(_ids(users, "users"), what="user")
        found = self.model.topk(rows, k, mask=self.model.seen if filter_seen else None)
        scores = self.model.shown_scores(rows, found)
        explainer = Explainer.of(self.model) if explain else None
        made: list[Recommendation] = []
        for user, items, score in zip(rows.tolist(), found.items, scores, strict=True):
            kept = items[items != NOTHING]
            reasons = explainer.explain(user, kept) if explainer else [None] * len(kept)
            for place, item in enumerate(kept.tolist()):
                name, title = self.items.ids[item], self.model.titles[item]
                row = Recommendation(self.users.ids[user], name, place + 1, float(score[place]), title, reasons[place])
                made.append(row)
        return Recommendations(tuple(made))

    def similar(self, items: Sequence[str], k: int = 10) -> SimilarItems:
        """The k nearest other items of each item, in the order of ``items``. Raises `UnknownId`.

        Nearness is minus the hyperbolic distance, also for a fused model, or the cosine for one that is not hyperbolic.
        """
        rows = self.items.rows(_ids(items, "items"), what="item")
        found = self.model.similar(rows, k)
        scores = self.model.similarities(rows, found.items)
        made = [
            SimilarItem(query, self.items.ids[item], place + 1, float(score[place]), self.model.titles[item])
            for query, near, score in zip(self.items.take(rows), found.items, scores, strict=True)
            for place, item in enumerate(near[near != NOTHING].tolist())
        ]
        return SimilarItems(tuple(made))

    def recommend_all(
        self,
        out: Path | str,
        k: int = 10,
        *,
        filter_seen: bool = True,
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
            written = _write_batches(scratch, self._batches(k, filter_seen, progress))
            scratch.replace(out)
        finally:
            scratch.unlink(missing_ok=True)
        return written

    def _batches(self, k: int, filter_seen: bool, progress: Progress | None) -> Iterator[pl.DataFrame]:
        count = len(self.users)
        for start in range(0, count, _BATCH):
            rows = np.arange(start, min(count, start + _BATCH), dtype=np.int64)
            yield self._batch(rows, k, filter_seen)
            if progress is not None:
                progress(min(count, start + _BATCH), count)

    def _batch(self, rows: Rows, k: int, filter_seen: bool) -> pl.DataFrame:
        found = self.model.topk(rows, k, mask=self.model.seen if filter_seen else None)
        scores = self.model.shown_scores(rows, found)
        user, place = np.nonzero(found.items != NOTHING)
        columns = {
            "user_id": self.users.take(rows[user]),
            "item_id": self.items.take(found.items[user, place]),
            "rank": place + 1,
            "score": scores[user, place],
        }
        return pl.DataFrame(columns, schema=_SCHEMA)


def _ids(values: Iterable[object], what: str) -> list[str]:
    """Ids as text; a lone string is a frequent slip, and would be read letter by letter."""
    if isinstance(values, str | bytes):
        raise ConfigError(f"{what} is the single text {values!r}; expected a list of ids, such as [{values!r}].")
    return [str(value) for value in values]


def _write_batches(path: Path, batches: Iterator[pl.DataFrame]) -> int:
    """One row group a batch; on disk when this returns."""
    from pyarrow import parquet  # only this method needs it

    written = 0
    with path.open("wb") as stream:
        with parquet.ParquetWriter(stream, pl.DataFrame(schema=_SCHEMA).to_arrow().schema) as writer:
            for batch in batches:
                writer.write_table(batch.to_arrow())
                written += len(batch)
        stream.flush()
        os.fsync(stream.fileno())
    return written
