"""The endpoints over HTTP: who may ask, who waits for a slot, and how an answer travels or is spoilt on its way.

Knows requests, responses and connections. Does not know what is answered (`chat_answers`) nor how the server is
started (`chat_server`).
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from hyperllm.testing.chat_server.answers import CANNED_TOKENS, ApiError, Asked, Attempt, Desk, Script, canned_answer
from hyperllm.testing.chat_server.batches import BatchRoom
from hyperllm.testing.chat_server.faults import retry_headers
from hyperllm.testing.chat_server.settings import ServerConfig
from hyperllm.testing.chat_server.stats import Counters

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON = "application/json"
_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
_MAX_BODY = 1 << 30


class Endpoints:
    """Every endpoint of one server; to be made inside the event loop that serves it."""

    def __init__(self, config: ServerConfig, script: Script | None, counters: Counters) -> None:
        self._config = config
        self._counters = counters
        self._desk = Desk(config, script, counters)
        self._batches = BatchRoom(config, self._desk, counters)
        self._slots = asyncio.Semaphore(config.slots) if config.slots else None
        self._canned = canned_answer()

    def application(self) -> web.Application:
        """The endpoints under their paths."""
        app = web.Application(client_max_size=_MAX_BODY)
        posts: dict[str, Handler] = {
            "/v1/chat/completions": self._chat_canned if self._config.canned else self._chat,
            "/v1/embeddings": self._embeddings,
            "/v1/files": self._upload,
            "/v1/batches": self._create_batch,
            "/v1/batches/{id}/cancel": self._cancel_batch,
        }
        gets: dict[str, Handler] = {
            "/v1/models": self._models,
            "/v1/files/{id}/content": self._file_content,
            "/v1/batches": self._list_batches,
            "/v1/batches/{id}": self._poll_batch,
        }
        counted = {"/v1/chat/completions": "requests", "/v1/embeddings": "embeddings"}
        app.add_routes([web.post(path, self._guarded(what, counted.get(path))) for path, what in posts.items()])
        app.add_routes([web.get(path, self._guarded(what)) for path, what in gets.items()])
        app.add_routes([web.get("/stats", self._stats)])
        return app

    def _guarded(self, handler: Handler, counted: str | None = None) -> Handler:
        """``handler`` for those who may ask, counted under a name; its `ApiError`s become responses."""
        expected = f"Bearer {self._config.api_key}" if self._config.api_key is not None else None

        async def guarded(request: web.Request) -> web.StreamResponse:
            if counted:
                self._counters.count(counted)
            given = request.headers.get("Authorization")
            if given is not None:
                self._counters.count("authorized")
            try:
                if expected is not None and given != expected:
                    raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
                return await handler(request)
            except ApiError as error:
                return _error(error)
            except asyncio.CancelledError:
                self._counters.count("abandoned")
                raise

        return guarded

    async def _chat_canned(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        async with self._slot():
            if self._config.latency_s:
                await asyncio.sleep(self._config.latency_s)
        self._counters.bill(*CANNED_TOKENS)
        return web.Response(body=self._canned, content_type=_JSON)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._work(request, self._desk.read_chat(await _json(request)))

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        return await self._work(request, self._desk.read_embeddings(await _json(request)))

    async def _work(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        async with self._slot():
            attempt = self._desk.attempt(asked)
            self._desk.refuse_at_once(attempt)
            if self._config.latency_s:
                await asyncio.sleep(self._config.latency_s)
            return await self._respond(request, attempt)

    async def _respond(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        match attempt.fault:
            case "reset":
                return _reset(request)
            case "stall":
                await asyncio.sleep(self._config.faults.stall_s if self._config.faults else 0)
                return _reset(request)
            case "html":
                return _page(200, "Welcome")
            case "not_json":
                return web.Response(text='{"id": "chatcmpl-', content_type=_JSON)
            case "cut_body":
                return await _cut(request, json.dumps(self._desk.answer(attempt)).encode())
            case _:
                return _ok(self._desk.answer(attempt))

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        """One of the slots, waited for or refused."""
        if self._slots and self._slots.locked() and self._config.reject_over_slots:
            self._counters.count("over_slots")
            error = ApiError(429, "Too many requests at once.", code="rate_limit_exceeded")
            error.headers = retry_headers(self._config.retry_after_s, "milliseconds")
            raise error
        self._counters.opened(1)
        try:
            if self._slots:
                await self._slots.acquire()
            self._counters.working(1)
            try:
                yield
            finally:
                self._counters.working(-1)
                if self._slots:
                    self._slots.release()
        finally:
            self._counters.opened(-1)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        model = {"id": self._config.model, "object": "model", "created": 0, "owned_by": "hyperllm"}
        return _ok({"object": "list", "data": [model]})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if not request.content_type.startswith("multipart/"):
            raise ApiError(400, "A file is uploaded as multipart/form-data.")
        form = await request.post()
        uploaded = form.get("file")
        if not isinstance(uploaded, web.FileField):
            raise ApiError(400, "'file' is required.", param="file")
        with uploaded.file as handle:
            stored = self._batches.store(uploaded.filename, str(form.get("purpose")), handle.read())
        return _ok(stored.describe())

    async def _file_content(self, request: web.Request) -> web.StreamResponse:
        stored = self._batches.file(request.match_info["id"])
        return web.Response(body=stored.content, content_type="application/octet-stream")

    async def _create_batch(self, request: web.Request) -> web.StreamResponse:
        return _ok(self._batches.create(await _json(request)))

    async def _poll_batch(self, request: web.Request) -> web.StreamResponse:
        return _ok(self._batches.poll(request.match_info["id"]))

    async def _cancel_batch(self, request: web.Request) -> web.StreamResponse:
        return _ok(self._batches.cancel(request.match_info["id"]))

    async def _list_batches(self, request: web.Request) -> web.StreamResponse:
        try:
            limit = int(request.query.get("limit", "20"))
        except ValueError:
            raise ApiError(400, "'limit' must be an integer.", param="limit") from None
        if not 1 <= limit <= 100:
            raise ApiError(400, "'limit' must be between 1 and 100.", param="limit")
        return _ok(self._batches.listed(limit=limit, after=request.query.get("after")))

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        return _ok(asdict(self._counters.snapshot()))


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise ApiError(400, "The body of the request is not valid JSON.") from None


def _ok(body: Any) -> web.Response:
    return web.Response(text=json.dumps(body), content_type=_JSON)


def _page(status: int, title: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(title), content_type="text/html")


def _error(error: ApiError) -> web.Response:
    if error.kind == "bad_gateway":
        return _page(error.status, "502 Bad Gateway")
    return web.Response(status=error.status, headers=error.headers, text=json.dumps(error.body), content_type=_JSON)


def _reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection; the response returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Promise the whole body, send half of it and close."""
    response = web.StreamResponse(headers={"Content-Type": _JSON, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
