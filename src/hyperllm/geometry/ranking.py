"""Ranking as one matrix product, in torch.

Hyperbolic distance grows with −⟨u,i⟩, so the nearest points have the largest ⟨u,i⟩: maximum inner product once the time
coordinate of one side changes sign, which a manifold's ``queries`` do. Used while training; after export the NumPy twin
in ``serving.model`` ranks the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK, GPU_BLOCK = 1 << 20, 1 << 26  # scores at a time: what a core's cache holds, what fills a GPU


@torch.no_grad()
def topk(queries: Tensor, items: Tensor, k: int, *, seen: tuple[Tensor, Tensor]) -> Tensor:
    """Rows of the k items (u, k) with the largest products for every query (u, d); seen pairs come after all others.

    ``seen`` = (indptr (u+1,), indices) of the training pairs in CSR form.
    """
    found = [rows for _, rows in _blocks(queries, items, k, seen)]
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.long)


def _blocks(queries: Tensor, items: Tensor, k: int, seen: tuple[Tensor, Tensor]) -> Iterator[tuple[int, Tensor]]:
    indptr, indices = seen
    columns = items.T.contiguous()
    size = max(1, (GPU_BLOCK if items.is_cuda else BLOCK) // max(1, len(items)))
    for start in range(0, len(queries), size):
        stop = min(len(queries), start + size)
        scores = queries[start:stop] @ columns
        counts = indptr[start + 1 : stop + 1] - indptr[start:stop]
        rows = torch.repeat_interleave(torch.arange(stop - start, device=scores.device), counts)
        scores[rows, indices[indptr[start] : indptr[stop]]] = -torch.inf
        yield start, scores.topk(k, dim=1).indices
