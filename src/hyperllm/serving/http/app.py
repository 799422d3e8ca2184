"""The application: routes, errors and the guard around them, described by OpenAPI.

Knows how the parts are put together. Does not know a port; see `run`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from hyperllm.serving.http.about import About
from hyperllm.serving.http.adding import Adding
from hyperllm.serving.http.answers import ERRORS, handle_errors
from hyperllm.serving.http.catalogue import Catalogue
from hyperllm.serving.http.desk import Desk
from hyperllm.serving.http.guard import Guard
from hyperllm.serving.http.lists import Lists
from hyperllm.serving.http.served import LIBRARY
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live

_DESCRIPTION = """Recommendations of one trained model, and what it knows of users, items and tags.

Every answer about the model carries its `version` and an ETag made of it; ask again with `If-None-Match` and get 304
while nothing has changed. Every error is one sentence, `{"error": "…"}`."""


def create_app(live: Live, settings: Settings | None = None) -> FastAPI:
    """The application over ``live``, which it starts to watch and stops at the end."""
    settings = settings or Settings()
    desk = Desk.of(live, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        del app
        live.watch()
        yield
        desk.close()

    app = FastAPI(
        title="HyperLLM",
        version=LIBRARY,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from other servers
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host header
        responses=ERRORS,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.add_middleware(Guard, settings=settings, metrics=desk.metrics)
    handle_errors(app)
    for room in (Lists(desk), Catalogue(desk), Adding(desk), About(desk)):
        room.register(app)
    return app
