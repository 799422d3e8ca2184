"""The local chat server over real HTTP: every endpoint, every fault, the same plan in any order."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from hyperllm.errors import ConfigError, MalformedReply
from hyperllm.extraction.parse import json_object, read_item
from hyperllm.testing.chat_server import KINDS, ChatServer, FaultPlan, ServerConfig, main, prompt_key
from hyperllm.testing.chat_server.faults import PROSE, STATUS_FAULTS, retry_headers, spoil

SYSTEM = 'Answer with {"summary": "", "level_1": [], "level_2": [], "level_3": [], "edges": []}: level tags.'
PROMPT = "Item: wooden railway station with crane"
ANSWER = {"summary": "s", "level_1": ["toy"], "level_2": ["train"], "level_3": [], "edges": [["toy", "train"]]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "item", "schema": {"type": "object"}}}


@dataclass(frozen=True)
class Seen:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def choice(self) -> Any:
        return self.json["choices"][0]


def ask(server: ChatServer, method: str, path: str, body: Any = None, *, timeout: float = 5, **headers: str) -> Seen:
    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=timeout)
    try:
        connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        with response:
            return Seen(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def messages(prompt: str = PROMPT) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


def chat(server: ChatServer, prompt: str = PROMPT, *, timeout: float = 5, **more: Any) -> Seen:
    body = {"model": "m", "messages": messages(prompt), **more}
    return ask(server, "POST", "/v1/chat/completions", body, timeout=timeout)


def embed(server: ChatServer, texts: Any, **more: Any) -> Seen:
    return ask(server, "POST", "/v1/embeddings", {"model": "e", "input": texts, **more})


def failing(kind: str, **options: Any) -> ServerConfig:
    return ServerConfig(faults=FaultPlan(1, {kind: 1.0}, **options))


def test_chat_answers_from_the_prompt() -> None:
    with ChatServer() as server:
        seen = chat(server, response_format=SCHEMA)
        assert seen.status == 200
        read = read_item(seen.choice["message"]["content"])
        assert "wooden railway station with crane" in read.summary
        assert read.tags[0]
        assert read.edges
        assert seen.choice["finish_reason"] == "stop"
        usage = seen.json["usage"]
        assert usage["prompt_tokens"] == len(SYSTEM.split()) + len(PROMPT.split())
        assert usage["completion_tokens"] == len(seen.choice["message"]["content"].split())
    stats = server.stats()
    assert (stats.requests, stats.billed, stats.prompt_tokens) == (1, 1, usage["prompt_tokens"])
    assert stats.completion_tokens == usage["completion_tokens"]
    assert stats.attempts == {prompt_key(messages()): 1}
    assert (stats.authorized, stats.peak, stats.faults) == (0, 1, {})


def test_a_script_of_ones_own_and_parts_of_content() -> None:
    with ChatServer(script=lambda read: read[-1].content.upper() if "no" not in read[-1].content else None) as server:
        parts = [{"type": "text", "text": "a b "}, {"type": "text", "text": "c d"}]
        body = {"model": "m", "messages": [{"role": "user", "content": parts}], "max_completion_tokens": 3}
        seen = ask(server, "POST", "/v1/chat/completions", body)
        assert seen.choice["message"]["content"] == "A B C"
        assert seen.choice["finish_reason"] == "length"
        assert chat(server, "no").status == 500


@pytest.mark.parametrize(
    ("structured", "kind", "status"),
    [
        ("json_schema", "json_schema", 200),
        ("json_schema", "yaml", 400),
        ("json_object", "json_object", 200),
        ("json_object", "json_schema", 400),
        ("none", "text", 200),
        ("none", "json_object", 400),
    ],
)
def test_response_format(structured: Any, kind: str, status: int) -> None:
    with ChatServer(ServerConfig(structured=structured)) as server:
        seen = chat(server, response_format={**SCHEMA, "type": kind})
        assert seen.status == status
        if status == 400:
            assert "response_format" in seen.json["error"]["message"]
            assert seen.json["error"]["param"] == "response_format"
    assert server.stats().billed == (status == 200)


def test_refused_parameters() -> None:
    with ChatServer(ServerConfig(refuse=("max_tokens", "dimensions"))) as server:
        error = chat(server, max_tokens=9).json["error"]
        assert "max_completion_tokens" in error["message"]
        assert (error["type"], error["param"]) == ("invalid_request_error", "max_tokens")
        assert chat(server, max_completion_tokens=99).status == 200
        assert embed(server, ["a"], dimensions=8).json["error"]["param"] == "dimensions"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        [],
        {"messages": messages()},
        {"model": "m"},
        {"model": "m", "messages": ["hello"]},
        {"model": "m", "messages": messages(), "stream": True},
        {"model": "m", "messages": messages(), "response_format": {"type": "json_schema"}},
    ],
)
def test_a_wrong_request_is_400(body: Any) -> None:
    with ChatServer() as server:
        seen = ask(server, "POST", "/v1/chat/completions", body)
        assert seen.status == 400
        assert seen.json["error"]["type"] == "invalid_request_error"


def test_embeddings() -> None:
    with ChatServer(ServerConfig(embedding_dim=16)) as server:
        body = embed(server, ["toy train", "a doll", "toy train"]).json
        rows = np.array([entry["embedding"] for entry in body["data"]])
        assert rows.shape == (3, 16)
        assert [entry["index"] for entry in body["data"]] == [0, 1, 2]
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(rows[0], rows[2])
        assert body["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
        assert len(embed(server, "one", dimensions=8).json["data"][0]["embedding"]) == 8
        packed = embed(server, ["toy train"], encoding_format="base64").json["data"][0]["embedding"]
        np.testing.assert_allclose(np.frombuffer(base64.b64decode(packed), "<f4"), rows[0], atol=1e-7)
        for wrong in ([], [""], [3], None):
            assert embed(server, wrong).status == 400
        assert embed(server, ["a"], dimensions=0).status == 400
    assert (server.stats().embeddings, server.stats().embedding_tokens, server.stats().billed) == (8, 9, 0)


def test_models_stats_and_key() -> None:
    with ChatServer(ServerConfig(api_key="k", model="mine")) as server:
        assert ask(server, "GET", "/v1/models", Authorization="Bearer k").json["data"][0]["id"] == "mine"
        refused = chat(server)
        assert refused.status == 401
        assert refused.json["error"]["code"] == "invalid_api_key"
        assert ask(server, "GET", "/v1/models", Authorization="Bearer x").status == 401
        told = ask(server, "GET", "/stats").json
        assert (told["requests"], told["billed"], told["authorized"]) == (1, 0, 2)
        assert ask(server, "GET", "/v1/nothing").status == 404


@pytest.mark.parametrize(
    ("kind", "status"), [("rate_limit", 429), ("overloaded", 503), ("server_error", 500), ("bad_request", 400)]
)
def test_faults_that_are_a_status(kind: str, status: int) -> None:
    with ChatServer(failing(kind, retry_style="milliseconds", retry_after_s=0.25)) as server:
        seen = chat(server)
        assert seen.status == status
        assert seen.json["error"]["message"]
        waits = status in (429, 503)
        assert seen.headers.get("retry-after") == ("1" if waits else None)
        assert seen.headers.get("retry-after-ms") == ("250" if waits else None)
        assert ("maximum context length" in seen.json["error"]["message"]) == (kind == "bad_request")
    assert server.stats().faults == {kind: 1}
    assert server.stats().billed == 0


def test_ways_to_say_later() -> None:
    assert retry_headers(0.2, "seconds") == {"Retry-After": "1"}
    date = parsedate_to_datetime(retry_headers(30, "date")["Retry-After"])
    assert 28 < date.timestamp() - time.time() <= 31
    plan = FaultPlan(1, retry_after_s=2)
    styles = [plan.retry_headers(prompt_key(number), 1) for number in range(60)]
    assert {len(headers) for headers in styles} == {1, 2}
    assert any(headers["Retry-After"].endswith("GMT") for headers in styles)


@pytest.mark.parametrize(("kind", "status"), [("bad_gateway", 502), ("html", 200)])
def test_pages(kind: str, status: int) -> None:
    with ChatServer(failing(kind)) as server:
        seen = chat(server)
        assert seen.status == status
        assert seen.headers["content-type"].startswith("text/html")
        assert seen.body.startswith(b"<html>")
    assert server.stats().billed == 0


def test_reset() -> None:
    with ChatServer(failing("reset")) as server, pytest.raises(ConnectionError):
        chat(server)
    assert server.stats().billed == 0


def test_stall_is_held_until_the_client_leaves() -> None:
    with ChatServer(failing("stall", stall_s=30)) as server:
        with pytest.raises(TimeoutError):
            chat(server, timeout=0.1)
        wait_for(lambda: server.stats().abandoned == 1)
    assert server.stats().billed == 0


def test_stall_ends_in_a_closed_connection() -> None:
    with ChatServer(failing("stall", stall_s=0.05)) as server, pytest.raises(ConnectionError):
        chat(server)


def test_cut_body_is_billed() -> None:
    with ChatServer(failing("cut_body")) as server:
        with pytest.raises(http.client.IncompleteRead) as caught:
            chat(server)
        assert caught.value.partial.startswith(b'{"id"')
        assert caught.value.expected
    assert server.stats().billed == 1


def test_not_json_and_no_choices() -> None:
    with ChatServer(failing("not_json")) as server:
        seen = chat(server)
        assert (seen.status, seen.headers["content-type"].split(";")[0]) == (200, "application/json")
        with pytest.raises(ValueError, match="Unterminated"):
            _ = seen.json
    assert server.stats().billed == 0
    with ChatServer(failing("no_choices")) as server:
        assert "choices" not in chat(server).json
        assert "data" not in embed(server, ["a"]).json
    assert server.stats().billed == 0


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [("empty", "", "stop"), ("null_content", None, "stop"), ("content_filter", "", "content_filter")],
)
def test_answers_without_content(kind: str, content: str | None, reason: str) -> None:
    with ChatServer(failing(kind)) as server:
        choice = chat(server).choice
        assert choice["message"]["content"] == content
        assert choice["finish_reason"] == reason
    assert server.stats().billed == 1


def test_refusal() -> None:
    with ChatServer(failing("refusal")) as server:
        message = chat(server).choice["message"]
        assert message["content"] is None
        assert "can't help" in message["refusal"]
    assert (server.stats().billed, server.stats().completion_tokens > 0) == (1, True)


@pytest.mark.parametrize(
    ("kind", "complaint", "reason"),
    [
        ("cut_answer", "no JSON object", "length"),
        ("malformed_answer", "no JSON object", "stop"),
        ("bad_edges", "outside the tags", "stop"),
        ("two_levels", "stands on two levels", "stop"),
    ],
)
def test_answers_that_cannot_be_read(kind: str, complaint: str, reason: str) -> None:
    with ChatServer(failing(kind), script=lambda _: json.dumps(ANSWER)) as server:
        choice = chat(server).choice
        assert choice["finish_reason"] == reason
        with pytest.raises(MalformedReply, match=complaint):
            read_item(choice["message"]["content"])
    with ChatServer(failing(kind), script=lambda _: '{"summary": "An answer without tags."}') as server:
        with pytest.raises(MalformedReply):
            json_object(chat(server).choice["message"]["content"])
        assert server.stats().billed == 1


def test_an_answer_that_is_a_tree() -> None:
    tree = {"summary": "s", "tags": [{"name": "toy", "children": [{"name": "train", "children": ["wooden"]}]}]}
    with pytest.raises(MalformedReply, match="two levels"):
        read_item(spoil(json.dumps(tree), "two_levels").content or "")
    assert spoil(json.dumps(tree), "bad_edges").content == PROSE  # a tree has no edges of its own


def test_every_kind_is_tried_above() -> None:
    with open(__file__, encoding="utf-8") as source:
        tried = set(re.findall(r'"(\w+)"', source.read()))
    assert set(KINDS) <= tried


def test_always_spoils_every_attempt() -> None:
    with ChatServer(ServerConfig(faults=FaultPlan(1, always={"doll": "refusal"}))) as server:
        assert all(chat(server, "Item: doll").choice["message"]["refusal"] for _ in range(4))
        assert not chat(server).choice["message"]["refusal"]
        assert "data" in embed(server, ["doll"]).json
    assert server.stats().faults == {"refusal": 4}
    assert server.stats().attempts[prompt_key(messages("Item: doll"))] == 4


def test_the_plan_is_drawn_from_seed_prompt_and_attempt() -> None:
    keys = [prompt_key(messages(str(number))) for number in range(2000)]
    plan = FaultPlan.spread(7, 0.5)
    drawn = {(key, attempt): plan.draw(key, "", attempt) for key in keys for attempt in (1, 2)}
    again = FaultPlan.spread(7, 0.5)
    assert all(again.draw(key, "", attempt) == drawn[key, attempt] for key, attempt in reversed(drawn))
    assert {kind for kind in drawn.values() if kind} == set(KINDS)
    assert np.mean([kind is not None for kind in drawn.values()]) == pytest.approx(0.5, abs=0.03)
    assert any(drawn[key, 1] != drawn[key, 2] for key in keys)
    assert any(FaultPlan.spread(8, 0.5).draw(key, "", 1) != drawn[key, 1] for key in keys)
    assert all(FaultPlan(1).draw(key, "", 1) is None for key in keys[:99])


def outcomes(order: list[int]) -> tuple[dict[int, list[int]], Mapping[str, int]]:
    """Prompt -> status of each of its attempts, asked for in this order by several threads."""
    config = ServerConfig(faults=FaultPlan(3, dict.fromkeys(STATUS_FAULTS, 0.1)))
    with ChatServer(config) as server, ThreadPoolExecutor(4) as pool:
        asked = pool.map(lambda n: (n, [chat(server, f"Item: toy {n}").status for _ in range(3)]), order)
        return dict(asked), server.stats().faults


def test_outcomes_do_not_depend_on_the_order() -> None:
    forward, faults = outcomes(list(range(20)))
    backward, faults_again = outcomes(list(range(19, -1, -1)))
    assert forward == backward
    assert faults == faults_again
    assert len({status for statuses in forward.values() for status in statuses}) > 2


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda: FaultPlan(1, {"rate_limt": 0.1}), "Did you mean 'rate_limit'"),
        (lambda: FaultPlan(1, {"html": 0.7, "reset": 0.7}), "at most 1"),
        (lambda: FaultPlan(1, always={"x": "nothing"}), "unknown kind"),
        (lambda: ServerConfig(slots=0), "slots is 0"),
        (lambda: ServerConfig(latency_s=-1), "negative"),
        (lambda: ServerConfig(canned=True, refuse=("seed",)), "without reading"),
    ],
)
def test_settings_are_checked(wrong: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        wrong()


def test_slots_let_requests_wait() -> None:
    with ChatServer(ServerConfig(latency_s=0.1, slots=2)) as server, ThreadPoolExecutor(6) as pool:
        started = time.monotonic()
        assert [seen.status for seen in pool.map(lambda _: chat(server), range(6))] == [200] * 6
        assert time.monotonic() - started >= 0.3
    assert server.stats().peak == 2
    assert 2 < server.stats().peak_open <= 6


def test_slots_refuse() -> None:
    config = ServerConfig(latency_s=0.5, slots=1, reject_over_slots=True, retry_after_s=0.05)
    with ChatServer(config) as server, ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(lambda _: chat(server), range(3)))
        assert sorted(one.status for one in seen) == [200, 429, 429]
        refused = next(one for one in seen if one.status == 429)
        assert refused.headers["retry-after-ms"] == "50"
    stats = server.stats()
    assert (stats.over_slots, stats.billed, stats.peak) == (2, 1, 1)
    assert sum(stats.attempts.values()) == 1  # a refusal for want of a slot is no attempt


def test_canned() -> None:
    with ChatServer(ServerConfig(canned=True)) as server:
        assert read_item(chat(server).choice["message"]["content"]).tags[0] == ("toy",)
    assert (server.stats().requests, server.stats().billed, server.stats().attempts) == (1, 1, {})


def test_the_end_frees_the_port() -> None:
    with ChatServer() as server:
        port = urlsplit(server.url).port
        assert port
        with pytest.raises(OSError, match="in use"), ChatServer(port=port):
            pass
    with pytest.raises(RuntimeError, match="with statement"):
        _ = server.url
    with socket.socket() as taken:
        assert taken.connect_ex(("127.0.0.1", port)) != 0
    with ChatServer(port=port) as again:
        assert chat(again).status == 200


def line(name: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": messages(f"Item: toy {name}")}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


def upload(server: ChatServer, content: bytes, purpose: str = "batch") -> Seen:
    head = (
        f'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--edge\r\nContent-Disposition: '
    )
    head += 'form-data; name="file"; filename="in.jsonl"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = head.encode() + content + b"\r\n--edge--\r\n"
    return ask(server, "POST", "/v1/files", body, Content_Type="multipart/form-data; boundary=edge")


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def start(server: ChatServer, content: bytes, **changes: Any) -> Any:
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"run": "a"}}
    asked["input_file_id"] = upload(server, content).json["id"]
    return ask(server, "POST", "/v1/batches", {**asked, **changes})


def results(server: ChatServer, name: str) -> list[Any]:
    content = ask(server, "GET", f"/v1/files/{name}/content").body
    return [json.loads(text) for text in content.splitlines()]


def test_a_batch_from_upload_to_results() -> None:
    names = [f"c{number}" for number in range(12)]
    plan = FaultPlan(1, always={"toy c3": "server_error", "toy c5": "reset", "toy c7": "malformed_answer"})
    with ChatServer(ServerConfig(faults=plan, batch_polls=3)) as server:
        made = start(server, jsonl(*[line(name) for name in names])).json
        assert (made["status"], made["metadata"], made["output_file_id"]) == ("validating", {"run": "a"}, None)
        polled = [ask(server, "GET", f"/v1/batches/{made['id']}").json for _ in range(4)]
        assert [one["status"] for one in polled] == ["in_progress"] * 2 + ["completed"] * 2
        assert [sum(list(one["request_counts"].values())[1:]) for one in polled] == [4, 8, 12, 12]
        assert polled[-1]["request_counts"] == {"total": 12, "completed": 10, "failed": 2}
        good = results(server, polled[-1]["output_file_id"])
        assert sorted(one["custom_id"] for one in good) == sorted(set(names) - {"c3", "c5"})
        assert [one["custom_id"] for one in good] != [name for name in names if name not in ("c3", "c5")]
        assert all(one["response"]["status_code"] == 200 for one in good)
        assert all(one["response"]["body"]["choices"][0]["message"]["content"] for one in good)
        bad = results(server, polled[-1]["error_file_id"])
        assert sorted((one["custom_id"], one["response"]["status_code"]) for one in bad) == [("c3", 500), ("c5", 500)]
        assert ask(server, "POST", f"/v1/batches/{made['id']}/cancel").status == 409
    assert (server.stats().batched, server.stats().billed, server.stats().requests) == (12, 10, 0)


def test_a_batch_of_vectors_that_takes_its_time() -> None:
    with ChatServer(ServerConfig(batch_polls=0, batch_s=0.4)) as server:
        body = {"model": "e", "input": ["a b"]}
        lines = [line(name, url="/v1/embeddings", body=body) for name in "xy"]
        made = start(server, jsonl(*lines), endpoint="/v1/embeddings").json
        assert ask(server, "GET", f"/v1/batches/{made['id']}").json["status"] == "in_progress"
        time.sleep(0.41)
        done = ask(server, "GET", f"/v1/batches/{made['id']}").json
        assert done["status"] == "completed"
        assert done["error_file_id"] is None
        assert [one["custom_id"] for one in results(server, done["output_file_id"])] == ["y", "x"]


def test_a_cancelled_batch_keeps_what_was_done() -> None:
    with ChatServer(ServerConfig(batch_polls=4)) as server:
        made = start(server, jsonl(*[line(str(number)) for number in range(8)])).json
        ask(server, "GET", f"/v1/batches/{made['id']}")
        assert ask(server, "POST", f"/v1/batches/{made['id']}/cancel").json["status"] == "cancelling"
        done = ask(server, "GET", f"/v1/batches/{made['id']}").json
        assert (done["status"], done["request_counts"]["completed"]) == ("cancelled", 2)
        assert len(results(server, done["output_file_id"])) == 2


def test_an_expired_batch() -> None:
    with ChatServer(ServerConfig(batch_polls=1, batch_outcome="expired")) as server:
        made = start(server, jsonl(*[line(str(number)) for number in range(4)])).json
        done = ask(server, "GET", f"/v1/batches/{made['id']}").json
        assert done["status"] == "expired"
        assert len(results(server, done["output_file_id"])) == 2
        late = results(server, done["error_file_id"])
        assert [(one["response"], one["error"]["code"]) for one in late] == [(None, "batch_expired")] * 2


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{\n", "invalid_json_line"),
        (jsonl(line("a"), line("a")), "duplicate_custom_id"),
        (jsonl(line("a", url="/v1/embeddings")), "mismatched_endpoint"),
        (jsonl({"method": "POST"}), "missing_required_parameter"),
        (jsonl(line("a", body=None)), "missing_required_parameter"),
        (b"", "empty_file"),
    ],
)
def test_a_batch_whose_file_is_wrong_fails(content: bytes, code: str) -> None:
    with ChatServer() as server:
        made = start(server, content).json
        failed = ask(server, "GET", f"/v1/batches/{made['id']}").json
        assert failed["status"] == "failed"
        assert failed["errors"]["data"][0]["code"] == code
    assert server.stats().batched == 0


def test_lists_of_batches() -> None:
    with ChatServer() as server:
        made = [start(server, jsonl(line("a"))).json["id"] for _ in range(3)]
        newest = ask(server, "GET", "/v1/batches?limit=2").json
        assert [one["id"] for one in newest["data"]] == [made[2], made[1]]
        assert newest["has_more"]
        rest = ask(server, "GET", f"/v1/batches?limit=2&after={newest['last_id']}").json
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0]], False)
        assert {ask(server, "GET", f"/v1/batches?limit={limit}").status for limit in ("no", 0, 101)} == {400}


def test_wrong_requests_for_batches_and_files() -> None:
    with ChatServer() as server:
        assert start(server, b"", endpoint="/v1/models").status == 400
        assert start(server, b"", completion_window="1h").status == 400
        other = upload(server, b"", purpose="fine-tune").json["id"]
        assert start(server, b"", input_file_id=other).status == 400
        assert start(server, b"", input_file_id="none").status == 404
        assert ask(server, "POST", "/v1/files", b"").status == 400
        no_file = b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--edge--\r\n'
        seen = ask(server, "POST", "/v1/files", no_file, Content_Type="multipart/form-data; boundary=edge")
        assert (seen.status, seen.json["error"]["param"]) == (400, "file")
        for path in ("/v1/batches/none", "/v1/files/none/content"):
            assert ask(server, "GET", path).status == 404
        assert ask(server, "POST", "/v1/batches/none/cancel").status == 404


def test_as_a_process() -> None:
    command = [sys.executable, "-m", "hyperllm.testing.chat_server", "--port", "0", "--always", "toy=reset", "--canned"]
    with pytest.raises(ConfigError):
        main(command[3:])
    command[-3:] = ["--always", "a=toy=refusal", "--rate", "0.0", "--fault", "html=0.0", "--faults", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        with urllib.request.urlopen(f"{url}/models", timeout=5) as response:
            assert json.load(response)["object"] == "list"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_an_option_without_a_sign(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--fault", "html"])
    assert "has no '='" in capsys.readouterr().err


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
