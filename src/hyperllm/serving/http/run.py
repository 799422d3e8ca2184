"""Listening: a socket, signals, and the end.

Knows addresses, processor threads and how a server stops. Does not know routes. On SIGTERM or Ctrl-C no new request is
taken, those in flight are answered, and `serve` returns.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from threadpoolctl import threadpool_limits

from hyperllm.errors import ConfigError
from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.settings import Settings, is_loopback
from hyperllm.serving.http.state import Live

log = logging.getLogger(__name__)

_GRACE_S = 30
_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000

    def settings(self, settings: Settings) -> Settings:
        """The same settings with the host's own name allowed, where it is one name."""
        if self.host in _EVERYWHERE or is_loopback(self.host):
            return settings
        return settings.allowing(f"[{self.host}]" if ":" in self.host else self.host)


def serve(live: Live, address: Address, settings: Settings, *, say: Callable[[str], object] = log.info) -> None:
    """Answer until SIGTERM or SIGINT; ``say`` is told the URL when the socket is open.

    Raises `ConfigError` where the address cannot be had.
    """
    if not is_loopback(address.host) and not settings.api_keys:
        log.warning("anybody who reaches %s can read the model and add items; set an API key", address.host)
    app = create_app(live, address.settings(settings))
    config = uvicorn.Config(
        app,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client could name itself
        timeout_graceful_shutdown=_GRACE_S,
    )
    with _listening(address) as listener, _terminated(), threadpool_limits(_processors(), user_api="blas"):
        say(_url(listener))
        uvicorn.Server(config).run([listener])


def _processors() -> int:
    """Threads of a matrix product; the others are for the event loop and its clients, which it would starve."""
    return max(1, (os.cpu_count() or 1) // 2)


@contextmanager
def _listening(address: Address) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use already; choose another --port" if taken else f"cannot be listened to ({error})"
        raise ConfigError(f"port {address.port} of {address.host!r} {why}.") from None
    with listener:
        yield listener


@contextmanager
def _terminated() -> Generator[None]:
    """Let a signal that has been obeyed not end the process a second time, as uvicorn hands it on afterwards."""
    before = {sig: signal.signal(sig, lambda *_: None) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
