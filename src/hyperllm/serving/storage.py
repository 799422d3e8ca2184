"""The ``model`` artifact on disk: ``NAME.npy`` arrays, ``NAME.json`` lists and one table of the items.

Knows how arrays, sparse matrices and a tag graph are laid out so that NumPy alone can read them, memory-mapped and
without pickle, and which sentence to say when a folder cannot be read. Does not know what the arrays mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from hyperllm import artifacts
from hyperllm.data.catalog import Catalog
from hyperllm.data.tags import TagGraph
from hyperllm.errors import Corrupt, DataError, Incomplete, did_you_mean
from hyperllm.ids import Vocabulary

KIND = "model"
SUBFOLDER = "model"
_CATALOG = "catalog.parquet"
_IDS_AT_ONCE = 4096
_TITLES = {"item_id": pl.String, "title": pl.String}
Part = TypeVar("Part")
Arrays = dict[str, npt.NDArray[Any]]


def write(
    folder: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    lists: Mapping[str, Any],
    catalog: Catalog,
    *,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    facts: dict[str, Any] | None = None,
) -> None:
    """Seal ``arrays``, JSON ``lists`` and the table of the items into the artifact ``folder``."""
    with artifacts.writing(folder, KIND, config=config, inputs=inputs, facts=facts) as work:
        for name, array in arrays.items():
            np.save(work / f"{name}.npy", array, allow_pickle=False)
        for name, value in lists.items():
            artifacts.write_json(work / f"{name}.json", value)
        catalog.frame.write_parquet(work / _CATALOG)


def from_csr(name: str, matrix: sparse.csr_matrix, *, with_data: bool = True) -> Arrays:
    """Arrays of a CSR matrix; without data every stored value is 1."""
    arrays: Arrays = {f"{name}.indptr": matrix.indptr, f"{name}.indices": matrix.indices}
    return {**arrays, f"{name}.data": matrix.data} if with_data else arrays


def from_tags(tags: TagGraph) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and the JSON value of a tag graph; its items are the model's."""
    arrays: Arrays = {"tag_level": tags.level, "tag_items": tags.tag_items, "tag_edges": tags.tag_edges}
    return arrays, {"ids": tags.tags.ids, "names": tags.names, "directed": tags.directed}


@dataclass(frozen=True)
class Stored:
    """A whole artifact, open for reading."""

    folder: Path

    def array(self, name: str) -> npt.NDArray[Any]:
        """One array, memory-mapped; an empty one, which cannot be mapped, is read."""
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:
            return np.load(path, allow_pickle=False)

    def list(self, name: str) -> Any:
        """One JSON value."""
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def ids(self, name: str) -> Vocabulary:
        """One list of ids, a piece at a time: as Python strings all of them would take several times as much."""
        with (self.folder / f"{name}.json").open(encoding="utf-8", newline="\n") as lines:
            if next(lines, "").strip() != "[":  # not written by `write`, an id a line
                return Vocabulary(self.list(name))
            pieces = [pl.Series(dtype=pl.String)]
            while piece := list(islice(lines, _IDS_AT_ONCE)):
                inner = "".join(piece).rstrip().removesuffix("]").rstrip().removesuffix(",")
                pieces.append(pl.Series(values=json.loads(f"[{inner}]"), dtype=pl.String))
        return Vocabulary.sealed(pl.concat(pieces))

    def csr(self, name: str, shape: tuple[int, int]) -> sparse.csr_matrix:
        """One CSR matrix, its indices checked against ``shape``."""
        indptr, indices = self.array(f"{name}.indptr"), self.array(f"{name}.indices")
        has_data = (self.folder / f"{name}.data.npy").exists()
        data = self.array(f"{name}.data") if has_data else np.ones(len(indices), dtype=np.float32)
        matrix = sparse.csr_matrix((data, indices, indptr), shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    def catalog(self, items: Vocabulary) -> Catalog:
        """What the items are; of an older model, which kept titles alone, that."""
        path = self.folder / _CATALOG
        if path.exists():
            return Catalog(items, pl.read_parquet(path))
        titles = pl.DataFrame({"item_id": items.texts, "title": self.list("titles")}, schema_overrides=_TITLES)
        return Catalog.of(titles).take(items)

    def part(self, name: str, made: Callable[[Callable[[str], npt.NDArray[Any]], Any], Part]) -> Part | None:
        """An optional part from its arrays and its JSON value; None where the model has none."""
        if not (self.folder / f"{name}.json").exists():
            return None
        return made(lambda key: self.array(f"{name}.{key}"), self.list(name))

    def tags(self, items: Vocabulary) -> TagGraph | None:
        """The tag graph, or None where the model has none."""
        if not (self.folder / "tags.json").exists():
            return None
        told = self.list("tags")
        return TagGraph(
            tags=Vocabulary(tuple(told["ids"])),
            items=items,
            names=tuple(told["names"]),
            level=np.asarray(self.array("tag_level")),
            tag_items=np.asarray(self.array("tag_items")),
            tag_edges=np.asarray(self.array("tag_edges")),
            directed=bool(told["directed"]),
        )


@contextmanager
def reading(folder: Path) -> Generator[Stored]:
    """Check and open a model, given its own folder or its run's; whatever does not fit in there becomes `Corrupt`."""
    inner = find(folder)
    artifacts.read(inner, KIND)
    try:
        yield Stored(inner)
    except (OSError, ValueError, KeyError, TypeError, EOFError, DataError) as error:
        raise Corrupt(f"{str(inner)!r} does not hold a usable model ({error}). Export or train it again.") from None


def find(folder: Path) -> Path:
    """The model folder of ``folder``, which is that folder or a run's."""
    if not folder.exists():
        artifacts.recover(folder)
    if not folder.exists() and not artifacts.partial(folder).exists():
        raise Incomplete(f"there is no run {folder.name!r} in {str(folder.parent)!r}{_others(folder)}")
    manifest = artifacts.peek(folder)
    if manifest is not None and manifest.kind == KIND:
        return folder
    inner = folder / SUBFOLDER
    artifacts.recover(inner)
    return inner if inner.is_dir() or artifacts.partial(inner).exists() or manifest is None else folder


def _others(folder: Path) -> str:
    """What stands beside a run that does not exist."""
    near = folder.parent.iterdir() if folder.parent.is_dir() else ()
    names = sorted(p.name for p in near if (p / SUBFOLDER / artifacts.MANIFEST).exists())
    if not names:
        return "; train one first, or name the folder of a run or of an exported model."
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return f"; there are: {shown}.{did_you_mean(folder.name, names)}"
