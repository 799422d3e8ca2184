"""From a request's body to an answer's body, in the words of the OpenAI API.

Knows chat completions, embeddings, their errors and their bills. Does not know connections, slots or batches: what is
asked over HTTP and what stands in a line of a batch are answered alike.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hyperllm.extraction.scripted import scripted
from hyperllm.llm.chat import Message
from hyperllm.llm.hashing import HashEncoder
from hyperllm.testing.chat_server.faults import ANSWER_FAULTS, STATUS_FAULTS, WIRE_FAULTS, FaultPlan, Generated, spoil
from hyperllm.testing.chat_server.settings import ServerConfig
from hyperllm.testing.chat_server.stats import Counters

Script = Callable[[Sequence[Message]], str | None]

_FORMATS = ("text", "json_object", "json_schema")
_UNDERSTOOD = {"none": _FORMATS[:1], "json_object": _FORMATS[:2], "json_schema": _FORMATS}
_CONTEXT = 8192
_STATUS_OF = {"rate_limit": 429, "overloaded": 503, "bad_request": 400, "server_error": 500, "bad_gateway": 502}


class ApiError(Exception):
    """An answer that is an error, with the OpenAI API's error object."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers: dict[str, str] = {}
        what = "invalid_request_error" if status < 500 else "server_error"
        self.body = {"error": {"message": message, "type": what, "param": param, "code": code}}


@dataclass(frozen=True)
class Asked:
    """One request, read: what it is counted under (``key``), searched in (``text``) and charged for (``words``)."""

    body: Mapping[str, Any]
    key: str
    text: str
    words: int
    messages: tuple[Message, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def is_chat(self) -> bool:
        """Whether an answer is wanted, not vectors."""
        return not self.texts


@dataclass(frozen=True)
class Attempt:
    """One attempt at a request, and what goes wrong with it."""

    asked: Asked
    number: int
    fault: str | None


def prompt_key(messages: Any) -> str:
    """What attempts are counted under: SHA-256 of the JSON of a request's ``messages`` (or ``input``)."""
    return sha256(json.dumps(messages, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()).hexdigest()


def canned_answer() -> bytes:
    """One valid answer to any item prompt, as a whole chat completion."""
    answer = '{"summary": "A sturdy toy train.", "level_1": ["toy"], "level_2": ["train"], "level_3": ["wooden"], '
    answer += '"edges": [["toy", "train"], ["train", "wooden"]]}'
    body = _completion("chatcmpl-canned", "canned", Generated(answer), *CANNED_TOKENS)
    return json.dumps(body).encode()


CANNED_TOKENS = (100, 17)
"""What a canned answer is said to have cost: prompt, completion."""


class Desk:
    """Reads requests, settles what goes wrong with them, answers and bills."""

    def __init__(self, config: ServerConfig, script: Script | None, counters: Counters) -> None:
        self._config = config
        self._faults = config.faults or FaultPlan(0)
        self._script: Script = script or scripted().script
        self._counters = counters
        self._encoders: dict[int, HashEncoder] = {}
        self._number = 0

    def read_chat(self, body: Any) -> Asked:
        """A chat request; raises `ApiError`."""
        given = self._check(body)
        self._check_format(given.get("response_format"))
        if given.get("stream"):
            raise ApiError(400, "'stream' is not supported by this server.", param="stream")
        messages = given.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ApiError(400, "'messages' must be a list of at least one message.", param="messages")
        read = tuple(_message(message) for message in messages)
        text = "\n".join(message.content for message in read)
        return Asked(given, prompt_key(messages), text, len(text.split()), messages=read)

    def read_embeddings(self, body: Any) -> Asked:
        """A request for vectors; raises `ApiError`."""
        given = self._check(body)
        texts: Any = given.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise ApiError(400, "'input' must be a text or a list of texts, none of them empty.", param="input")
        dim = given.get("dimensions", 1)
        if not isinstance(dim, int) or dim < 1:
            raise ApiError(400, "'dimensions' must be a positive integer.", param="dimensions")
        text = "\n".join(texts)
        return Asked(given, prompt_key(given["input"]), text, len(text.split()), texts=tuple(texts))

    def attempt(self, asked: Asked) -> Attempt:
        """Count one more attempt and settle its fault."""
        number = self._counters.attempt(asked.key)
        fault = self._faults.draw(asked.key, asked.text, number)
        if not asked.is_chat and fault in ANSWER_FAULTS and fault != "no_choices":
            fault = None
        if fault:
            self._counters.fault(fault)
        return Attempt(asked, number, fault)

    def refuse_at_once(self, attempt: Attempt) -> None:
        """Raise the `ApiError` of a fault for which no model has to work."""
        if attempt.fault in ("rate_limit", "overloaded"):
            error = self._error(attempt.fault, attempt)
            error.headers = self._faults.retry_headers(attempt.asked.key, attempt.number)
            raise error
        if attempt.fault == "bad_request":
            raise self._error(attempt.fault, attempt)

    def answer(self, attempt: Attempt) -> dict[str, Any]:
        """The body of a 200, billed; raises `ApiError` where the fault is a status."""
        if attempt.fault is not None and attempt.fault in STATUS_FAULTS:
            raise self._error(attempt.fault, attempt)
        return self._chat(attempt) if attempt.asked.is_chat else self._embed(attempt)

    def answer_line(self, attempt: Attempt) -> dict[str, Any]:
        """Like `answer`, for a batch, whose lines have no connection of their own: what a wire spoils is an error."""
        if attempt.fault in WIRE_FAULTS:
            raise ApiError(500, f"The request was lost ({attempt.fault}).", code="server_error", kind=attempt.fault)
        return self.answer(attempt)

    def _error(self, fault: str, attempt: Attempt) -> ApiError:
        if fault == "bad_request":
            message = f"This model's maximum context length is {_CONTEXT} tokens. However, your messages resulted in "
            message += f"{_CONTEXT + attempt.asked.words} tokens. Please reduce the length of the messages."
            return ApiError(400, message, code="context_length_exceeded", param="messages", kind=fault)
        code = "rate_limit_exceeded" if fault == "rate_limit" else fault
        return ApiError(_STATUS_OF[fault], f"Try again later ({fault}).", code=code, kind=fault)

    def _check(self, body: Any) -> Mapping[str, Any]:
        if not isinstance(body, dict):
            raise ApiError(400, "The body of the request must be a JSON object.")
        if not isinstance(body.get("model"), str):
            raise ApiError(400, "You must provide a model parameter.", param="model")
        for name in self._config.refuse:
            if name in body:
                instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
                raise ApiError(400, message, code="unsupported_parameter", param=name)
        return body

    def _check_format(self, wanted: Any) -> None:
        if wanted is None:
            return
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if kind not in _UNDERSTOOD[self._config.structured]:
            message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
            raise ApiError(400, message, code="unsupported_value", param="response_format")
        schema = wanted.get("json_schema")
        if kind == "json_schema" and not (isinstance(schema, dict) and "name" in schema and "schema" in schema):
            message = "Invalid 'response_format': json_schema must hold a name and a schema."
            raise ApiError(400, message, param="response_format")

    def _chat(self, attempt: Attempt) -> dict[str, Any]:
        asked = attempt.asked
        answer = self._script(asked.messages)
        if answer is None:
            raise ApiError(500, "The script has no answer to this prompt.")
        generated = _within(spoil(answer, attempt.fault), asked.body)
        self._number += 1
        body = _completion(f"chatcmpl-{self._number}", asked.body["model"], generated, asked.words, generated.tokens)
        if attempt.fault == "no_choices":
            return {name: value for name, value in body.items() if name not in ("choices", "usage")}
        self._counters.bill(asked.words, generated.tokens)
        return body

    def _embed(self, attempt: Attempt) -> dict[str, Any]:
        asked = attempt.asked
        body = {"object": "list", "model": asked.body["model"]}
        if attempt.fault == "no_choices":
            return body
        dim = asked.body.get("dimensions", self._config.embedding_dim)
        rows = self._encoders.setdefault(dim, HashEncoder(dim)).encode(asked.texts)
        if asked.body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows]
        else:
            vectors = rows.tolist()
        self._counters.count("embedding_tokens", asked.words)
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return {**body, "data": data, "usage": {"prompt_tokens": asked.words, "total_tokens": asked.words}}


def _message(message: Any) -> Message:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not isinstance(message.get("role"), str):
        raise ApiError(400, "Every message needs a role and a content.", param="messages")
    return Message(message["role"], content)


def _within(generated: Generated, body: Mapping[str, Any]) -> Generated:
    """Cut to the number of tokens that the request allows."""
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if not isinstance(limit, int) or generated.content is None or generated.tokens <= limit:
        return generated
    return Generated(" ".join(generated.content.split()[:limit]), "length")


def _completion(name: str, model: str, generated: Generated, prompt: int, completion: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": generated.content, "refusal": generated.refusal}
    return {
        "id": name,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": generated.finish_reason}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
