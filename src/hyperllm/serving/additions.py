"""Items that were added to a finished run, in one SQLite file beside it.

Knows catalogue rows, what was written of them, their text vectors and how they were placed. Does not know how that is
done (`newcomers`). The run itself stays as it was trained and measured; whoever opens it to recommend puts the added
items in again, in the order in which they came. They outlive a new training of the run: an item that the new model
knows by itself is then left alone, the others are placed anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hyperllm import artifacts
from hyperllm.data.catalog import SCHEMA, Catalog
from hyperllm.errors import ArtifactError, ConfigError, DataError, ProviderError
from hyperllm.extraction.profiles import ItemProfile
from hyperllm.ids import Vocabulary
from hyperllm.serving import storage
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.newcomers import Encode, Method, Placed, encoder_for, place

log = logging.getLogger(__name__)
SUFFIX = ".added.sqlite"
_COLUMNS = "item_id, row, profile, method, recipe, vector"


class Taken(DataError):
    """An item with this id was added before."""


@dataclass(frozen=True, eq=False)
class Added:
    """One added item: its catalogue row, what a language model wrote of it, by which method it is placed.

    ``vector`` (d₁,) is its text vector as ``recipe`` made it; None where tags alone placed it.
    """

    row: Mapping[str, Any]
    profile: ItemProfile | None
    method: Method
    recipe: str | None
    vector: npt.NDArray[np.float32] | None

    @property
    def item_id(self) -> str:
        """The item's id."""
        return str(self.row["item_id"])


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

    def add(
        self,
        new: Catalog,
        placed: Placed,
        *,
        profiles: Mapping[str, ItemProfile] | None = None,
        method: Method = "neighbours",
    ) -> None:
        """Keep items that were placed, and how; they outlive the process when this returns.

        Raises `Taken` where one of the ids was added before; then none is kept.
        """
        recipe = None if placed.vectors is None else recipe_of(placed.model)
        rows = [
            (
                row["item_id"],
                json.dumps(row, ensure_ascii=False),
                None if profile is None else json.dumps(profile.row(), ensure_ascii=False),
                method,
                recipe,
                None if placed.vectors is None else np.ascontiguousarray(placed.vectors[n], np.float32).tobytes(),
            )
            for n, row in enumerate(new.frame.iter_rows(named=True))
            for profile in [(profiles or {}).get(row["item_id"])]
        ]
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            for item, *_ in rows:
                if db.execute("SELECT 1 FROM items WHERE item_id = ?", (item,)).fetchone():
                    raise Taken(f"the item {item!r} was added before; a new item needs an id of its own.")
            db.executemany(f"INSERT INTO items({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            db.execute("COMMIT")

    def kept(self) -> list[Added]:
        """Everything that was added, in the order in which it came."""
        if not self.path.exists():
            return []
        with self._opened() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM items ORDER BY number").fetchall()
        return [
            Added(
                json.loads(row),
                None if profile is None else ItemProfile.of(json.loads(profile)),
                method,
                recipe,
                None if raw is None else np.frombuffer(raw, dtype=np.float32),
            )
            for _, row, profile, method, recipe, raw in rows
        ]

    def forget(self, items: Sequence[str]) -> list[str]:
        """Take items out again; returns those that were there."""
        if not self.path.exists():
            return []
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            gone = [i for i in items if db.execute("DELETE FROM items WHERE item_id = ?", (i,)).rowcount]
            db.execute("COMMIT")
        return gone

    def apply(self, model: ScoreModel) -> ScoreModel:
        """The model with the added items that it does not know by itself, each placed as it was.

        Text vectors are used as they were made; where the model was trained with another encoder they are made again,
        and where that is not to be had tags place, as they do again what they placed before. An item that has no place
        in this model is left out and said so in the log; it stays in the file.
        """
        fresh = [added for added in self.kept() if added.item_id not in model.items]
        encoder: list[Encode | None] = []
        for (method, _), group in groupby(fresh, key=lambda added: (added.method, added.recipe)):
            model = _placed(model, list(group), method, encoder)
        return model

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute(
                    "CREATE TABLE IF NOT EXISTS items(number INTEGER PRIMARY KEY, item_id TEXT UNIQUE NOT NULL, "
                    "row TEXT NOT NULL, profile TEXT, method TEXT NOT NULL, recipe TEXT, vector BLOB)"
                )
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise ArtifactError(f"the file of added items {str(self.path)!r} cannot be used ({error})") from None


def _placed(model: ScoreModel, group: Sequence[Added], method: Method, encoder: list[Encode | None]) -> ScoreModel:
    """The model with a group of items of one recipe and method; one by one where together it fails."""
    made_by, vectors = group[0].recipe, None
    if made_by is not None and made_by == recipe_of(model):
        vectors = np.stack([added.vector for added in group if added.vector is not None])
    elif made_by is not None and not encoder:
        encoder.append(encoder_for(model)[0])
    frame = pl.DataFrame([dict(added.row) for added in group], schema=SCHEMA)
    new = Catalog(Vocabulary(frame["item_id"]), frame)
    profiles = {added.item_id: added.profile for added in group if added.profile is not None}
    encode = None if vectors is not None or made_by is None else encoder[0]
    try:
        return place(model, new, encode=encode, vectors=vectors, profiles=profiles, method=method).model
    except ProviderError as error:
        log.warning("added items are placed by their tags: %s", error)
        encoder[0] = None
        return _placed(model, group, method, encoder)
    except ConfigError:  # the model keeps no experts
        return _placed(model, group, "neighbours", encoder)
    except DataError as error:
        if len(group) == 1:
            log.warning("the added item %r is left out: %s", group[0].item_id, error)
            return model
        for added in group:
            model = _placed(model, [added], method, encoder)
        return model


def recipe_of(model: ScoreModel) -> str | None:
    """What made a model's text vectors, in one word; None where it reads no texts."""
    if model.content is None:
        return None
    recipe = model.content.recipe
    return artifacts.digest({key: recipe.get(key) for key in ("encoder", "version")})
