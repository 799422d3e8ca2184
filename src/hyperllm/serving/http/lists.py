"""Routes that rank: recommend, similar, explain, fold-in.

Knows requests and answers. Does not know how anything is scored. A plain ``GET /recommend``, which is what a shop sends
thousands of times a second, is ranked together with its neighbours; everything else takes a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from hyperllm.errors import ConfigError
from hyperllm.serving.frames import Recommendation, Recommendations
from hyperllm.serving.http import schemas, telling
from hyperllm.serving.http.answers import answer, asked, current, query_parameters, rows
from hyperllm.serving.http.desk import Desk
from hyperllm.serving.http.entries import encoded
from hyperllm.serving.http.routes import Route, add
from hyperllm.serving.http.schemas import (
    Choice,
    ExplainMany,
    FoldIn,
    Id,
    Pair,
    RecommendMany,
    RecommendOne,
    SimilarMany,
    SimilarOne,
    Wishes,
)
from hyperllm.serving.http.served import Served

_LISTS = frozenset({"category", "tag", "only", "exclude"})


class Lists:
    """Handlers of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: FastAPI) -> None:
        """Add the routes."""
        one, many = query_parameters(RecommendOne), schemas.UserAnswers
        like = query_parameters(SimilarOne)
        table = (
            Route("GET", "/recommend", self.recommend, schemas.UserAnswer, "The best items for a user", openapi=one),
            Route("POST", "/recommend", self.many, many, "The best items for many users"),
            Route("POST", "/fold-in", self.fold_in, many, "The best items for people the model does not know"),
            Route("GET", "/similar", self.similar, schemas.ItemAnswer, "The nearest items of an item", openapi=like),
            Route("POST", "/similar", self.similar_many, schemas.ItemAnswers, "The nearest items of many items"),
            Route("GET", "/explain", self.explain, schemas.ExplainAnswer, "Why an item suits a user"),
            Route("POST", "/explain", self.explain_many, schemas.ExplainAnswers, "Why items suit users"),
        )
        add(app, "lists", table)

    async def recommend(self, request: Request) -> Response:
        """The best items a user has not had yet, best first."""
        served = current(request, self._desk.live)
        wanted = asked(request, RecommendOne, _LISTS)
        (row,) = rows(served.recommender.users, [wanted.user], "user")
        if wanted.plain:
            body = await self._desk.batcher.recommend(served, row, wanted.k, seen=wanted.seen)
        else:
            body = await self._desk.pool.run(_one, served, wanted)
        return answer(served, body)

    async def many(self, wanted: RecommendMany) -> Response:
        """One list a user, in the order of ``users``."""
        served = self._desk.live.current
        return answer(served, await self._desk.pool.run(_many, served, wanted))

    async def fold_in(self, wanted: FoldIn) -> Response:
        """Lists for people given by the items they chose. Nothing is kept."""
        served = self._desk.live.current
        return answer(served, await self._desk.pool.run(_fold_in, served, wanted))

    async def similar(self, request: Request) -> Response:
        """The nearest other items, nearest first."""
        served = current(request, self._desk.live)
        wanted = asked(request, SimilarOne, _LISTS)
        (found,) = await self._desk.pool.run(_similar, served, [wanted.item], wanted)
        return answer(served, b'{"version":%b,%b' % (served.version_json, found[1:]))

    async def similar_many(self, wanted: SimilarMany) -> Response:
        """One list an item, in the order of ``items``."""
        served = self._desk.live.current
        _check_size(len(wanted.items), wanted.k)
        return answer(served, _results(served, await self._desk.pool.run(_similar, served, wanted.items, wanted)))

    async def explain(
        self,
        request: Request,
        user: Annotated[Id, Query(description="A user's id.")],
        item: Annotated[Id, Query(description="An item's id, recommended or not.")],
    ) -> Response:
        """The score's parts, and what of the user's history speaks for the item."""
        served = current(request, self._desk.live)
        (found,) = await self._desk.pool.run(_explained, served, [Pair(user=user, item=item)])
        return answer(served, b'{"version":%b,%b' % (served.version_json, found[1:]))

    async def explain_many(self, wanted: ExplainMany) -> Response:
        """One explanation a pair, in their order."""
        served = self._desk.live.current
        return answer(served, _results(served, await self._desk.pool.run(_explained, served, wanted.pairs)))


def _results(served: Served, parts: Sequence[bytes]) -> bytes:
    return b'{"version":%b,"results":[%b]}' % (served.version_json, b",".join(parts))


def _user_list(user: str, entries: bytes) -> bytes:
    return b'{"user":%b,"items":%b}' % (encoded(user), entries)


def _one(served: Served, wanted: RecommendOne) -> bytes:
    (entries,) = _arranged(served, [wanted.user], wanted)
    return b'{"version":%b,%b' % (served.version_json, _user_list(wanted.user, entries)[1:])


def _many(served: Served, wanted: RecommendMany) -> bytes:
    known = rows(served.recommender.users, wanted.users, "user")
    _check(wanted, len(known))
    if wanted.plain:
        ranked = served.ranked(known, wanted.k, seen=wanted.seen)
        lists = [served.entries.ranked(items, scores) for items, scores in ranked]
    else:
        lists = _arranged(served, wanted.users, wanted)
    return _results(served, [_user_list(user, entries) for user, entries in zip(wanted.users, lists, strict=True)])


def _arranged(served: Served, users: Sequence[str], wanted: Wishes) -> list[bytes]:
    """Lists with filters, another order or reasons."""
    _check(wanted, len(users))
    found = served.recommender.recommend(list(dict.fromkeys(users)), wanted.k, **_how(wanted))
    by_user = _by_user(found)
    return [_entries(served, by_user.get(user, ())) for user in users]


def _how(wanted: Wishes) -> dict[str, Any]:
    """The wishes as `Recommender.recommend` and `fold_in` take them."""
    return {
        "filter_seen": not wanted.seen,
        "filter": wanted.filter,
        "order": wanted.order,
        "explain": wanted.explain,
    }


def _fold_in(served: Served, wanted: FoldIn) -> bytes:
    _check(wanted, len(wanted.histories))
    for items in wanted.histories.values():
        rows(served.recommender.items, items, "item")
    if wanted.explain and sum(map(len, wanted.histories.values())) > schemas.MOST_TOLD:
        raise ConfigError(f"reasons take at most {schemas.MOST_TOLD:,} ids in all histories; ask for fewer users.")
    found = served.recommender.fold_in(wanted.histories, wanted.k, **_how(wanted))
    by_user = _by_user(found)
    lists = [_user_list(guest, _entries(served, by_user.get(guest, ()))) for guest in wanted.histories]
    return _results(served, lists)


def _by_user(found: Recommendations) -> dict[str, list[Recommendation]]:
    lists: dict[str, list[Recommendation]] = {}
    for row in found:
        lists.setdefault(row.user_id, []).append(row)
    return lists


def _entries(served: Served, found: Sequence[Recommendation]) -> bytes:
    items = [served.recommender.items.row(row.item_id) for row in found]
    scores = [row.score for row in found]
    if any(row.reasons is not None for row in found):
        reasons = [telling.explanation(row, served.recommender.model) for row in found]
        return served.entries.ranked(items, scores, reasons)
    return served.entries.ranked(items, scores)


def _similar(served: Served, items: Sequence[str], wanted: Choice) -> list[bytes]:
    rows(served.recommender.items, items, "item")
    found: dict[str, list[tuple[int, float]]] = {item: [] for item in items}
    for row in served.recommender.similar(list(found), wanted.k, filter=wanted.filter):
        found[row.query_id].append((served.recommender.items.row(row.item_id), row.score))
    lists = [served.entries.ranked([row for row, _ in near], [score for _, score in near]) for near in found.values()]
    made = {item: b'{"item":%b,"items":%b}' % (encoded(item), near) for item, near in zip(found, lists, strict=True)}
    return [made[item] for item in items]


def _explained(served: Served, pairs: Sequence[Pair]) -> list[bytes]:
    shop = served.recommender
    rows(shop.users, [pair.user for pair in pairs], "user")
    rows(shop.items, [pair.item for pair in pairs], "item")
    found = [telling.explanation(shop.explain(pair.user, pair.item), shop.model) for pair in pairs]
    return [encoded({"user": pair.user, **told}) for pair, told in zip(pairs, found, strict=True)]


def _check(wanted: Wishes, lists: int) -> None:
    """Refuse what would take minutes."""
    _check_size(lists, wanted.k)
    if wanted.explain and (lists > schemas.MOST_EXPLAINED or lists * wanted.k > schemas.MOST_REASONS):
        raise ConfigError(
            f"an answer explains at most {schemas.MOST_EXPLAINED:,} lists and {schemas.MOST_REASONS:,} items; "
            "ask for fewer users or a smaller k."
        )
    if wanted.order and (wanted.k > schemas.MOST_ARRANGED or lists * wanted.k > 10 * schemas.MOST_ARRANGED):
        raise ConfigError(
            f"diversity and breadth take k up to {schemas.MOST_ARRANGED:,} and {10 * schemas.MOST_ARRANGED:,} items "
            "an answer; ask for fewer users or a smaller k."
        )


def _check_size(lists: int, k: int) -> None:
    if lists * k > schemas.MOST_ENTRIES:
        raise ConfigError(f"an answer has at most {schemas.MOST_ENTRIES:,} items; ask for fewer lists or a smaller k.")
