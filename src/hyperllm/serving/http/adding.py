"""The routes that add items and take them out again.

Knows requests and answers. Does not know how an item is placed, nor where it is kept.
"""

from __future__ import annotations

from typing import Annotated

import polars as pl
from fastapi import FastAPI, Path
from starlette.responses import Response

from hyperllm.data.catalog import Catalog, attribute_names
from hyperllm.errors import ConfigError
from hyperllm.serving.http import schemas, telling
from hyperllm.serving.http.answers import answer
from hyperllm.serving.http.desk import Desk
from hyperllm.serving.http.entries import encoded
from hyperllm.serving.http.routes import Route, add
from hyperllm.serving.http.schemas import AddItems, Id, NewItem
from hyperllm.serving.http.served import Served


class Adding:
    """Handlers of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: FastAPI) -> None:
        """Add the routes."""
        summary, also = "Add items that nobody has clicked yet", "Placed, shown and forgotten."
        gone = Route("DELETE", "/items/{item_id:path}", self.remove, schemas.Answer, "Take an added item out again")
        route = Route("POST", "/items", self.add, schemas.PlacedAnswer, summary, 201, also)
        add(app, "catalogue", [route, gone])

    async def add(self, wanted: AddItems) -> Response:
        """Place new items by their text and tags, without training. With ``keep`` they are served from now on."""
        served, body = await self._desk.pool.run(self._added, wanted)
        return answer(served, body, status=201 if wanted.keep else 200)

    async def remove(self, item_id: Annotated[Id, Path(description="An added item's id.")]) -> Response:
        """Items that were trained stay."""
        served = await self._desk.pool.run(self._desk.live.forget, item_id)
        return answer(served, encoded({"version": served.version}))

    def _added(self, wanted: AddItems) -> tuple[Served, bytes]:
        joined = self._desk.live.place(_catalog(wanted.items), keep=wanted.keep)
        told = telling.placed_items(joined.placed, joined.before.recommender, joined.remarks)
        items = {item["item_id"]: item for item in told}
        body = {"version": joined.after.version, "items": [items[item.item_id] for item in wanted.items]}
        return joined.after, encoded(body)


def _catalog(items: list[NewItem]) -> Catalog:
    """The rows of a catalogue."""
    if len({item.item_id for item in items}) < len(items):
        raise ConfigError("an item_id stands twice; each new item needs one of its own.")
    told = [{**item.model_dump(), "attributes": attribute_names(item.brand, item.categories)} for item in items]
    return Catalog.of(pl.DataFrame(told, schema_overrides={"brand": pl.String, "description": pl.String}))
