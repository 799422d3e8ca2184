"""The embed stage: texts of items and users to vectors (Eq. 7).

An item's text is its profile's summary where a profile set is chosen, else its catalogue text, followed by the names of
its tags. A user's vector is the mean of the vectors of the user's *training* items, or the user's encoded summary;
held-out interactions cannot reach it. Every vector made is kept, so an
interrupted call goes on, and a grown catalogue costs its new texts only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hyperllm import artifacts
from hyperllm.data.prepare import load_split
from hyperllm.data.semantics import KIND, Semantics
from hyperllm.data.sets import IMPORTED, NONE, chosen
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import ConfigError, DataError, choose
from hyperllm.extraction.corpus import Corpus, Texts, in_blocks, rows_in_order, with_summaries
from hyperllm.extraction.vector_store import VectorStore, key
from hyperllm.extraction.vectors import read_vectors
from hyperllm.llm.chats import folder_name
from hyperllm.llm.encoder import TextEncoder
from hyperllm.llm.encoders import DEFAULT_ENCODER, OPENAI, RemoteEncoder, opened_encoder
from hyperllm.llm.ledger import NAME as LEDGER
from hyperllm.llm.openai_encoder import GROUP

Matrix = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
BLOCK = 512
NEWEST = "newest"


@dataclass(frozen=True)
class Embedded:
    """Where the vectors are, what made them, and what a person should know."""

    name: str
    folder: Path
    dim: int
    notes: tuple[str, ...] = ()
    skipped: bool = False

    def text(self) -> str:
        """As plain lines."""
        head = f"{self.name}: {self.dim}-dimensional vectors of all users and items -> {self.folder}"
        return "\n".join([head + (" (found done)" if self.skipped else ""), *self.notes])


EMBED_PRESETS: dict[str, Mapping[str, Any]] = {
    "default": {},
    "paper": {"encoder": "openai:text-embedding-3-large", "dimensions": 3072, "profiles": NEWEST, "tags": NONE,
              "users": "summary"},
}  # fmt: skip
"""``paper``: text-embedding-3-large over the summaries of items and users (Eq. 7)."""


def embed_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `embed` from a file or the command line; ``preset`` names a start, None means not given."""
    given = {key: value for key, value in values.items() if value is not None}
    preset = choose(str(given.pop("preset", "default")), EMBED_PRESETS, what="preset")
    return {"encoder": DEFAULT_ENCODER, **preset, **given}


def embed(
    workspace: Path,
    *,
    encoder: str = DEFAULT_ENCODER,
    profiles: str | None = None,
    tags: str | None = None,
    users: str = "mean",
    base_url: str | None = None,
    dimensions: int | None = None,
    workers: int = 8,
    price: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    encoding: Encoding | None = None,
) -> Embedded:
    """Write ``semantics/NAME``; ``file:PATH`` imports vectors as the set ``published``.

    ``profiles`` names a profile set (``newest``: the newest); ``tags`` a tag set, ``none``, or None for the import,
    else the newest. ``base_url``, ``dimensions``, ``workers`` and ``price`` are those of an ``openai:MODEL`` encoder,
    whose calls are in the workspace's ledger. A text that was encoded before is not encoded again. ``encoding`` is who
    encodes the others: this process, or `hyperllm.scale.encoding`.
    """
    split = load_split(workspace)
    if encoder.startswith("file:"):
        return _import(workspace, Path(encoder.removeprefix("file:")).expanduser(), split)
    profiles = chosen(workspace, "profiles", None) if profiles == NEWEST else profiles
    corpus, source = _corpus(workspace, split, profiles, tags, users)
    notes: list[str] = []
    remote = RemoteEncoder(workspace / LEDGER, base_url, dimensions, workers, price)
    with opened_encoder(encoder, remote, threads=threads, say=notes.append) as model:
        name = folder_name(model.name)
        config = {"encoder": model.name, "version": model.version, "users": users, **source}
        inputs = {"split": artifacts.fingerprint(workspace / "split"), "texts": corpus.digest}
        folder = workspace / "semantics" / name
        if artifacts.is_current(folder, KIND, config=config, inputs=inputs):
            made = artifacts.peek(folder)
            assert made is not None, "it was found current"
            return Embedded(name, folder, made.facts["dim"], tuple(notes), skipped=True)
        size = max(BLOCK, GROUP * workers) if encoder.startswith(OPENAI) else BLOCK
        with VectorStore.opened(folder.with_name("vectors.sqlite")) as store:
            vectors = (encoding or encode)(model, corpus, store, size=size, progress=progress)
    items, people = vectors[: len(split.items)], vectors[len(split.items) :]
    if users == "mean":
        people = mean_of_training_items(split, items)
    Semantics(split.users, split.items, people, items).save(folder, config=config, inputs=inputs)
    if silent := int((~people.any(axis=1)).sum()):
        notes.append(f"{silent:,} users have no text, so their vectors are zero")
    return Embedded(name, folder, vectors.shape[1], tuple(notes))


def mean_of_training_items(split: Split, items: Matrix) -> Matrix:
    """(u, d₁): the mean vector of each user's training items that have a text; zero where none has."""
    matrix = split.train.matrix(len(split.users), len(split.items))
    told = sparse.diags(items.any(axis=1).astype(np.float32))
    matrix = sparse.csr_matrix(matrix @ told)
    count = np.maximum(np.asarray(matrix.sum(axis=1)), 1.0)
    total = matrix @ items
    return np.divide(total, count, out=total, casting="same_kind")


def _corpus(
    workspace: Path, split: Split, profiles: str | None, tags: str | None, users: str
) -> tuple[Corpus, dict[str, Any]]:
    """The texts, and what they are made of."""
    if users not in ("mean", "summary"):
        raise ConfigError(f"users is 'mean' or 'summary'; found {users!r}")
    if users == "summary" and profiles is None:
        raise ConfigError("users=summary needs a profile set with user summaries; name it with --profiles")
    tag_set = chosen(workspace, "tags", tags)
    graph = None if tag_set is None else TagGraph.load(workspace / "tags" / tag_set)
    if graph is not None and graph.items != split.items:
        raise DataError(f"the tag set {tag_set!r} belongs to other items than the split; make it again")
    corpus = Corpus(split.items, rows_in_order(workspace, split.items), graph)
    if profiles is not None:
        told = split.users if users == "summary" else None
        corpus = with_summaries(corpus, workspace / "profiles" / profiles, told)
    return corpus, {"profiles": profiles, "tags": tag_set}


class Encoding(Protocol):
    """A way to get many texts encoded; `encode` is the one in this process."""

    def __call__(
        self,
        model: TextEncoder,
        texts: Texts,
        store: VectorStore,
        *,
        size: int,
        progress: Progress | None = None,
    ) -> Matrix:
        """(n, d); every vector made is in the store."""
        ...


def encode(
    model: TextEncoder, texts: Texts, store: VectorStore, *, size: int, progress: Progress | None = None
) -> Matrix:
    """(n, d) in blocks of ``size``; what was encoded before, here or before an interruption, is read back."""

    def blocks() -> Iterator[Matrix]:
        done = 0
        for block in in_blocks(texts, size):
            yield _block(model, block, store)
            done += len(block)
            if progress is not None:
                progress(done, len(texts))

    return put_together(blocks(), len(texts), model.dim)


def put_together(blocks: Iterable[Matrix], rows: int, dim: int) -> Matrix:
    """(rows, d) of blocks of rows, held once; ``dim`` columns where there is no block."""
    whole, start = np.zeros((rows, dim), dtype=np.float32), 0
    for block in blocks:
        if not start and block.shape[1] != dim:  # a server's model, which says so with its first vectors
            whole = np.zeros((rows, block.shape[1]), dtype=np.float32)
        whole[start : start + len(block)] = block
        start += len(block)
    return whole


def label(model: TextEncoder) -> str:
    """What a model's vectors are kept under: its name and version."""
    return f"{model.name} {model.version}"


def _block(model: TextEncoder, texts: Sequence[str], store: VectorStore) -> Matrix:
    keys = [key(label(model), text) for text in texts]
    known = store.get(keys)
    fresh = {k: text for k, text in zip(keys, texts, strict=True) if k not in known}
    if fresh:
        made = dict(zip(fresh, model.encode(list(fresh.values())), strict=True))
        store.put(made)
        known |= made
    return np.stack([known[k] for k in keys])


def _import(workspace: Path, path: Path, split: Split) -> Embedded:
    items, people = read_vectors(path, users=split.users, items=split.items)
    notes = () if people is not None else ("users get the mean of their training items' vectors",)
    config = {"encoder": "import", "users": "given" if people is not None else "mean"}
    inputs = {"split": artifacts.fingerprint(workspace / "split"), "file": artifacts.file_digest(path)}
    folder = workspace / "semantics" / IMPORTED
    done = Embedded(IMPORTED, folder, items.shape[1], notes)
    if artifacts.is_current(folder, KIND, config=config, inputs=inputs):
        return Embedded(IMPORTED, folder, items.shape[1], notes, skipped=True)
    people = mean_of_training_items(split, items) if people is None else people
    Semantics(split.users, split.items, people, items).save(folder, config=config, inputs=inputs)
    return done
