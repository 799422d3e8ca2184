"""``run``, ``demo`` and ``doctor``: the whole job, and whether this machine is ready for it."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
