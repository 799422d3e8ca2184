"""A small shop on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperllm.data.sources.planted import ShopConfig, invent_shop

SMALL = ShopConfig(users=250, items=150, clicks=12)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clicks.csv and items.csv."""
    folder = tmp_path_factory.mktemp("shop") / "raw"
    invent_shop(SMALL).write(folder)
    return folder
