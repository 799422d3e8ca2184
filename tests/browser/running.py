"""A server in a thread, and waiting for what a page does.

Knows nothing of what is served or shown.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live


@contextmanager
def serving(live: Live, settings: Settings | None = None) -> Iterator[str]:
    """The address of a server in a thread, on a port that was free."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(live, settings), log_level="error", ws="none", lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        assert server.started, "the server did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)


def until(page: Any, expression: str, *, seconds: float = 8.0) -> None:
    """Ask from outside until ``expression`` holds; asking from inside would need eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"this never came true: {expression}"
        page.wait_for_timeout(40)
