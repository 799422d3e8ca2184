"""Routes about the server itself: health, counters, the report of the run, and the page.

Knows a fixed list of files. Does not know what they do.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hyperllm.serving.http import metrics, schemas
from hyperllm.serving.http.answers import Answer, unless_known
from hyperllm.serving.http.desk import Desk
from hyperllm.serving.http.entries import encoded
from hyperllm.serving.http.routes import Route, add
from hyperllm.serving.http.served import Served

INDEX = "index.html"
FILES = (
    INDEX, "favicon.svg", "style.css", "views.css", "theme.js",
    "app.js", "api.js", "dom.js", "format.js", "search.js", "key.js",
    "find.js", "user.js", "controls.js", "lists.js", "explain.js", "item.js",
    "tags.js", "tree.js",
    "atlas.js", "legend.js", "marks.js", "disk.js", "gestures.js", "paint.js", "points.js", "palette.js", "moebius.js",
    "newitem.js", "report.js",
)  # fmt: skip
"""Every file of the page. Nothing else is ever read from disk for a request."""

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class About:
    """Handlers of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._files = {name: read for name in FILES if (read := _read(name)) is not None}

    def register(self, app: FastAPI) -> None:
        """Add the routes."""
        table = (
            Route("GET", "/health", self.health, schemas.Health, "Whether it works, and with what"),
            Route("GET", "/report", self.report, schemas.ReportAnswer, "What is known of the run"),
        )
        add(app, "server", table)
        app.get("/metrics", summary="Counters for Prometheus", response_class=Prometheus, tags=["server"])(self.metrics)
        app.get("/", include_in_schema=False)(self.page)
        app.get("/web/{name}", include_in_schema=False)(self.file)
        if self._desk.settings.empty_route:
            app.get("/empty", include_in_schema=False)(self.empty)

    async def health(self, request: Request) -> Response:
        """Sizes of the current model, and how often it was replaced."""
        served = self._desk.live.current
        tag = f'"{self._desk.live.started_s}.{served.version}.{served.swaps}"'
        unless_known(request, tag)
        told = {
            "status": "ok",
            "version": served.version,
            "run": served.run,
            "users": len(served.recommender.users),
            "items": len(served.recommender.items),
            "tags": len(served.tags.names),
            "added": served.added,
            "swaps": served.swaps,
            "started_s": self._desk.live.started_s,
        }
        return Answer(encoded(told), tag)

    async def report(self, request: Request) -> Response:
        """Settings, phases, metrics and sizes; empty parts where only a model is known."""
        served = self._desk.live.current
        body = await self._desk.pool.run(self._report, served)
        tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        unless_known(request, tag)
        return Answer(body, tag)

    async def metrics(self) -> Response:
        """Requests, seconds, batches, the model's version, swaps and added items."""
        return Prometheus(await self._desk.pool.run(self._desk.metrics.text))

    async def page(self, request: Request) -> Response:
        """The page."""
        return self._file(request, INDEX)

    async def file(self, request: Request, name: str) -> Response:
        """One of its files."""
        return self._file(request, name)

    async def empty(self) -> Response:
        """Nothing, as fast as it goes."""
        return Response(b"{}", media_type="application/json")

    def _report(self, served: Served) -> bytes:
        empty: dict[str, Any] = {part: {} for part in ("settings", "phases", "metrics", "sizes")}
        return encoded({**empty, **self._desk.live.report(), "version": served.version, "run": served.run})

    def _file(self, request: Request, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404)
        body, tag = self._files[name]
        unless_known(request, tag)
        return Response(
            body, headers={"ETag": tag, "Cache-Control": "no-cache"}, media_type=_TYPES[name.split(".")[-1]]
        )


class Prometheus(Response):
    """Prometheus' text format."""

    media_type = metrics.MEDIA_TYPE


def _read(name: str) -> tuple[bytes, str] | None:
    """A file's bytes and tag; None where it is not installed."""
    try:
        body = resources.files(__package__ or "").joinpath("web", name).read_bytes()
    except OSError:
        return None
    return body, f'"{hashlib.sha256(body).hexdigest()[:20]}"'
