"""Shared by all tests: where real data is, one thread, and laws that do not race the clock."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:  # so that `tests.reference` is found however pytest was started
    sys.path.insert(0, str(ROOT))

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that reach a public server run only where they are asked for."""
    if os.environ.get("HYPERLLM_NETWORK_TESTS") == "1":
        return
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.skip(reason="set HYPERLLM_NETWORK_TESTS=1 to reach public servers"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    """The folder HYPERLLM_DATA names, or a skip."""
    folder = os.environ.get("HYPERLLM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HYPERLLM_DATA does not name a folder of real data")
    return Path(folder)
