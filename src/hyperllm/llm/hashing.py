"""A text encoder that needs no model: words and pairs of words, hashed.

Knows signed feature hashing (each word or pair adds +1 or −1 to one of ``dim`` columns). Does not know any language:
texts that share no word are as good as orthogonal. The same text gives the same vector in every process, everywhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hyperllm.errors import ConfigError
from hyperllm.llm.encoder import Progress
from hyperllm.llm.rows import unit_rows

_WORD = re.compile(r"\w+")
_REPORT_EVERY = 1024


class HashEncoder:
    """Hashed words and bigrams, ``log(1 + count)`` weighted, rows of length one; vectors are (n, ``dim``) float32."""

    name = "hash"

    def __init__(self, dim: int = 512) -> None:
        if dim < 1:
            raise ConfigError(f"dim is {dim}; a hashing encoder needs at least one column")
        self.dim = dim
        self.version = f"1-{dim}"

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Float32 (n, dim)."""
        rows = np.zeros((len(texts), self.dim))
        for number, text in enumerate(texts):
            for feature, count in _features(text).items():
                column, sign = _slot(feature, self.dim)
                rows[number, column] += sign * np.log1p(count)
            if progress and (number + 1) % _REPORT_EVERY == 0:
                progress(number + 1, len(texts))
        if progress:
            progress(len(texts), len(texts))
        return unit_rows(rows)


def _features(text: str) -> Counter[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return Counter(words) + Counter(f"{left} {right}" for left, right in pairwise(words))


@lru_cache(maxsize=1 << 18)
def _slot(feature: str, dim: int) -> tuple[int, int]:
    """(column, sign) of a feature; not Python's own `hash`, which differs from process to process."""
    value = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
    return (value >> 1) % dim, 1 if value & 1 else -1
