"""Shared by the tests of the scaling room."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The marker of tests that start Ray."""
    config.addinivalue_line("markers", "ray: starts Ray on this machine")
