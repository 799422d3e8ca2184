"""Texts to vectors in many processes: what the store does not hold goes through Ray Data, a block at a time.

This process alone writes to the store, a block as it comes back, so a worker that dies costs its block. Calls to an
encoder at a server are in the ledger as those of `hyperllm.scale.asking` are, and a block of them is as many as may be
on their way at once. Does not know whose texts they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hyperllm.errors import ConfigError, HyperLLMError
from hyperllm.extraction.corpus import Texts, in_blocks
from hyperllm.extraction.encode import Matrix, Progress, label, put_together
from hyperllm.extraction.vector_store import VectorStore, key
from hyperllm.llm.caller import BudgetReached
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.encoders import make_encoder
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.openai import endpoint
from hyperllm.llm.openai_encoder import GROUP, OpenAIEncoder
from hyperllm.llm.prices import Price
from hyperllm.scale.asking import WAITS, Crew, Desk, Echo, Reporter, opened_book
from hyperllm.scale.blocks import BlockWorker, through, written
from hyperllm.scale.book import Standing
from hyperllm.scale.cluster import Cluster

FOLDER = ".encoding"
"""Where blocks of texts wait, in the workspace."""
TEXT = pa.schema({"key": pa.binary(), "text": pa.string()})
VECTOR = pa.schema({"key": pa.binary(), "vector": pa.binary()})
KEY = np.dtype("V32")
Keys = npt.NDArray[np.void]
_AT_ONCE = 4096
_SHOWN = 60
"""Characters of a text that a person is shown."""


@dataclass(frozen=True)
class Recipe:
    """How a worker makes the encoder that this process has: its ``name``, or an ``openai`` model at a server."""

    name: str
    label: str
    remote: RemoteModel | None = None


@dataclass(frozen=True)
class RemoteModel:
    """An encoder at a server."""

    base_url: str
    dimensions: int | None
    series: str
    price: Price | None
    crew: Crew
    book: Desk


@dataclass(frozen=True)
class RayEncoding:
    """Encodes on a cluster; see `hyperllm.extraction.encode.Encoding`."""

    workspace: Path
    cluster: Cluster

    def __call__(
        self,
        model: TextEncoder,
        texts: Texts,
        store: VectorStore,
        *,
        size: int,
        progress: Progress | None = None,
    ) -> Matrix:
        """(n, d); what the store holds is read back, and the rest is encoded."""
        keys = np.empty(len(texts), dtype=KEY)
        rows = _unknown(label(model), texts, store, keys)
        if isinstance(model, OpenAIEncoder):
            self._at_a_server(model, rows, store, progress)
        else:
            recipe, processes = Recipe(model.name, label(model)), self.cluster.cpus
            self._through(recipe, rows, size, processes, 1.0, store, progress)
        return put_together(_kept(keys, store), len(texts), model.dim)

    def _at_a_server(
        self,
        model: OpenAIEncoder,
        rows: Iterator[dict[str, Any]],
        store: VectorStore,
        progress: Progress | None,
    ) -> None:
        crew = Crew.of(self.cluster, model.caller.gate.most)
        with opened_book(self.workspace / LEDGER, self.cluster, model.caller) as book:
            remote = RemoteModel(model.at.base_url, model.dimensions, model.series, model.caller.price, crew, book)
            recipe = Recipe(model.name, label(model), remote)
            with book.explaining():
                self._through(recipe, rows, GROUP * crew.places, crew.processes, WAITS, store, progress)
            standing: Standing = book.ask("close")
        if standing.failure is not None:
            raise standing.failure

    def _through(
        self,
        recipe: Recipe,
        rows: Iterator[dict[str, Any]],
        size: int,
        processes: int,
        processors: float,
        store: VectorStore,
        progress: Progress | None,
    ) -> None:
        """Encode blocks of ``size`` rows; each is in the store when the next one is waited for."""
        done = 0
        with written(self.workspace / FOLDER, rows, TEXT, size) as paths:
            if not paths:
                return
            total = sum(pq.read_metadata(path).num_rows for path in paths)
            for table in through(paths, EncodingWorker, (recipe,), processes=processes, num_cpus=processors):
                made = zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True)
                store.put({k: np.frombuffer(raw, dtype=np.float32) for k, raw in made})
                done += len(table)
                if progress is not None:
                    progress(done, total)


def _unknown(version: str, texts: Iterable[str], store: VectorStore, keys: Keys) -> Iterator[dict[str, Any]]:
    """The texts that the store lacks, each once, as rows of `TEXT`; ``keys`` (n,) of all texts is filled."""
    fresh: set[bytes] = set()
    start = 0
    for block in in_blocks(texts, _AT_ONCE):
        named = [key(version, text) for text in block]
        keys[start : start + len(block)] = np.frombuffer(b"".join(named), dtype=KEY)
        start += len(block)
        known = store.get(named)
        for one, text in zip(named, block, strict=True):
            if one not in known and one not in fresh:
                fresh.add(one)
                yield {"key": one, "text": text}


def _kept(keys: Keys, store: VectorStore) -> Iterator[Matrix]:
    """The vectors of the store, in the order of ``keys``."""
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE].tolist()
        known = store.get(part)
        yield np.stack([known[k] for k in part])


class EncodingWorker(BlockWorker):
    """One of the processes that encode: an encoder, and a block of texts at a time."""

    schema = VECTOR

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._who = uuid4().hex
        self._local = None if recipe.remote is not None else make_encoder(recipe.name, threads=1, fall_back=False)
        self._gate = None if recipe.remote is None else recipe.remote.crew.gate()
        if self._local is not None and label(self._local) != recipe.label:
            raise ConfigError(
                f"a worker of the cluster has the encoder {label(self._local)!r} where {recipe.label!r} is meant; "
                "install the same version everywhere"
            )

    def name(self, row: dict[str, Any]) -> str:
        """How a text begins, and its length."""
        text = row["text"]
        return f"the text of {len(text):,} characters that begins {text[:_SHOWN]!r}"

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The vectors of these texts."""
        texts = [row["text"] for row in rows]
        vectors = self._local.encode(texts) if self._local is not None else self._asked(texts)
        if vectors is not None:
            for row, vector in zip(rows, vectors, strict=True):
                yield {"key": row["key"], "vector": np.ascontiguousarray(vector, dtype=np.float32).tobytes()}

    def _asked(self, texts: Sequence[str]) -> Matrix | None:
        """The vectors from the server; None where it cannot be had, and then all workers stop."""
        remote = self._recipe.remote
        assert remote is not None, "there is a local encoder"
        assert self._gate is not None, "there is a local encoder"
        if remote.book.ask("lease", []) is None:
            return None
        with Echo.in_memory() as ledger, ExitStack() as flushed:
            caller = ledger.reporter = Reporter(remote.book, ledger, self._gate, remote.price, self._who)
            flushed.enter_context(remote.book.hearing(self._who))
            flushed.callback(caller.flush)
            at = endpoint(remote.base_url)
            model = OpenAIEncoder(self._recipe.name, at, caller, remote.dimensions, series=remote.series)
            try:
                return model.encode(texts)
            except BudgetReached:  # the book begins nothing more: another worker stopped all
                return None
            except HyperLLMError as error:
                remote.book.ask("stop", type(error).__name__, str(error))
                return None
