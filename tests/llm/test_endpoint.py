"""What each way of failing means, and that the key is in none of the words."""

from __future__ import annotations

import asyncio
import json
import socket
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Thread

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError, ProviderError, ProviderFaltered, ProviderUnavailable
from hyperllm.llm.endpoint import BUSY, LATER, NEVER, BadRequest, Endpoint, retry_after
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig

KEY = "sk-Zx81/secret+0value="
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def serving(respond: Respond) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def asked(respond: Respond, *, key: str | None = None) -> object:
    """The answer of a server, or the exception."""

    async def main() -> object:
        async with serving(respond) as url:
            return await _post(url, key)

    return asyncio.run(main())


async def _post(url: str, key: str | None, timeout_s: float = 20.0) -> object:
    at = Endpoint(url, key, timeout_s)
    try:
        return await at.post("chat/completions", ASK)
    except ProviderError as error:
        return error
    finally:
        await at.close()


def failed(status: int, body: str = "", *, key: str | None = None, **headers: str) -> ProviderError:
    async def respond(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    error = asked(respond, key=key)
    assert isinstance(error, ProviderError)
    return error


def said(message: str, **more: object) -> str:
    return json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None, **more}})


def faulty(kind: str, **plan: object) -> object:
    config = ServerConfig(faults=FaultPlan(0, always={"hello": kind}, **plan))
    with ChatServer(config) as server:
        return asyncio.run(_post(server.url, None, timeout_s=0.3 if kind == "stall" else 20.0))


@pytest.mark.parametrize("status", sorted(LATER | {500, 520, 599}))
def test_what_may_pass_is_worth_another_try(status):
    error = failed(status, said("come back"))
    assert type(error) is ProviderFaltered
    assert error.busy == (status in BUSY)
    assert f"answered {status}: come back" in str(error)


@pytest.mark.parametrize("status", sorted(NEVER))
def test_what_will_not_pass_is_final(status):
    error = failed(status, said("no"))
    assert type(error) is ProviderUnavailable
    assert ("key in the environment" in str(error)) == (status in (401, 403))
    assert ("usually ends in /v1" in str(error)) == (status in (404, 405))


@pytest.mark.parametrize("field", ["code", "type"])
def test_an_empty_account_is_final_though_it_says_429(field):
    error = failed(429, said("You exceeded your current quota", **{field: "insufficient_quota"}))
    assert type(error) is ProviderUnavailable
    assert "quota" in str(error)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_request_that_is_not_taken_names_its_field(status):
    error = failed(status, said("Unsupported parameter", param="max_tokens"))
    assert isinstance(error, BadRequest)
    assert (error.status, error.parameter) == (status, "max_tokens")


def test_a_redirect_is_not_followed():
    error = failed(307, Location="http://127.0.0.1:9/elsewhere")
    assert type(error) is ProviderUnavailable
    assert "give that address as the base URL" in str(error)


@pytest.mark.parametrize("kind", ["reset", "stall", "cut_body", "html", "not_json", "bad_gateway"])
def test_an_answer_lost_on_the_way_is_worth_another_try(kind):
    error = faulty(kind, stall_s=5.0)
    assert type(error) is ProviderFaltered
    assert error.busy == (kind == "stall")
    assert "<html" not in str(error) or kind == "html"


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded"])
@pytest.mark.parametrize(("style", "least", "most"), [("seconds", 2, 2), ("date", 0.9, 3), ("milliseconds", 1.5, 1.5)])
def test_a_busy_server_says_how_long(kind, style, least, most):
    error = faulty(kind, retry_after_s=1.5, retry_style=style)
    assert isinstance(error, ProviderFaltered)
    assert error.busy
    assert error.retry_after_s is not None
    assert least <= error.retry_after_s <= most


@pytest.mark.parametrize("body", ["[1]", "3", "null", "", "{", '{"a": ' * 100_000])
def test_json_that_is_no_object_is_a_lost_answer(body):
    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=body)

    assert type(asked(respond)) is ProviderFaltered


def test_nobody_listening_is_a_lost_call():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = asyncio.run(_post(f"http://127.0.0.1:{unused.getsockname()[1]}", None))
    assert type(error) is ProviderFaltered


def test_error_bodies_of_any_shape_are_told_in_a_line():
    assert str(failed(500, "<html><body><h1>502 Bad</h1>\n</body></html>")).endswith("answered 500: 502 Bad")
    assert str(failed(500, '{"error": "plain"}')).endswith(": plain")
    assert str(failed(500, '{"error": null, "message": "beside"}')).endswith(": beside")
    assert "temperature" in str(failed(422, '{"detail": [{"loc": ["body", "temperature"], "msg": "extra"}]}'))
    assert str(failed(500)).endswith("answered 500")
    assert len(str(failed(500, "x" * 10_000))) < 400


@given(st.text(max_size=40) | st.floats().map(str) | st.integers().map(str))
def test_whatever_stands_in_retry_after_is_a_wait_or_nothing(text):
    for header in ("Retry-After", "retry-after-ms"):
        wait = retry_after({header: text})
        assert wait is None or wait >= 0


def test_retry_after_is_read_in_all_its_forms():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "3"}) == 3
    assert retry_after({"Retry-After": "3", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"Retry-After": later}) == pytest.approx(30, abs=2)
    assert retry_after({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0
    assert retry_after({"Retry-After": "Mon, 01 Jan 99999999999 00:00:00 GMT"}) is None


# The key


def everything(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


ECHOES = [
    KEY,
    f"Incorrect API key provided: {KEY}. You can find it somewhere.",
    said(f"Incorrect API key provided: {KEY}."),
    said(f"no: Bearer {KEY}", param=KEY, code=KEY),
    said(f"no: {KEY}").replace("/", "\\/"),
    "".join(f"\\u{ord(c):04X}" for c in KEY).join(('{"error": "', '"}')),
    f"<html>{KEY}</html>",
    "x" * 290 + KEY,
]


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("body", ECHOES)
def test_no_error_tells_the_key_that_a_server_repeats(status, body):
    async def respond(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return web.Response(status=status, text=body, headers={"Location": f"/{KEY}"})

    answer = asked(respond, key=KEY)
    told = everything(answer) if isinstance(answer, Exception) else json.dumps(answer)
    assert KEY not in told
    assert KEY[:12] not in told


def test_no_answer_holds_the_key_that_a_server_repeats():
    escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)

    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=f'{{"a": "<{KEY}>", "{KEY}": 1, "b": "{escaped}", "c": "\\u00e9\\n"}}')

    assert asked(respond, key=KEY) == {"a": "<[key]>", "[key]": 1, "b": "[key]", "c": "é\n"}


@pytest.mark.parametrize("key", ["x", "id", "none", "EMPTY", "ollama"])
def test_a_place_holder_for_a_key_spoils_no_answer(key):
    body = {"id": 1, "x": "none EMPTY ollama", "none": None}

    async def respond(request: web.Request) -> web.Response:
        return web.json_response(body)

    assert asked(respond, key=key) == body


def test_words_about_keys_are_not_taken_for_one():
    assert "Incorrect API key provided" in str(failed(401, said("Incorrect API key provided: sk-*****9abc")))
    assert "9abc" not in str(failed(401, said("Incorrect API key provided: sk-*****9abc")))


def test_the_key_is_in_no_picture_of_the_endpoint():
    at = Endpoint("http://localhost:1/v1/", f" {KEY}\n")
    assert at.key == KEY
    assert KEY not in f"{at!r}{at}"
    assert at.base_url == "http://localhost:1/v1"


@pytest.mark.parametrize("key", ["sk-abc\ndef-0123456789", "sk-ab\x00c-0123456789", "sk-„abc“-0123456789"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(key):
    with pytest.raises(ConfigError) as refused:
        Endpoint("http://localhost:1", key)
    assert "abc" not in everything(refused.value)


@pytest.mark.parametrize("key", [None, "", " \n"])
def test_without_a_key_no_header_is_sent(key):
    async def respond(request: web.Request) -> web.Response:
        return web.json_response({"authorized": "Authorization" in request.headers})

    assert asked(respond, key=key) == {"authorized": False}


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:hunter2@host/v1",
        "https://hunter2@host/v1",
        "https://ann:hun/hunter2@host/v1",
        "https://ann:hun?hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "ftp://ann:hunter2@host",
        "ann:hunter2@host/v1",
        "host?hunter2",
        "https://[hunter2",
        "https://host:hunter2",
        "sk-hunter2hunter2",
        "https://",
        "host/v1",
        "",
    ],
)
def test_an_address_with_anything_more_is_refused_unseen(url):
    with pytest.raises(ConfigError) as refused:
        Endpoint(url)
    assert "hunter2" not in everything(refused.value)


def test_a_proxys_password_is_not_told(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        thread = Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://ann:hunter2@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        error = asyncio.run(_post("https://example.invalid/v1", KEY))
        thread.join()
    assert type(error) is ProviderUnavailable
    assert "407" in str(error)
    assert "hunter2" not in everything(error)


def test_files_go_up_as_a_form_and_come_down_as_text():
    async def respond(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text=f"line {KEY}\n")
        form = await request.post()
        with form["file"].file as handle:
            found = {"purpose": form["purpose"], "name": form["file"].filename, "text": handle.read().decode()}
        return web.json_response(found)

    async def main() -> tuple[object, str]:
        async with serving(respond) as url:
            at = Endpoint(url, KEY)
            try:
                return await at.upload("files", "a.jsonl", b"{}\n", purpose="batch"), await at.download("files/1")
            finally:
                await at.close()

    sent, text = asyncio.run(main())
    assert sent == {"purpose": "batch", "name": "a.jsonl", "text": "{}\n"}
    assert text == "line [key]\n"
