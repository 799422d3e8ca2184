"""A chat model's server to try clients on; see `hyperllm.testing.chat_server.server`."""

from __future__ import annotations

from hyperllm.testing.chat_server.answers import Script, prompt_key
from hyperllm.testing.chat_server.faults import KINDS, FaultPlan
from hyperllm.testing.chat_server.server import ChatServer, main
from hyperllm.testing.chat_server.settings import ServerConfig
from hyperllm.testing.chat_server.stats import ServerStats

__all__ = ["KINDS", "ChatServer", "FaultPlan", "Script", "ServerConfig", "ServerStats", "main", "prompt_key"]
