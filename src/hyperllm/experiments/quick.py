"""From two data frames to a recommender in one call, no files needed.

Runs the same stages as the command line, in a temporary workspace unless one is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.table import read_table
from hyperllm.errors import ConfigError
from hyperllm.experiments.train import TrainRequest, train
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.encode import embed
from hyperllm.extraction.extract import extract
from hyperllm.frameworks.train import Progress
from hyperllm.serving.recommender import Recommender


def fit(
    clicks: Any,
    items: Any,
    *,
    llm: str = "keywords",
    encoder: str = "minilm",
    columns: Mapping[str, str | Sequence[str]] | None = None,
    min_rating: float | None = None,
    core: int = 5,
    preset: str = "best",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    workspace: Path | None = None,
    progress: Progress | None = None,
) -> Recommender:
    """Train HyperLLM on ``clicks`` and ``items`` (polars or pandas frames, or file paths).

    ``columns`` names columns that are not found by themselves: ``user_column``, ``item_column``, ``rating_column``,
    ``time_column``, ``id_column``, ``title_column``, ``text_columns``, ``category_column``. ``preset`` names
    settings, by default those that rank best; ``settings`` over them are those of ``hyperllm train --set``. Raises
    `DataError` and `ConfigError` in one clear sentence.
    """
    if llm.startswith("openai:") and workspace is None:
        raise ConfigError("what a language model answers is paid for and must be kept: name a folder with workspace=…")
    named: dict[str, Any] = dict(columns or {})
    raw = read_table(clicks, items, **named)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if workspace is None else Path(workspace)
        prepare(place, raw, config=PrepareConfig(min_rating=min_rating, core=core, seed=seed))
        extract(place, ExtractConfig(llm=llm))
        embed(place, encoder=encoder)
        run = train(place, TrainRequest(preset=preset, settings=dict(settings or {}), seed=seed), progress=progress)
        model = Recommender.load(run.folder / "model")
        return model if workspace is not None else model.in_memory()
