"""Who gets in: checks before a request, and headers on every answer.

Knows hosts, origins, keys, rates and sizes, and that no error may tell more than one sentence. Does not know routes
beyond which paths are open. Plain ASGI, so that it costs microseconds.

Order: Host, rate, key, origin, size. An unforeseen exception is logged here with its traceback and answered with three
words.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hyperllm.serving.http.buckets import Buckets, network
from hyperllm.serving.http.metrics import Metrics
from hyperllm.serving.http.settings import LOOPBACK, Settings

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_QUERY = 60_000
_ONCE = frozenset({b"host", b"content-length", b"origin", b"authorization", b"x-api-key"})


class Refusal(Exception):
    """Why a request is not answered: a status, one sentence, and headers that say what to do."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._hosts = {name.lower() for name in (*LOOPBACK, *settings.hosts)}
        self._keys = [_digest(key) for key in settings.api_keys]
        self._buckets = Buckets(settings.rate_limit) if settings.rate_limit else None
        self._added = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, and put the headers on whatever is answered."""
        if scope["type"] != "http":
            await (self._app(scope, receive, send) if scope["type"] == "lifespan" else _close(send))
            return
        began, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._added]
            await send(message)

        try:
            self._admit(scope)
            if scope["method"] not in _SAFE:
                receive = await self._whole_body(receive)
            await self._app(scope, receive, sending)
        except Refusal as refusal:
            await _refuse(sending, refusal)
        except Exception:
            log.exception("%s %s failed", scope["method"], _route(scope))
            if not status:
                await _refuse(sending, Refusal(500, "internal error"))
        finally:
            elapsed_s = time.perf_counter() - began
            self._metrics.answered(scope["method"], _route(scope), status, elapsed_s)

    def _admit(self, scope: Scope) -> None:
        """Raise a `Refusal` unless the request may pass; its body comes later."""
        headers = _headers(scope)
        host = headers.get(b"host", "")
        if _name(host) not in self._hosts:
            raise Refusal(400, "this server does not answer to that host name; allow it with --allow-host.")
        key = self._key(headers)
        if self._buckets is not None:
            wait_s = self._buckets.take(f"key {key}" if key else _client(scope))
            if wait_s:
                raise Refusal(429, "too many requests; slow down.", {"Retry-After": str(wait_s)})
        if self._keys and not key and not _is_open(scope["path"]):
            raise Refusal(
                401, "this server needs an API key (Authorization: Bearer KEY).", {"WWW-Authenticate": "Bearer"}
            )
        if scope["method"] not in _SAFE:
            _same_origin(headers, host)
        self._small(scope, headers)

    def _key(self, headers: Mapping[bytes, str]) -> str:
        """The digest of the valid key that was sent, or nothing; all keys are compared, in constant time."""
        if not self._keys:
            return ""
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        sent = _digest(token.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", ""))
        found = [hmac.compare_digest(sent, key) for key in self._keys]
        return sent if any(found) else ""

    def _small(self, scope: Scope, headers: Mapping[bytes, str]) -> None:
        length = headers.get(b"content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(400, "the Content-Length is not a number.")
        if int(length[:20]) > self._settings.max_body:
            raise self._too_large()
        if len(scope["query_string"]) > _LONGEST_QUERY:
            raise Refusal(413, f"the query is longer than {_LONGEST_QUERY:,} bytes; use POST.")

    def _too_large(self) -> Refusal:
        limit = self._settings.max_body
        return Refusal(413, f"the body is larger than {limit:,} bytes; send less at a time.", {"Connection": "close"})

    async def _whole_body(self, receive: Receive) -> Receive:
        """Read the body up to the limit; the application then receives it at once."""
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _replay(message, receive)
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    more = message.get("more_body", False)
                    if size > self._settings.max_body:
                        raise self._too_large()
        except TimeoutError:
            raise Refusal(408, "the body took too long to arrive.", {"Connection": "close"}) from None
        return _replay({"type": "http.request", "body": b"".join(parts), "more_body": False}, receive)


def _replay(first: Message, receive: Receive) -> Receive:
    """A channel that gives ``first``, then what follows."""
    waiting = [first]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = error_body(refusal.sentence)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers | refusal.headers).items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def error_body(sentence: str) -> bytes:
    """The body of every error."""
    return json.dumps({"error": sentence}).encode()


def _headers(scope: Scope) -> dict[bytes, str]:
    """Header values by name; a header that decides who gets in may not be said twice."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in found and name in _ONCE:
            raise Refusal(400, f"the header {name.decode('latin-1')} is said twice.")
        found[name] = value.decode("latin-1")
    return found


def _name(host: str) -> str:
    """A Host header without its port, in lower case; nothing where it is malformed."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host.lower()
    return name.lower() if port.isdigit() else ""


def _same_origin(headers: Mapping[bytes, str], host: str) -> None:
    """Refuse what a page of another site sends through its reader's browser; programs send neither header."""
    refusal = Refusal(403, "a page of another site may not write here.")
    if headers.get(b"sec-fetch-site", "none") not in {"same-origin", "none"}:
        raise refusal
    origin = headers.get(b"origin")
    if origin is not None and _netloc(origin) != host.lower():
        raise refusal


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_open(path: str) -> bool:
    """The page and its files, which ask for the key themselves."""
    return path == "/" or path.startswith("/web/")


def _client(scope: Scope) -> str:
    return network(scope["client"][0]) if scope.get("client") else "unknown"


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
