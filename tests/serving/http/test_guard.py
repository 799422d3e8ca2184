"""Who gets in, and that no answer tells more than it should."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.serving.http.conftest import URL, Client, Make

from hyperllm.errors import ConfigError
from hyperllm.serving.http.buckets import Buckets, network
from hyperllm.serving.http.guard import POLICY
from hyperllm.serving.http.settings import Settings, is_loopback
from hyperllm.serving.http.state import Live

KEY = "a-long-secret"


def test_security_headers_are_on_every_answer(make: Make) -> None:
    client = make(api_keys=(KEY,))
    paths = ("/", "/web/app.js", "/nothing", "/health", "/recommend", "/items/%2e%2e%2fetc")
    answers = [client.get(path) for path in paths]
    answers += [client.get(path, headers={"X-API-Key": KEY}) for path in (*paths, "/metrics", "/openapi.json")]
    answers += [client.get("/health", headers={"Host": "evil.example"}), client.post("/nothing", {})]
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_a_key_opens_everything_and_the_page_is_open(make: Make) -> None:
    client = make(api_keys=("another-secret", KEY))
    refused = client.get("/health")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}, {"Authorization": "bearer another-secret"}):
        assert client.get("/health", headers=headers).status_code == 200
    for headers in ({"Authorization": f"Basic {KEY}"}, {"X-API-Key": KEY + "x"}, {"X-API-Key": ""}):
        assert client.get("/health", headers=headers).status_code == 401
    assert client.get("/").status_code in (200, 404)
    assert client.get("/metrics").status_code == client.get("/openapi.json").status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("LOCALHOST", 200), ("shop.example:80", 200),
     ("evil.example", 400), ("localhost.evil.example", 400), ("127.0.0.1:x", 400), ("", 400), ("localhost@evil", 400)],
)  # fmt: skip
def test_only_known_names_are_answered(make: Make, host: str, status: int) -> None:
    assert make(hosts=("shop.example",)).get("/health", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 200), ({"Origin": URL, "Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
     ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://127.0.0.1:9"}, 403),
     ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Origin": "http://["}, 403)],
)  # fmt: skip
def test_pages_of_other_sites_do_not_write(client: Client, headers: dict[str, str], status: int) -> None:
    assert client.post("/similar", {"items": ["i01"]}, headers=headers).status_code == status
    assert client.get("/health", headers=headers).status_code == 200


def test_a_body_is_limited_said_or_streamed(make: Make) -> None:
    client = make(max_body=1_000)

    async def stream() -> Any:
        for _ in range(40):
            yield b" " * 100

    assert client("POST", "/similar", content=b" " * 1_001).status_code == 413
    assert client("POST", "/similar", content=stream()).status_code == 413
    assert client("POST", "/similar", content=b"{}", headers={"Content-Length": "9" * 30}).status_code == 413
    assert client.get("/items?query=" + "x" * 60_001).status_code == 413
    assert client.post("/similar", {"items": ["i01"]}).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(make: Make) -> None:
    client, sent = make(body_timeout_s=0.05), []

    async def never() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/similar", "raw_path": b"/similar", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
    }  # fmt: skip
    asyncio.run(client.app(scope, never, send))
    assert sent[0]["status"] == 408


def test_a_header_that_decides_is_said_once(client: Client) -> None:
    assert client.get("/health", headers=[("Host", "localhost"), ("Host", "localhost")]).status_code == 400


def test_clients_are_counted_one_by_one(make: Make) -> None:
    client = make(rate_limit=60)
    statuses = [client.get("/health").status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    assert client.get("/health").headers["retry-after"] == "1"
    assert Client(client.app, "10.0.0.9").get("/health").status_code == 200


def test_a_key_is_counted_by_itself_and_a_wrong_one_by_its_address(make: Make) -> None:
    client = make(rate_limit=60, api_keys=(KEY,))
    statuses = [client.get("/health", headers={"X-API-Key": f"guess number {n}"}).status_code for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert client.get("/health", headers={"X-API-Key": KEY}).status_code == 200


def test_tokens_come_back_evenly_and_silent_clients_are_forgotten() -> None:
    now = 0.0
    buckets = Buckets(60, clock=lambda: now)
    assert [buckets.take("a") for _ in range(11)] == [0] * 10 + [1]
    now = 1.0
    assert [buckets.take("a") for _ in range(2)] == [0, 1]
    for n in range(20_000):
        buckets.take(str(n))
    assert len(buckets._left) == 10_000
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert network("10.1.2.3") == "10.1.2.3"


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/nothing", {}),
    ("GET", "/web/../../../../etc/passwd", {}),
    ("GET", "/web/%2e%2e%2f%2e%2e%2fetc%2fpasswd", {}),
    ("GET", "/web/..%5c..%5cwindows", {}),
    ("GET", "/users/%2e%2e%2f%2e%2e%2fetc%2fpasswd", {}),
    ("GET", "/items/%00", {}),
    ("GET", "/tags/..%2f..%2fetc", {}),
    ("GET", "/disk/users//etc/passwd", {}),
    ("GET", "/recommend", {}),
    ("GET", "/recommend?user=%3Cscript%3E", {}),
    ("GET", "/recommend?user=u00&k=0", {}),
    ("GET", "/recommend?user=u00&k=1001", {}),
    ("GET", "/recommend?user=u00&k=many", {}),
    ("GET", "/recommend?user=u00&diversity=nan", {}),
    ("GET", "/recommend?user=u00&breadth=inf", {}),
    ("GET", "/recommend?user=u00&by=size", {}),
    ("GET", "/recommend?user=u00&%2Fetc%2Fpasswd=1", {}),
    ("GET", "/recommend?user=" + "x" * 257, {}),
    ("GET", "/recommend?user=u00&category=nowhere", {}),
    ("GET", "/recommend?user=u00&tag=nowhere", {}),
    ("GET", "/similar?item=%2Fetc%2Fpasswd", {}),
    ("DELETE", "/items/nothing", {}),
    ("DELETE", "/items/i00", {}),
    ("GET", "/explain?user=u00&item=nothing", {}),
    ("POST", "/recommend", {"json": {"users": ["u00"] * 1_001}}),
    ("POST", "/recommend", {"json": {"users": []}}),
    ("POST", "/recommend", {"json": {"users": "u00"}}),
    ("POST", "/recommend", {"json": [1]}),
    ("POST", "/recommend", {"json": {"users": ["u00", "nobody"]}}),
    ("POST", "/recommend", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/recommend", {"content": b"\xff", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/recommend", {"content": b'{"users": ["\\ud800"]}', "headers": {"Content-Type": "application/json"}}),
    ("POST", "/recommend", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
    ("POST", "/recommend", {"content": b"users=u00"}),
    ("POST", "/fold-in", {"json": {"histories": {"/etc/passwd": ["/etc/passwd"]}}}),
    ("POST", "/items", {"json": {"items": [{"item_id": "i00", "title": "x"}]}}),
    ("PUT", "/items", {}),
    ("DELETE", "/items/i00", {}),
    ("HEAD", "/health", {}),
    ("TRACE", "/health", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), REFUSED, ids=lambda value: str(value)[:40])
def test_an_error_is_one_sentence_without_internals(
    client: Client, method: str, path: str, more: dict[str, Any]
) -> None:
    answer = client(method, path, **more)
    assert answer.status_code in (400, 404, 405, 409, 422)
    assert answer.headers["content-type"] == "application/json"
    if method == "HEAD":
        return
    told = answer.json()
    assert set(told) == {"error"}
    for word in ("/", "\\", "Error", "Traceback", "hyperllm", "<", "RecommendMany", "Vocabulary", "passwd", "python"):
        assert word not in told["error"]
    assert 0 < len(told["error"]) < 300
    assert told["error"].endswith((".", "?"))


def test_what_nobody_foresaw_is_three_words_and_a_traceback_on_the_server(
    client: Client, live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("/etc/passwd is full of bees")

    for name in ("ranked", "is_added"):
        monkeypatch.setattr(type(live.current), name, fails)
    with caplog.at_level(logging.ERROR):
        for path in ("/recommend?user=u00", "/items/i07"):
            answer = client.get(path)
            assert answer.status_code == 500
            assert answer.json() == {"error": "internal error"}
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert caplog.text.count("RuntimeError: /etc/passwd is full of bees") == 2
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"api_keys": ("short",)}, {"api_keys": ("has a blank in it",)}, {"hosts": ("*",)}, {"hosts": ("http://x",)},
     {"rate_limit": -1}, {"max_body": 0}, {"workers": 0}, {"waiting": 0}, {"queued": 0}],
)  # fmt: skip
def test_settings_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**wrong)


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "shop.example")))
