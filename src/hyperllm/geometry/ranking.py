"""Ranking as one matrix product, in torch.

Hyperbolic distance grows with −⟨u,i⟩, so the nearest points have the largest ⟨u,i⟩: maximum inner product once the time
coordinate of one side changes sign, which a manifold's ``queries`` do. Used while training; after export the NumPy twin
in ``serving.model`` ranks the same. Where processes have some columns each, every one ranks for some of the users, and
blocks of whole items pass through all of them: no process ever holds more of the catalogue than a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hyperllm.geometry import columns

Seen = tuple[Tensor, Tensor]
BLOCK, GPU_BLOCK = 1 << 20, 1 << 26  # scores at a time: what a core's cache holds, what fills a GPU
ITEMS = 1 << 16  # whole items at a time where columns are apart


@torch.no_grad()
def topk(queries: Tensor, items: Tensor, k: int, *, seen: Seen, lead: int = 0) -> Tensor:
    """Rows of the k items (u, k) with the largest products for every query (u, d); seen pairs come after all others.

    ``seen`` = (indptr (u+1,), indices) of the training pairs in CSR form. Of the columns, ``lead`` are in every process
    where they are apart.
    """
    here = columns.now()
    if here.apart:
        mine, whole = here.dealt(queries, lead=lead)
        return here.collected(_over_blocks(whole, items, k, _of(seen, mine), lead), len(queries))
    found = [rows.indices for rows in _blocks(queries, items, k, seen)]
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.long)


def _over_blocks(queries: Tensor, items: Tensor, k: int, seen: Seen, lead: int) -> Tensor:
    """`topk` of whole queries among items whose columns are apart: the best of each block against those before it."""
    best, rows = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long, device=items.device)
    for start in range(0, len(items), ITEMS):
        block = columns.now().whole(items[start : start + ITEMS], lead=lead)
        for_block = list(_blocks(queries, block, min(k, len(block)), _among(seen, start, start + len(block))))
        if for_block:
            best = torch.cat([best, torch.cat([found.values for found in for_block])], dim=1)
            rows = torch.cat([rows, torch.cat([found.indices for found in for_block]) + start], dim=1)
            best, places = best.topk(min(k, best.shape[1]), dim=1)
            rows = rows.gather(1, places)
    return rows if len(queries) else rows.new_empty(0, k)


def _of(seen: Seen, queries: slice) -> Seen:
    """What these queries have seen."""
    indptr, indices = seen
    some = indptr[queries.start : queries.stop + 1]
    return some - some[0], indices[some[0] : some[-1]]


def _among(seen: Seen, start: int, stop: int) -> Seen:
    """What is seen of the items ``start`` … ``stop`` − 1, which are numbered from 0."""
    indptr, indices = seen
    kept = (indices >= start) & (indices < stop)
    counted = torch.cat([indptr.new_zeros(1), kept.cumsum(0)])
    return counted[indptr], indices[kept] - start


def _blocks(queries: Tensor, items: Tensor, k: int, seen: Seen) -> Iterator[torch.return_types.topk]:
    indptr, indices = seen
    right = items.T.contiguous()
    size = max(1, (GPU_BLOCK if items.is_cuda else BLOCK) // max(1, len(items)))
    for start in range(0, len(queries), size):
        stop = min(len(queries), start + size)
        scores = queries[start:stop] @ right
        counts = indptr[start + 1 : stop + 1] - indptr[start:stop]
        rows = torch.repeat_interleave(torch.arange(stop - start, device=scores.device), counts)
        scores[rows, indices[indptr[start] : indptr[stop]].long()] = -torch.inf
        yield scores.topk(k, dim=1)
