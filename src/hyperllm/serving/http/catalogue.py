"""Routes that show what there is: users, items, tags and the disk.

Knows requests and answers. Does not know how anything is scored, placed or drawn.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from hyperllm.errors import UnknownId
from hyperllm.serving.http import schemas, telling
from hyperllm.serving.http.answers import answer, current, rows
from hyperllm.serving.http.desk import Desk
from hyperllm.serving.http.entries import encoded
from hyperllm.serving.http.routes import Route, add
from hyperllm.serving.http.schemas import Id, Limit, Search
from hyperllm.serving.http.served import Served

UserId = Annotated[Id, Path(description="A user's id.")]
ItemId = Annotated[Id, Path(description="An item's id.")]
TagId = Annotated[Id, Path(description="A tag's id.")]
Query_ = Annotated[Search, Query(description="Part of a name or id, whatever its case.")]


class Catalogue:
    """Handlers of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: FastAPI) -> None:
        """Add the routes."""
        table = (
            Route("GET", "/users", self.users, schemas.UsersAnswer, "Find users"),
            Route("GET", "/users/{user_id:path}", self.user, schemas.HistoryAnswer, "A user's history"),
            Route("GET", "/items", self.items, schemas.ItemsAnswer, "Find items"),
            Route("GET", "/items/{item_id:path}", self.item, schemas.ItemCard, "All there is of an item"),
            Route("GET", "/tags", self.tags, schemas.TagsAnswer, "Find tags, or walk down from the broadest"),
            Route("GET", "/tags/{tag_id:path}", self.tag, schemas.TagAnswer, "A tag, its neighbours and items"),
            Route("GET", "/disk", self.disk, schemas.DiskAnswer, "Items and tags on the Poincaré disk"),
            Route("GET", "/disk/users/{user_id:path}", self.disk_user, schemas.DiskUser, "A user on the disk"),
        )
        add(app, "catalogue", table)

    async def users(self, request: Request, query: Query_ = "", limit: Limit = 20) -> Response:
        """Users whose id holds ``query``: an equal id first, then those with most clicks."""
        return await self._told(request, _users, query, limit)

    async def user(self, request: Request, user_id: UserId) -> Response:
        """What the user had in training."""
        return await self._told(request, _user, user_id)

    async def items(self, request: Request, query: Query_ = "", limit: Limit = 20) -> Response:
        """Items whose title or id holds ``query``: an equal id first, then the most clicked."""
        return await self._told(request, _items, query, limit)

    async def item(self, request: Request, item_id: ItemId) -> Response:
        """Its text, tags, radius and clicks."""
        return await self._told(request, _item, item_id)

    async def tags(
        self,
        request: Request,
        parent: Annotated[Id | None, Query(description="A tag's id: its narrower tags.")] = None,
        query: Query_ = "",
        limit: Limit = 200,
    ) -> Response:
        """Tags below ``parent``, or whose name holds ``query``, or the roots; those with most items first."""
        return await self._told(request, _tags, parent, query, limit)

    async def tag(self, request: Request, tag_id: TagId) -> Response:
        """Broader and narrower tags, and its most clicked items."""
        return await self._told(request, _tag, tag_id)

    async def disk(self, request: Request) -> Response:
        """At most 20,000 items, the most clicked, and 5,000 tags, the widest. 404 where the model is not hyperbolic."""
        return await self._told(request, _disk)

    async def disk_user(self, request: Request, user_id: UserId) -> Response:
        """Where a user stands among them."""
        return await self._told(request, _disk_user, user_id)

    async def _told(self, request: Request, work: Any, *what: object) -> Response:
        served = current(request, self._desk.live)
        return answer(served, await self._desk.pool.run(work, served, *what))


def _open(served: Served) -> bytes:
    return b'{"version":%b,' % served.version_json


def _users(served: Served, query: str, limit: int) -> bytes:
    found = served.users
    shown = [{"user_id": found.ids[row], "clicks": int(found.clicks[row])} for row in found.find(query, limit)]
    return encoded({"version": served.version, "users": shown})


def _user(served: Served, user: str) -> bytes:
    rows(served.recommender.users, [user], "user")
    items = [served.recommender.items.row(item) for item in served.recommender.history(user)]
    return _open(served) + b'"user_id":%b,"history":%b}' % (encoded(user), served.entries.briefs(items))


def _items(served: Served, query: str, limit: int) -> bytes:
    found = served.items.find(query, limit)
    clicks = served.items.clicks[found].tolist()
    return _open(served) + b'"items":%b}' % served.entries.briefs(found, clicks)


def _item(served: Served, item: str) -> bytes:
    (row,) = rows(served.recommender.items, [item], "item")
    told = telling.card(served.recommender.describe(item), added=served.is_added(row))
    return encoded({"version": served.version, **told})


def _tags(served: Served, parent: str | None, query: str, limit: int) -> bytes:
    tree = served.tags
    if parent is not None:
        (above,) = rows(tree.ids, [parent], "tag")
        below = set(tree.children.get(above, ()))
        found = [tag for tag in (tree.find(query) if query.strip() else tree.order) if tag in below]
    else:
        found = tree.find(query) if query.strip() else tree.roots()
    return encoded({"version": served.version, "tags": telling.tag_rows(tree, found[:limit])})


def _tag(served: Served, tag_id: str) -> bytes:
    tree = served.tags
    (tag,) = rows(tree.ids, [tag_id], "tag")
    told = {
        "version": served.version,
        **telling.tag_name(tree, tag),
        "level": tree.level_of(tag),
        "parents": [telling.tag_name(tree, other) for other in tree.parents.get(tag, ())],
        "children": [telling.tag_name(tree, other) for other in tree.children.get(tag, ())],
    }
    return encoded(told)[:-1] + b',"items":%b}' % served.entries.briefs(tree.items.get(tag, ()))


def _disk(served: Served) -> bytes:
    _check_curved(served)
    return served.disk_json


def _disk_user(served: Served, user: str) -> bytes:
    (row,) = rows(served.recommender.users, [user], "user")
    _check_curved(served)
    x, y = served.recommender.disk.user(served.recommender.model, row)
    return encoded({"version": served.version, "user_id": user, "x": x, "y": y})


def _check_curved(served: Served) -> None:
    if not served.recommender.model.curved:
        raise UnknownId("this model is not hyperbolic, so there is no disk to draw.")
