"""An approximate index of a model's items, in memory or mapped from disk.

Knows a graph of near items (HNSW, package ``usearch``) over the distances of `metric`, how to walk it for users and
items, and that whatever it fetches is scored again exactly: scores and their order are those of `ScoreModel.topk`, an
item may only be missed. Does not know ids; serving is exact unless someone asks for this. Needs ``hyperllm[ann]``.

Items that a walk does not even find from where they are, a few in a thousand, are noted when the index is built and
ranked exactly each time. Where masks or candidates leave so little that a walk would be long, exact ranking takes over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm import artifacts
from hyperllm.errors import ConfigError, Corrupt, DataError, MisalignedArrays
from hyperllm.evaluation.rank import NOTHING, TopK, check_k
from hyperllm.ids import Rows
from hyperllm.serving import storage
from hyperllm.serving.metric import Layout, building, needed, searching, spare
from hyperllm.serving.model import ScoreModel
from hyperllm.serving.product import Doubles, Floats, ItemSide, flipped
from hyperllm.serving.scan import best, of_pairs, users_at_once

KIND = "index"
SUBFOLDER = "index"
Progress = Callable[[int, int], object]
_GRAPH, _LEFT_OUT = "graph.usearch", "left_out.npy"
_ITEMS_AT_ONCE = 2**12
_LONGEST_WALK = 4096
_NEARBY = 16  # items in sight when an item is looked for from where it is


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """``graph`` over the items of ``model``; ``left_out`` (n,) are item rows that walks do not find.

    ``expansion`` is how many items a walk keeps in sight: more finds more and takes longer. ``threads`` walk at once, 0
    for all cores; calls from several threads wait for each other.
    """

    model: ScoreModel
    graph: Any
    left_out: Rows
    expansion: int = 256
    threads: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self.graph.expansion_search = self.expansion

    @classmethod
    def build(
        cls,
        model: ScoreModel,
        *,
        connectivity: int = 32,
        expansion_build: int = 128,
        expansion: int = 256,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> ApproximateIndex:
        """Link each item with about ``connectivity`` others, looking at ``expansion_build`` of them.

        ``progress`` is called with (steps done, all steps): an item is added, and later looked for. Raises
        `ConfigError` where the packages are absent or the model's user vectors are sparse.
        """
        layout = _layout(model)
        for name, value in (("connectivity", connectivity), ("expansion_build", expansion_build)):
            if value < 2:
                raise ConfigError(f"{name} is {value}; expected at least 2.")
        graph = _graph(layout, connectivity=connectivity, expansion_add=expansion_build, expansion_search=_NEARBY)
        left_out, steps = [np.empty(0, dtype=np.int64)], _Steps(2 * len(model.items), progress)
        for items, rows in _blocks(model, layout):
            graph.add(items.astype(np.uint64), rows, threads=threads)
            steps.took(len(items))
        for items, rows in _blocks(model, layout):
            row, column = _walked(graph, rows, 1, threads=threads)
            left_out.append(np.setdiff1d(items, column[items[row] == column]))
            steps.took(len(items))
        graph.metric = searching(layout)
        return cls(model, graph, np.concatenate(left_out), expansion, threads)

    def save(self, folder: Path | str) -> None:
        """Write the artifact ``folder`` of kind ``index``, which remembers the items it belongs to."""
        config = {"connectivity": self.graph.connectivity, "expansion": self.expansion}
        facts = {"items": len(self.model.items), "columns": int(self.graph.ndim), "left_out": len(self.left_out)}
        with artifacts.writing(
            Path(folder), KIND, config=config, inputs={"items": items_fingerprint(self.model)}, facts=facts
        ) as work:
            self.graph.save(work / _GRAPH)
            np.save(work / _LEFT_OUT, self.left_out, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path | str, model: ScoreModel, *, mmap: bool = True, threads: int = 0) -> ApproximateIndex:
        """Read what `save` wrote for the items of ``model``; with ``mmap`` pages come from disk as walks need them.

        Raises `Incomplete`, `WrongKind` or `Corrupt`, and `MisalignedArrays` where it was built for other items.
        """
        folder, layout = Path(folder), _layout(model)
        manifest = artifacts.read(folder, KIND)
        if manifest.inputs.get("items") != items_fingerprint(model):
            raise MisalignedArrays(
                f"{str(folder)!r} was built for other item vectors than the model has. Build it again for this model."
            )
        graph = _graph(layout, connectivity=manifest.config["connectivity"])
        try:
            (graph.view if mmap else graph.load)(folder / _GRAPH)
            left_out = np.load(folder / _LEFT_OUT, allow_pickle=False)
        except (RuntimeError, OSError, ValueError) as error:
            raise Corrupt(f"{str(folder)!r} does not hold a usable index ({error}). Build it again.") from None
        graph.metric = searching(layout)  # reading puts a built-in metric in its place
        return cls(model, graph, left_out, manifest.config["expansion"], threads)

    def of(self, model: ScoreModel) -> ApproximateIndex:
        """The index for other users of the same items, or for more items, which are ranked exactly beside the walks."""
        if model is self.model:
            return self
        more = np.arange(len(self.model.items), len(model.items), dtype=np.int64)
        return replace(self, model=model, left_out=np.concatenate([self.left_out, more]))

    def topk(
        self, user_rows: Rows, k: int, *, mask: sparse.csr_matrix | None = None, candidates: Rows | None = None
    ) -> TopK:
        """As `ScoreModel.topk`, but an item may be missed; hidden ones never come, and k do wherever there are k.

        Few ``candidates``, or users from whom most is hidden, are ranked exactly.
        """
        rows, step = _valid(user_rows, len(self.model.users), "user"), users_at_once(check_k(k))
        if mask is not None and mask.shape != self.model.seen.shape:
            raise MisalignedArrays(f"the mask has shape {mask.shape}; expected {self.model.seen.shape}.")
        chosen = None if candidates is None else np.unique(candidates)
        width = len(self.model.items) if chosen is None else len(chosen)

        def exactly(few: Rows) -> TopK:
            return self.model.topk(few, k, mask=mask, candidates=chosen)

        if not _worth_a_walk(k, width, len(self.model.items)):
            return exactly(rows)
        layout, vectors = _layout(self.model), self.model.user_vectors
        found: list[TopK] = [exactly(rows[:0])]
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            left, rough = self.model.left_factors(part), layout.rows(vectors[part])
            walk = _Walk(self, k, left, self.model.item_side, rough, self._apart, chosen)
            found.append(walk.ranked(None if mask is None else mask[part], lambda few, part=part: exactly(part[few])))
        return TopK(np.concatenate([f.items for f in found]), np.concatenate([f.scores for f in found]))

    def similar(self, item_rows: Rows, k: int, *, candidates: Rows | None = None) -> TopK:
        """As `ScoreModel.similar`, but an item may be missed; of a model that is not hyperbolic it is exact."""
        step, items = users_at_once(check_k(k)), len(self.model.items)
        rows = _valid(item_rows, items, "item")
        chosen = None if candidates is None else np.unique(candidates)

        def exactly(few: Rows) -> TopK:
            return self.model.similar(few, k, candidates=chosen)

        width = items if chosen is None else len(chosen)
        if self.model.geometry == "inner" or not _worth_a_walk(k + 1, width, items):
            return exactly(rows)
        layout, points, found = _layout(self.model), self.model.item_points, [exactly(rows[:0])]
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            itself = sparse.csr_matrix(
                (np.ones(len(part), dtype=np.float32), part, np.arange(len(part) + 1)), shape=(len(part), items)
            )
            rough = layout.rows(np.pad(points[part], [(0, 0), (0, layout.factors)]))
            left = flipped(points[part].astype(np.float64))
            walk = _Walk(self, k, left, self.model.near_side, rough, self._apart_near, chosen)
            found.append(walk.ranked(itself, lambda few, part=part: exactly(part[few])))
        return TopK(np.concatenate([f.items for f in found]), np.concatenate([f.scores for f in found]))

    @cached_property
    def walked(self) -> npt.NDArray[np.bool_]:
        """Whether walks are asked for an item (I,)."""
        asked = np.ones(len(self.model.items), dtype=bool)
        asked[self.left_out] = False
        return asked

    @cached_property
    def _apart(self) -> ItemSide:
        return self.model.item_side.taken(self.left_out)

    @cached_property
    def _apart_near(self) -> ItemSide:
        return self.model.near_side.taken(self.left_out)


@dataclass(eq=False)
class _Steps:
    """Tells ``progress`` how far it is."""

    count: int
    progress: Progress | None
    done: int = 0

    def took(self, steps: int) -> None:
        """So many more are done."""
        self.done += steps
        if self.progress is not None:
            self.progress(self.done, self.count)


@dataclass(frozen=True, eq=False)
class _Walk:
    """One batch of left rows ``left`` (b, d), written for the graph as ``rough`` (b, columns)."""

    index: ApproximateIndex
    k: int
    left: Doubles
    right: ItemSide
    rough: Floats
    apart: ItemSide
    chosen: Rows | None

    def ranked(self, hidden: sparse.csr_matrix | None, exactly: Callable[[Rows], TopK]) -> TopK:
        """Fetch as many as each row needs, with what is hidden from it, and more until k are found."""
        items = np.full((len(self.left), self.k), NOTHING, dtype=np.int64)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        count = len(self.right)
        share = 1.0 if self.chosen is None else len(self.chosen) / count
        veiled = np.zeros(len(items)) if hidden is None else np.diff(hidden.indptr)
        need = 2 ** np.ceil(np.log2((self.k + 8 + veiled) / share)).astype(np.int64)
        waiting = np.arange(len(items))
        while len(waiting):
            size = int(need[waiting].min())
            now = waiting[need[waiting] == size]
            walked = _worth_a_walk(size, count, count)
            got = self._fetched(now, size, hidden) if walked else exactly(now)
            whole = (got.items != NOTHING).all(axis=1) if walked else np.ones(len(now), dtype=bool)
            items[now[whole]], scores[now[whole]] = got.items[whole], got.scores[whole]
            need[now[~whole]] *= 4
            waiting = np.setdiff1d(waiting, now[whole], assume_unique=True)
        return TopK(items, scores)

    def _fetched(self, rows: Rows, size: int, hidden: sparse.csr_matrix | None) -> TopK:
        """What a walk brings that keeps ``size`` items, and what it cannot reach, in exact order."""
        with self.index.lock:
            row, column = _walked(self.index.graph, self.rough[rows], size, threads=self.index.threads)
        row, column = (part[self.index.walked[column]] for part in (row, column))
        apart = best(self.left[rows], self.apart, size).items
        more, place = np.nonzero(apart != NOTHING)
        row = np.concatenate([row, more])
        column = np.concatenate([column, self.index.left_out[apart[more, place]]])
        keep = self._allowed(rows[row], column, hidden)
        return of_pairs(self.left[rows], self.right, self.k, row=row[keep], column=column[keep])

    def _allowed(self, row: Rows, column: Rows, hidden: sparse.csr_matrix | None) -> Rows:
        keep = np.ones(len(row), dtype=bool)
        if self.chosen is not None:
            place = np.minimum(np.searchsorted(self.chosen, column), len(self.chosen) - 1)
            keep &= self.chosen[place] == column
        if hidden is not None:
            width = len(self.right)
            pairs = np.repeat(np.arange(len(self.left)), np.diff(hidden.indptr)) * width + hidden.indices
            keep &= ~np.isin(row * width + column, pairs)
        return keep


def place_of(folder: Path | str) -> Path:
    """Where the index of a run or of an exported model stands: in the run, or beside the model."""
    folder = Path(folder).absolute()
    inner = storage.find(folder)
    if inner.name == storage.SUBFOLDER and (inner.parent / artifacts.MANIFEST).exists():
        return inner.parent / SUBFOLDER
    return inner.with_name(f"{inner.name}.{SUBFOLDER}")


def items_fingerprint(model: ScoreModel) -> str:
    """SHA-256 of the items' ids and vectors and how these are read; who the users are does not matter."""
    vectors = np.ascontiguousarray(model.item_vectors)
    told = hashlib.sha256(f"{model.geometry} {model.flat} {vectors.shape} {vectors.dtype.str}\n".encode())
    told.update("\n".join(model.items.ids).encode())
    told.update(vectors.data)
    return told.hexdigest()


def _worth_a_walk(size: int, candidates: int, items: int) -> bool:
    """Whether walking for ``size`` items beats ranking all candidates."""
    return candidates > 0 and size * items <= min(_LONGEST_WALK, items // 4) * candidates


def _valid(rows: Rows, size: int, what: str) -> Rows:
    rows = np.asarray(rows, dtype=np.int64)
    if rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < size):
        raise DataError(f"{what} rows must be a flat array of numbers from 0 to {size - 1:,}; got {rows!r}.")
    return rows


def _layout(model: ScoreModel) -> Layout:
    if not isinstance(model.user_vectors, np.ndarray):
        raise ConfigError("the model's user vectors are sparse, so an index would not help; rank it exactly.")
    return Layout(model.curved, model.item_vectors.shape[1] - model.curved)


def _graph(layout: Layout, **settings: int) -> Any:
    index = needed("usearch.index").Index
    return index(ndim=layout.columns, metric=building(layout), dtype="f32", enable_key_lookups=False, **settings)


def _blocks(model: ScoreModel, layout: Layout) -> Iterator[tuple[Rows, Floats]]:
    """Item rows and what the graph gets of them."""
    vectors = np.asarray(model.item_vectors)
    factors = vectors[:, layout.curved :]
    most = float(np.einsum("nf,nf->n", factors, factors, dtype=np.float64).max(initial=0.0))
    for start in range(0, len(vectors), _ITEMS_AT_ONCE):
        part = slice(start, start + _ITEMS_AT_ONCE)
        rows = layout.rows(vectors[part], spare=spare(factors[part], most))
        yield np.arange(start, start + len(rows)), rows


def _walked(graph: Any, rough: Floats, size: int, *, threads: int) -> tuple[Rows, Rows]:
    """Pairs (n,) of rows and the up to ``size`` items that lie near them."""
    found = graph.search(rough, size, threads=threads)
    if len(rough) == 1:  # the package takes that for a lone vector
        column = np.asarray(found.keys, dtype=np.int64)
        return np.zeros(len(column), dtype=np.int64), column
    row, place = np.nonzero(np.arange(found.keys.shape[1]) < np.asarray(found.counts)[:, None])
    return row, np.asarray(found.keys, dtype=np.int64)[row, place]
