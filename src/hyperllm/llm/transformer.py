"""A text encoder run by sentence-transformers, from a local folder or by the name of a public model.

Knows how to load one without printing anything, and from a folder without asking any server. The
library is imported on first use: it takes seconds, and most commands never need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperllm.artifacts import digest, file_digest
from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.encoder import Progress, Say
from hyperllm.llm.packaged import PackagedModel, model_folder
from hyperllm.llm.rows import blank, unit_rows

BATCH = 32
_BLOCK = 256
_SMALL = 1 << 20


class TransformerEncoder:
    """A sentence-transformers model, rows of length one.

    Texts longer than the model's window (256 word pieces for `minilm`, 384 for `mpnet`) are cut off at its end.
    """

    def __init__(
        self,
        name: str,
        folder: Path | str,
        *,
        dim: int | None = None,
        version: str = "",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.name = name
        self.version = version or Path(folder).name
        self._threads = threads
        self._model = _load(folder, device)
        self.dim = self._encode([name]).shape[1]
        if dim not in (None, self.dim):
            raise ProviderUnavailable(
                f"{str(folder)!r} gives vectors of {self.dim} columns; {name!r} should give {dim}"
            )

    @classmethod
    def packaged(cls, model: PackagedModel, *, dim: int, threads: int | None, say: Say) -> TransformerEncoder:
        """Fetch ``model`` if need be and load it."""
        folder = model_folder(model, say=say)
        return cls(model.name, folder, dim=dim, version=model.version, threads=threads)

    @classmethod
    def named(cls, model: str, *, threads: int | None = None) -> TransformerEncoder:
        """A folder of this machine, or the name of a model that sentence-transformers fetches by itself."""
        folder = Path(model).expanduser()
        if folder.is_dir():
            return cls(folder.name, folder, version=_fingerprint(folder), threads=threads)
        return cls(model, model, version=model, threads=threads)

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Float32 (n, dim); long and short texts are batched apart, so ``progress`` moves evenly."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        filled = np.flatnonzero(~blank(texts))
        order = sorted(filled.tolist(), key=lambda row: len(texts[row]))
        with _threads(self._threads):
            for start in range(0, len(order), _BLOCK):
                chosen = order[start : start + _BLOCK]
                rows[chosen] = self._encode([texts[row] for row in chosen])
                if progress:
                    progress(len(texts) - len(order) + start + len(chosen), len(texts))
        return unit_rows(rows)

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        return self._model.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)


def _fingerprint(folder: Path) -> str:
    """Hash over the names and sizes of a model's files, and over the content of the small ones."""
    told: list[object] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            size = path.stat().st_size
            told.append([path.relative_to(folder).as_posix(), size, file_digest(path) if size < _SMALL else None])
    return digest(told)[:16]


def _load(folder: Path | str, device: str) -> Any:
    try:
        with _quiet():
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(str(folder), device=device, local_files_only=isinstance(folder, Path))
    except ImportError as error:
        raise ProviderUnavailable(
            f"{error.name or 'sentence-transformers'} is not installed; run: pip install sentence-transformers"
        ) from None
    except (OSError, ValueError) as error:
        raise ProviderUnavailable(f"{str(folder)!r} cannot be loaded ({error})") from None


@contextmanager
def _quiet() -> Generator[None]:
    """Neither warnings nor progress bars while a model is loaded; the caller's settings come back afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as transformers_logging

        shown = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                transformers_logging.enable_progress_bar()


@contextmanager
def _threads(count: int | None) -> Generator[None]:
    """Bound the processor threads of the block; the process's own number comes back afterwards."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
