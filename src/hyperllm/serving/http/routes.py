"""How a route is declared: one row of a table.

Knows FastAPI. Does not know what a route does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel


@dataclass(frozen=True)
class Route:
    """``handler`` returns finished responses; ``model`` describes them. Its docstring is the route's description."""

    method: str
    path: str
    handler: Callable[..., Any]
    model: type[BaseModel]
    summary: str
    status: int = 200
    also: str | None = None
    """What 200 means where ``status`` is another."""
    openapi: dict[str, Any] | None = None


def add(app: FastAPI, group: str, routes: Iterable[Route]) -> None:
    """Declare ``routes``."""
    for route in routes:
        app.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            response_model=route.model,
            status_code=route.status,
            responses=None if route.also is None else {200: {"model": route.model, "description": route.also}},
            summary=route.summary,
            tags=[group],
            openapi_extra=route.openapi,
            operation_id=f"{group}_{route.handler.__name__}",
        )
