"""Items that were added to a finished run, in one SQLite file beside it.

Knows catalogue rows, their text vectors and what made these. Does not know how an item is placed (`newcomers`). The run
itself stays as it was trained and measured; whoever opens it to recommend puts the added items in again. They outlive a
new training of the run: an item that the new model knows by itself is then left alone, the others are placed anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm import artifacts
from hyperllm.data.catalog import SCHEMA, Catalog
from hyperllm.errors import ArtifactError, HyperLLMError
from hyperllm.ids import Vocabulary
from hyperllm.serving import storage
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Placed, encoder_for, place

log = logging.getLogger(__name__)
Matrix = npt.NDArray[np.float32]
SUFFIX = ".added.sqlite"


@dataclass(frozen=True, eq=False)
class Added:
    """Rows of added items, in the order in which they came, and their vectors where some were made."""

    catalog: Catalog
    vectors: tuple[npt.NDArray[np.float32] | None, ...]
    recipes: tuple[str | None, ...]

    def take(self, wanted: Sequence[str]) -> Added:
        """Those of these ids."""
        row = {item: n for n, item in enumerate(self.catalog.items.ids)}
        picked = [row[item] for item in wanted]
        vectors = tuple(self.vectors[n] for n in picked)
        return Added(self.catalog.take(Vocabulary(tuple(wanted))), vectors, tuple(self.recipes[n] for n in picked))

    def made_by(self, recipe: str | None) -> Matrix | None:
        """All vectors (n, d₁), where all were made by this recipe; else None."""
        found = [v for v, made in zip(self.vectors, self.recipes, strict=True) if made == recipe and v is not None]
        return np.stack(found) if found and len(found) == len(self.vectors) else None


@dataclass(frozen=True)
class Additions:
    """The file at ``path``, which may not exist yet."""

    path: Path

    @classmethod
    def beside(cls, folder: Path | str) -> Additions:
        """Those of a run, named by its folder or its ``model/`` folder, or of an exported model."""
        folder = Path(folder).absolute()
        of_run = folder.name == storage.SUBFOLDER and (folder.parent / artifacts.MANIFEST).exists()
        run = folder.parent if of_run else folder
        return cls(run.with_name(run.name + SUFFIX))

    def add(self, new: Catalog, placed: Placed) -> None:
        """Keep items that were placed; they outlive the process when this returns. An id that is kept is replaced."""
        recipe = recipe_of(placed.model)
        rows = [
            (
                row["item_id"],
                json.dumps(row, ensure_ascii=False),
                None if placed.vectors is None else recipe,
                None if placed.vectors is None else np.ascontiguousarray(placed.vectors[n], np.float32).tobytes(),
            )
            for n, row in enumerate(new.frame.iter_rows(named=True))
        ]
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR REPLACE INTO items(item_id, row, recipe, vector) VALUES (?, ?, ?, ?)", rows)
            db.execute("COMMIT")

    def kept(self) -> Added:
        """Everything that was added."""
        if not self.path.exists():
            return Added(Catalog.empty(Vocabulary(())), (), ())
        with self._opened() as db:
            rows = db.execute("SELECT row, recipe, vector FROM items ORDER BY number").fetchall()
        told: list[dict[str, Any]] = [json.loads(row) for row, _, _ in rows]
        frame = pl.DataFrame(told, schema=SCHEMA)
        vectors = tuple(None if raw is None else np.frombuffer(raw, dtype=np.float32) for _, _, raw in rows)
        catalog = Catalog(Vocabulary(tuple(frame["item_id"])), frame)
        return Added(catalog, vectors, tuple(recipe for _, recipe, _ in rows))

    def forget(self, items: Sequence[str]) -> None:
        """Take items out again."""
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM items WHERE item_id = ?", [(item,) for item in items])
            db.execute("COMMIT")

    def apply(self, model: ScoreModel) -> ScoreModel:
        """The model with the added items that it does not know by itself.

        Text vectors are used as they were made; where the model was trained with another encoder they are made again.
        An item that has no place in this model is left out and said so in the log; it stays in the file.
        """
        kept = self.kept()
        fresh = [item for item in kept.catalog.items.ids if item not in model.items]
        if not fresh:
            return model
        added = kept.take(fresh)
        vectors = added.made_by(recipe_of(model))
        encode = None if vectors is not None else encoder_for(model)[0]
        try:
            return place(model, added.catalog, encode=encode, vectors=vectors).model
        except HyperLLMError:
            return self._one_by_one(model, added)

    def _one_by_one(self, model: ScoreModel, added: Added) -> ScoreModel:
        encode, recipe, grown = encoder_for(model)[0], recipe_of(model), model
        for item in added.catalog.items.ids:
            one = added.take([item])
            try:
                grown = place(grown, one.catalog, encode=encode, vectors=one.made_by(recipe)).model
            except HyperLLMError as error:
                log.warning("the added item %r is left out: %s", item, error)
        return grown

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute(
                    "CREATE TABLE IF NOT EXISTS items(number INTEGER PRIMARY KEY, item_id TEXT UNIQUE NOT NULL, "
                    "row TEXT NOT NULL, recipe TEXT, vector BLOB)"
                )
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise ArtifactError(f"the file of added items {str(self.path)!r} cannot be used ({error})") from None


def recipe_of(model: ScoreModel) -> str | None:
    """What made a model's text vectors, in one word; None where it reads no texts."""
    if model.content is None:
        return None
    recipe = model.content.recipe
    return artifacts.digest({key: recipe.get(key) for key in ("encoder", "version")})
