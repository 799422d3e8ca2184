"""Answers and errors as HTTP responses.

Knows how an answer carries its version and how an error becomes a status and one sentence. Does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hyperllm.errors import ConfigError, DataError, UnknownId
from hyperllm.ids import Vocabulary
from hyperllm.serving.http.guard import error_body
from hyperllm.serving.http.schemas import Error
from hyperllm.serving.http.served import Served
from hyperllm.serving.http.state import Live, Taken

M = TypeVar("M", bound=BaseModel)
_LONGEST_SENTENCE = 300
_LONGEST_NAME = 32
_NO_SUCH_PAGE = "there is no such page."
_SENTENCES = {
    400: "the request cannot be read.",
    404: _NO_SUCH_PAGE,
    405: "this address does not answer to that method.",
}

_MEANINGS = {
    400: "The request cannot be read, or names a host that is not served.",
    401: "An API key is needed.",
    403: "A page of another site asked.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "There is one already.",
    413: "The request is too large.",
    422: "A value is not what was expected.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "The server failed.",
    503: "The server is busy; `Retry-After` says when to come back.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": meaning} for status, meaning in _MEANINGS.items()
}
"""What every route may answer besides what it promises."""


class NotModified(Exception):
    """The client has this answer already."""


def current(request: Request, live: Live) -> Served:
    """The model that answers this request; raises `NotModified` where the client knows its answer, before any work."""
    served = live.current
    unless_known(request, served.etag)
    return served


def unless_known(request: Request, tag: str) -> None:
    """Raise `NotModified` where the client has what ``tag`` stands for."""
    wanted = tag.encode()
    for name, value in request.scope["headers"]:
        if name == b"if-none-match" and wanted in value:
            raise NotModified(tag)


class Answer(Response):
    """JSON of a version; a browser keeps it and asks whether it is still true."""

    def __init__(self, body: bytes, tag: str, *, status: int = 200) -> None:
        """Without the general constructor, which takes longer than to join the body."""
        self.status_code, self.body, self.background = status, body, None
        length, etag = str(len(body)).encode(), tag.encode()
        self.raw_headers = [*_ALIKE, (b"content-length", length), (b"etag", etag)]


_ALIKE = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-cache"))


def answer(served: Served, body: bytes, *, status: int = 200) -> Response:
    """JSON ``body`` of this version."""
    return Answer(body, served.etag, status=status)


def asked(request: Request, model: type[M], lists: frozenset[str]) -> M:
    """The query as ``model``; ``lists`` may be repeated.

    FastAPI would do the same field by field, which takes longer than the ranking.
    """
    values: dict[str, Any] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**e, "loc": ("query", *e["loc"])} for e in found]) from None


def query_parameters(model: type[BaseModel]) -> dict[str, Any]:
    """How OpenAPI describes what `asked` reads."""
    told = model.model_json_schema()
    required = set(told.get("required", ()))
    parameters = [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(schema)}
        | ({"description": schema["description"]} if "description" in schema else {})
        for name, schema in told["properties"].items()
    ]
    return {"parameters": parameters}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without null, which a query cannot say."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "title", "description"}}
    return rest if not kinds else {key: value for key, value in {**rest, **kinds[0]}.items() if key != "default"}


def rows(vocabulary: Vocabulary, ids: Sequence[str], what: str) -> list[int]:
    """Row numbers of known ids.

    Raises `UnknownId` without looking for similar names, which takes long in a large catalogue.
    """
    for value in ids:
        if value not in vocabulary:
            raise UnknownId(f"there is no {what} {named(value)}.".replace("  ", " ").replace(" .", "."))
    return [vocabulary.row(value) for value in ids]


def named(value: str) -> str:
    """An id that may be repeated in an error, else nothing."""
    plain = len(value) <= _LONGEST_NAME and all(c.isalnum() or c in "-_ :" for c in value)
    return repr(value) if plain else "with that id"


def failure(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """An error of one sentence."""
    told = {"Cache-Control": "no-store", **(headers or {})}
    return Response(error_body(sentence), status, told, "application/json")


Handler = Callable[[Request, Exception], Awaitable[Response]]


def handle_errors(app: FastAPI) -> None:
    """Turn what routes raise into answers; what is not foreseen here passes on to the guard."""
    for kind, handler in {
        NotModified: _not_modified,
        HTTPException: _http,
        RequestValidationError: _invalid,
        UnknownId: _told(404),
        Taken: _told(409),
        ConfigError: _told(422),
        DataError: _told(422),
    }.items():
        app.add_exception_handler(kind, handler)


async def _not_modified(request: Request, error: Exception) -> Response:
    del request
    return Response(status_code=304, headers={"ETag": str(error), "Cache-Control": "private, no-cache"})


async def _http(request: Request, error: Exception) -> Response:
    del request
    known = cast(HTTPException, error)
    return failure(known.status_code, _SENTENCES.get(known.status_code, _SENTENCES[400]), dict(known.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    first = cast(RequestValidationError, error).errors()[0]
    if first["type"] == "json_invalid":
        return failure(422, "the body is not valid JSON.")
    where = ".".join(_step(step) for step in first["loc"][1:]) or str(first["loc"][0])
    if first["type"] in {"model_attributes_type", "model_type", "dict_type"}:
        return failure(422, f"{where}: expected a JSON object.")
    if first["type"] == "extra_forbidden":
        return failure(422, f"{where}: there is no such field.")
    return failure(422, f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}.")


def _step(step: object) -> str:
    """One step of the way to a wrong field; a name that a client made up is not repeated unless it is harmless."""
    text = str(step)
    return text if len(text) <= _LONGEST_NAME and text.isascii() and text.replace("_", "").isalnum() else "…"


def _told(status: int) -> Handler:
    async def handler(request: Request, error: Exception) -> Response:
        del request
        return failure(status, " ".join(str(error).split())[:_LONGEST_SENTENCE])

    return handler
