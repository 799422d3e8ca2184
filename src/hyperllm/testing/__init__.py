"""Public conformance suites, small worlds with one right answer, and a chat model's server to try clients on.

A new backbone or framework buys a full test class with two attributes:

    class TestMine(BackboneContract):
        backbone = Mine
        reference = staticmethod(mine_in_numpy)

The suites need pytest; the worlds need nothing more than the library. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperllm.testing.backbone import BackboneContract
    from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig
    from hyperllm.testing.framework import FrameworkContract
    from hyperllm.testing.memory import largest_tensor, peak_bytes
    from hyperllm.testing.worlds import PlantedWorld, checkerboard_world, deep_tree_world, grid_world, tree_world

_HOME = {
    "BackboneContract": "backbone",
    "ChatServer": "chat_server",
    "FaultPlan": "chat_server",
    "FrameworkContract": "framework",
    "PlantedWorld": "worlds",
    "ServerConfig": "chat_server",
    "checkerboard_world": "worlds",
    "deep_tree_world": "worlds",
    "grid_world": "worlds",
    "largest_tensor": "memory",
    "peak_bytes": "memory",
    "tree_world": "worlds",
}

__all__ = [
    "BackboneContract",
    "ChatServer",
    "FaultPlan",
    "FrameworkContract",
    "PlantedWorld",
    "ServerConfig",
    "checkerboard_world",
    "deep_tree_world",
    "grid_world",
    "largest_tensor",
    "peak_bytes",
    "tree_world",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hyperllm.testing' has no attribute {name!r}")
    try:
        return getattr(import_module(f"hyperllm.testing.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError(f"{name} needs pytest; install hyperllm[dev]") from None
