"""Text encoders: the protocol they all fulfil.

Knows one call, texts in and vectors out. Does not know which encoders there are; see `hyperllm.llm.encoders`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with (done, total)."""
Say = Callable[[str], None]
"""Called with one sentence for a person to read."""


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into vectors.

    ``name`` is the name it is registered under, ``version`` changes whenever the same text may give another vector, and
    ``dim`` is the number of columns.
    """

    name: str
    version: str
    dim: int

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """Float32 (n, dim); a row has length one, and an empty text has the zero row."""
        ...
