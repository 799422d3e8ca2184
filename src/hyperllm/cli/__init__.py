"""The command line: parse, call, print. No arithmetic."""

from __future__ import annotations

from hyperllm.cli.app import main

__all__ = ["main"]
