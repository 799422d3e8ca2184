"""Chat models over HTTP: what is asked, what the answer is read as, and how a server's dialect is learned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from hyperllm.errors import ConfigError, ProviderFaltered, ProviderRefused
from hyperllm.llm.chat import Message, Reply
from hyperllm.llm.endpoint import BadRequest, Endpoint
from hyperllm.llm.ledger import Call, Ledger
from hyperllm.llm.openai import KEY_VARIABLE, OPENAI_URL, URL_VARIABLE, Dialect, OpenAIChat, endpoint, read_reply
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig

MESSAGES = (Message("system", "be brief"), Message("user", "say hello"))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def heard(messages: object) -> str:
    return "hello from afar"


def ask(server: ChatServer, *, calls: int = 1, schema: Mapping[str, Any] | None = SCHEMA, **settings: Any):
    """(the model as it became, the last reply)"""

    async def main() -> tuple[OpenAIChat, Reply]:
        chat = OpenAIChat("m", Endpoint(server.url, None, 20.0), **settings)
        try:
            replies = [await chat.complete(MESSAGES, schema=schema) for _ in range(calls)]
        finally:
            await chat.close()
        return chat, replies[-1]

    return asyncio.run(main())


# The request


def chat(dialect: Dialect | None = None) -> OpenAIChat:
    return OpenAIChat("m", Endpoint("http://localhost:1"), 77, 0.25, dialect or Dialect())


def test_the_request_says_everything_once():
    assert chat().body(MESSAGES, SCHEMA) == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say hello"}],
        "max_tokens": 77,
        "temperature": 0.25,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }
    assert "response_format" not in chat().body(MESSAGES, None)


def test_a_simpler_dialect_says_less():
    body = chat(Dialect("json_object", "max_completion_tokens", temperature=False)).body(MESSAGES, SCHEMA)
    assert body.keys() == {"model", "messages", "max_completion_tokens", "response_format"}
    assert body["response_format"] == {"type": "json_object"}
    assert chat(Dialect("none", "none", temperature=False)).body(MESSAGES, SCHEMA).keys() == {"model", "messages"}


def test_what_shapes_an_answer_is_told():
    assert (chat().name, dict(chat().settings)) == ("m", {"temperature": 0.25, "max_tokens": 77})


# The dialect


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "none"])
@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens", "none"])
@pytest.mark.parametrize("temperature", [True, False])
def test_a_servers_dialect_is_learned_once(structured, limit, temperature):
    refused = {"max_tokens": (), "max_completion_tokens": ("max_tokens",)}.get(
        limit, ("max_tokens", "max_completion_tokens")
    ) + (() if temperature else ("temperature",))
    with ChatServer(ServerConfig(structured=structured, refuse=refused), script=heard) as server:
        model, reply = ask(server, calls=3)
        steps = server.stats().requests - 3
    assert reply.text == "hello from afar"
    assert model.dialect == Dialect(structured, limit, temperature)
    levels = ("json_schema", "json_object", "none"), ("max_tokens", "max_completion_tokens", "none")
    assert steps == levels[0].index(structured) + levels[1].index(limit) + (not temperature)


def test_what_no_dialect_helps_is_the_servers_last_word():
    with ChatServer(ServerConfig(refuse=("model",)), script=heard) as server, pytest.raises(BadRequest):
        ask(server)


@pytest.mark.parametrize(
    "complaint",
    [
        "'max_tokens' is too large: 4096. This model's maximum context length is 4096 tokens",
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages or max_tokens.",
        "the prompt is too long for response_format",
    ],
)
def test_one_long_prompt_teaches_nothing(complaint):
    """Dropping the limit would let this prompt pass, and every later answer grow without end."""
    assert Dialect().without(BadRequest(complaint, status=400, parameter="max_tokens")) is None


def test_a_long_prompt_leaves_the_dialect_as_it_is():
    faults = FaultPlan(0, always={"say hello": "bad_request"})
    with ChatServer(ServerConfig(faults=faults), script=heard) as server:
        model = OpenAIChat("m", Endpoint(server.url))

        async def main() -> None:
            with pytest.raises(BadRequest, match="maximum context length"):
                await model.complete(MESSAGES, schema=SCHEMA)
            await model.close()

        asyncio.run(main())
        assert server.stats().requests == 1
    assert model.dialect == Dialect()


def test_a_call_that_learned_nothing_forgets_nothing():
    """The call without a schema began before the other one learned, and ends after it."""

    async def main() -> Dialect:
        learned = asyncio.Event()

        class Server(Endpoint):
            async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
                if body.get("response_format", {}).get("type") == "json_schema":
                    raise BadRequest("no json_schema", status=400)
                if "response_format" not in body:
                    await learned.wait()
                return {"choices": [{"message": {"content": "yes"}}]}

        model = OpenAIChat("m", Server("http://localhost:1"))
        plain = asyncio.create_task(model.complete(MESSAGES))
        await asyncio.sleep(0)
        await model.complete(MESSAGES, schema=SCHEMA)
        learned.set()
        await plain
        return model.dialect

    assert asyncio.run(main()) == Dialect("json_object")


# The reply


def answer(content: Any = "yes", *, end: str = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": end}
    return {"id": "1", "choices": [choice], "usage": usage}


USED = {"prompt_tokens": 11, "completion_tokens": 5}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        (None, ""),
        ([{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}], "yes"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": None}, "odd", {"text": "yes"}], "yes"),
        ({"text": "yes"}, ""),
    ],
)
def test_content_of_any_shape_is_text(content, text):
    assert read_reply(answer(content, usage=USED), MESSAGES) == Reply(text, 11, 5)


def test_an_answer_at_its_length_limit_is_cut():
    assert read_reply(answer(end="length"), MESSAGES).cut
    assert not read_reply(answer(), MESSAGES).cut


@pytest.mark.parametrize(
    "usage", [None, {}, "none", {"prompt_tokens": None}, {"prompt_tokens": -1, "completion_tokens": 10**30}]
)
def test_tokens_that_nobody_counted_are_estimated(usage):
    reply = read_reply(answer("a word or two", usage=usage), MESSAGES)
    assert 0 < reply.input_tokens < 20
    assert 0 < reply.output_tokens < 20
    with Ledger.in_memory() as ledger:
        ledger.answered(ledger.begin(Call(b"1", 1, "set", "item")), reply, price_usd=None, latency_s=None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(None, refusal="I'm sorry", usage=USED), "the model refused: I'm sorry"),
        (answer("half", end="content_filter", usage=USED), "content filter"),
    ],
)
def test_a_refusal_is_typed_and_has_its_price(said, reason):
    with pytest.raises(ProviderRefused, match=reason) as refused:
        read_reply(said, MESSAGES)
    assert not isinstance(refused.value, BadRequest)
    assert (refused.value.input_tokens, refused.value.output_tokens) == (11, 5)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": {"0": "a"}},
        {"choices": ["a"]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "text"}]},
        {"error": {"message": "busy"}},
    ],
)
def test_an_answer_without_a_message_is_a_lost_answer(body):
    with pytest.raises(ProviderFaltered, match="holds no message"):
        read_reply(body, MESSAGES)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("refusal", ProviderRefused), ("content_filter", ProviderRefused), ("no_choices", ProviderFaltered)],
)
def test_over_the_wire_it_is_the_same(fault, problem):
    config = ServerConfig(faults=FaultPlan(0, always={"say hello": fault}))
    with ChatServer(config, script=heard) as server, pytest.raises(problem) as raised:
        ask(server)
    assert type(raised.value) is problem
    assert fault == "no_choices" or raised.value.input_tokens == 4


def test_the_length_limit_is_sent_and_its_end_is_seen():
    with ChatServer(script=heard) as server:
        assert ask(server, max_tokens=2)[1] == Reply("hello from", 4, 2, cut=True)


# Where it is


@pytest.fixture
def environment(monkeypatch):
    for name in (KEY_VARIABLE, URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "url", [None, OPENAI_URL, OPENAI_URL + "/", "https://API.openai.com/v1", "https://api.openai.com"]
)
@pytest.mark.parametrize("key", [None, "", " "])
def test_openai_itself_needs_a_key(environment, url, key):
    if key is not None:
        environment.setenv(KEY_VARIABLE, key)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        endpoint(url)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://example.org/api.openai.com/v1"])
def test_any_other_server_may_do_without(environment, url):
    at = endpoint(url, timeout_s=3.0)
    assert (at.base_url, at.key, at.timeout_s) == (url, None, 3.0)


def test_what_is_given_stands_above_the_environment(environment):
    environment.setenv(KEY_VARIABLE, "sk-0123456789abcdef")
    assert endpoint(None).base_url == OPENAI_URL
    environment.setenv(URL_VARIABLE, "http://localhost:1/v1")
    assert endpoint(None).base_url == "http://localhost:1/v1"
    assert endpoint("http://localhost:2/v1").base_url == "http://localhost:2/v1"
    assert endpoint(None).key == "sk-0123456789abcdef"


def test_the_key_that_is_sent_comes_to_rest_nowhere(environment, tmp_path):
    key = "sk-0123456789abcdef"
    environment.setenv(KEY_VARIABLE, key)
    with ChatServer(ServerConfig(api_key=key), script=lambda messages: f"your key is {key}") as server:
        model = OpenAIChat("m", endpoint(server.url))

        async def main() -> Reply:
            try:
                return await model.complete(MESSAGES)
            finally:
                await model.close()

        reply = asyncio.run(main())
    assert reply.text == "your key is [key]"
    with Ledger.opened(tmp_path / "calls.sqlite") as ledger:
        ledger.answered(ledger.begin(Call(b"1", 1, "set", "item")), reply, price_usd=None, latency_s=None)
        ledger.settle()
        assert key not in repr(model)
        for path in tmp_path.iterdir():
            assert key.encode() not in path.read_bytes()
