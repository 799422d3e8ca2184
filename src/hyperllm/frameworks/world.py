"""What a framework is trained on, as tensors: pairs, graphs, text vectors.

Knows how arrays of a split, a tag graph and semantics become graphs and index tensors on one device. Knows no loss.
Shapes: u users, i items, t tags, d₁ text dims.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from hyperllm.data.interactions import Pairs
from hyperllm.data.semantics import Semantics, centred
from hyperllm.data.split import Split
from hyperllm.data.tags import TagGraph
from hyperllm.errors import MisalignedArrays
from hyperllm.graph import Graph
from hyperllm.ids import Rows, distinct
from hyperllm.serving.placement import Placement


@dataclass(frozen=True)
class World:
    """Training data on a device.

    ``graph`` has users left and items right; ``train`` (m, 2) and ``valid`` hold distinct (user, item) rows. ``laid``
    is `Graph.of`, or something that keeps some rows of what it makes.
    """

    users: int
    items: int
    train: Rows
    valid: Rows
    graph: Graph
    device: torch.device
    tags: TagGraph | None = None
    semantics: Semantics | None = None
    laid: Callable[..., Graph] = Graph.of

    @classmethod
    def of(
        cls,
        split: Split,
        *,
        tags: TagGraph | None = None,
        semantics: Semantics | None = None,
        device: torch.device | str = "cpu",
        laid: Callable[..., Graph] = Graph.of,
    ) -> World:
        """Check that the parts share ids and put them on the device."""
        if tags is not None and tags.items != split.items:
            raise MisalignedArrays("the tags belong to other items than the split; make them again in this workspace")
        if semantics is not None and (semantics.items != split.items or semantics.users != split.users):
            raise MisalignedArrays("the text vectors belong to other users or items than the split; run embed again")
        where = torch.empty(0, device=device).device  # "cuda" becomes the GPU in use, also for other threads
        train = _distinct(split.train)
        graph = laid(len(split.users), len(split.items), train).to(where)
        valid = _distinct(split.valid)
        return cls(len(split.users), len(split.items), train, valid, graph, where, tags, semantics, laid)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that is trained on: a checkpoint of other data is not continued."""
        found = hashlib.sha256(repr((self.users, self.items)).encode())
        arrays = [self.train, self.valid]
        if self.tags is not None:
            arrays += [self.tags.tag_items, self.tags.tag_edges]
        if self.semantics is not None:
            arrays += [self.semantics.user_vectors, self.semantics.item_vectors]
        for array in arrays:
            found.update(repr(array.shape).encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def clicks(self) -> sparse.csr_array:
        """The training pairs as a binary matrix (u, i)."""
        ones = np.ones(len(self.train), dtype=np.float32)
        return sparse.csr_array((ones, tuple(self.train.T)), shape=(self.users, self.items))

    def clicked(self) -> npt.NDArray[np.bool_]:
        """Which items (i,) have a training pair."""
        return np.bincount(self.train[:, 1], minlength=self.items) > 0

    def placement(self) -> Placement:
        """Where its items without a training pair go: by their texts, or by their tags where these say nothing."""
        return Placement.of(self._contents(), self.clicked())

    def _contents(self) -> Iterator[Any]:
        """Rows of unit length (i, …): texts, then tags."""
        if self.semantics is not None:
            yield centred(self.semantics.item_vectors).astype(np.float32)
        if self.tags is not None:
            yield sparse.csr_array(self.tags.rows().T)

    def seen(self, users: Rows | None = None) -> tuple[Tensor, Tensor]:
        """CSR (indptr (u+1,), indices in 32 bits) of training pairs, of these ``users`` or of all, on the device."""
        pairs = self.clicks() if users is None else self.clicks()[users]
        indptr, indices = (
            torch.from_numpy(pairs.indptr.astype(np.int64)),
            torch.from_numpy(pairs.indices.astype(np.int32)),
        )
        return indptr.to(self.device), indices.to(self.device)


def _distinct(pairs: Pairs) -> Rows:
    """The distinct pairs (m, 2) in order; through one number a pair, which sorts ten times faster than two."""
    items = np.int64(pairs.item.max(initial=0)) + 1
    keys = pairs.user * items
    keys += pairs.item
    keys = distinct(keys)
    rows = np.empty((len(keys), 2), dtype=np.int64)
    np.divmod(keys, items, out=(rows[:, 0], rows[:, 1]))
    return rows
