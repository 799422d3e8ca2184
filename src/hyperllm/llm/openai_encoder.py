"""Text encoders behind any OpenAI-compatible server.

Knows the request and the answer of ``/embeddings``, with ``dimensions`` where the model can shorten its vectors. Sends
texts in groups, several at once; every request is in the ledger with its tokens and price. Does not know whose texts
they are.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ProviderFaltered, ProviderUnavailable
from hyperllm.llm.caller import Caller
from hyperllm.llm.chat import Reply, estimated_tokens
from hyperllm.llm.encoder import Progress
from hyperllm.llm.endpoint import BadRequest, Endpoint
from hyperllm.llm.ledger import Call
from hyperllm.llm.loop import wait_for
from hyperllm.llm.openai import token_count
from hyperllm.llm.rows import blank, unit_rows

GROUP = 64
"""Texts of one request; servers take up to 2,048."""
KIND = "text"


class OpenAIEncoder:
    """``model`` at a server, rows of length one; ``dimensions`` columns where given, else as many as the model has."""

    def __init__(
        self, model: str, at: Endpoint, caller: Caller, dimensions: int | None = None, *, series: str = ""
    ) -> None:
        self.name = self.model = model
        self.version = f"dimensions-{dimensions or 'all'}"
        self.dim = dimensions or 0
        self.dimensions = dimensions
        self.at = at
        self.caller = caller
        self.series = series

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Float32 (n, dim); raises `ProviderUnavailable` where the server does not answer."""
        filled = np.flatnonzero(~blank(texts))
        wanted = [texts[int(row)] for row in filled]
        if not wanted and not self.dim and texts:
            self.dim = wait_for(lambda: self._encode([self.model], None)).shape[1]  # the server knows how wide rows are
        if not wanted:
            return np.zeros((len(texts), self.dim), dtype=np.float32)
        found = wait_for(lambda: self._encode(wanted, progress))
        if self.dim not in (0, found.shape[1]):
            raise ProviderUnavailable(f"{self.model!r} gave vectors of {self.dim} columns, and now {found.shape[1]}")
        self.dim = found.shape[1]
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        rows[filled] = found
        return unit_rows(rows)

    async def _encode(self, texts: list[str], progress: Progress | None) -> npt.NDArray[np.float32]:
        groups = [texts[start : start + GROUP] for start in range(0, len(texts), GROUP)]
        found: dict[int, npt.NDArray[np.float32]] = {}
        waiting: Iterator[tuple[int, list[str]]] = iter(enumerate(groups))

        async def work() -> None:
            for number, group in waiting:
                found[number] = await self._group(group)
                if progress:
                    progress(sum(map(len, found.values())), len(texts))

        workers = [asyncio.create_task(work()) for _ in range(min(self.caller.gate.most, len(groups)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self.at.close()
        widths = {vectors.shape[1] for vectors in found.values()}
        if len(widths) > 1:
            raise ProviderUnavailable(f"{self.model!r} gave vectors of {sorted(widths)} columns; they must agree")
        return np.concatenate([found[number] for number in sorted(found)])

    async def _group(self, texts: list[str]) -> npt.NDArray[np.float32]:
        body: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        vectors: list[npt.NDArray[np.float32]] = []

        async def send() -> Reply:
            answer = await self.at.post("embeddings", body)
            vectors[:] = [_vectors(answer, len(texts))]
            used = answer.get("usage")
            tokens = used.get("prompt_tokens") if isinstance(used, dict) else None
            return Reply("", token_count(tokens, expected), 0)

        key = hashlib.sha256("\0".join([self.model, self.version, *texts]).encode("utf-8", "replace")).digest()
        expected = sum(map(estimated_tokens, texts))
        try:
            await self.caller.ask(Call(key, 1, self.series, KIND), send, tokens=expected, longest=0)
        except BadRequest as problem:
            advice = "; does it know --dimensions?" if self.dimensions is not None else ""
            raise ProviderUnavailable(f"{problem}{advice}") from None
        if self.dimensions is not None and vectors[0].shape[1] != self.dimensions:
            raise ProviderUnavailable(
                f"{self.model!r} gave {vectors[0].shape[1]} columns where {self.dimensions} were asked for; "
                "drop --dimensions, or name another model"
            )
        return vectors[0]


def _vectors(answer: dict[str, Any], count: int) -> npt.NDArray[np.float32]:
    """(count, d) in the order of the request; raises `ProviderFaltered` on anything else."""
    try:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        with np.errstate(over="ignore"):
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
    except (LookupError, TypeError, ValueError):
        raise ProviderFaltered(f"the server's answer holds no embeddings; it has {sorted(answer)[:8]}") from None
    if not np.isfinite(vectors).all():
        raise ProviderFaltered("the server gave embeddings with entries that are no finite numbers")
    if vectors.ndim != 2 or len(vectors) != count or not vectors.size:
        raise ProviderFaltered(f"the server gave embeddings of shape {vectors.shape} for {count} texts")
    return vectors
