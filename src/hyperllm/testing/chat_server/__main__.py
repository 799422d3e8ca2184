"""`python -m hyperllm.testing.chat_server`: the server as a process."""

from __future__ import annotations

from hyperllm.testing.chat_server.server import main

main()
