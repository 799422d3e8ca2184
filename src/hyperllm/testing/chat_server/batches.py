"""Files and batches: requests handed in together, answered later, in another order.

Knows the life of a batch, from validating to completed, expired, failed or cancelled. Does not know HTTP, nor what a
request is answered. Work advances when somebody looks: a batch is never ahead of its polls and its time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperllm.testing.chat_server.answers import ApiError, Desk
from hyperllm.testing.chat_server.settings import ServerConfig
from hyperllm.testing.chat_server.stats import Counters

ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
"""What a batch may be sent to."""
_ENDED = ("completed", "failed", "expired", "cancelled")
_STAMPS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
_WINDOW_S = 24 * 3600


@dataclass(frozen=True)
class StoredFile:
    """A file as it was uploaded, or as a batch wrote it."""

    id: str
    name: str
    purpose: str
    content: bytes

    def describe(self) -> dict[str, Any]:
        """The API's file object."""
        described = {"id": self.id, "object": "file", "bytes": len(self.content), "filename": self.name}
        return {**described, "purpose": self.purpose, "created_at": 0, "status": "processed"}


@dataclass
class _Batch:
    """What is known of a batch; ``lines`` are its requests, ``done`` how many of them were worked on."""

    id: str
    asked: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    errors: Sequence[Mapping[str, Any]]
    created: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    status: str = "validating"
    stamps: dict[str, int] = field(default_factory=dict)
    polls: int = 0
    done: int = 0
    good: list[dict[str, Any]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)
    output: str | None = None
    error: str | None = None

    def enter(self, status: str) -> None:
        self.status = status
        self.stamps[f"{status}_at"] = int(time.time())

    def describe(self) -> dict[str, Any]:
        """The API's batch object."""
        keys = ("endpoint", "input_file_id", "completion_window", "metadata")
        return {
            "id": self.id,
            "object": "batch",
            **{key: self.asked.get(key) for key in keys},
            "status": self.status,
            "errors": {"object": "list", "data": list(self.errors)} if self.status == "failed" else None,
            "output_file_id": self.output,
            "error_file_id": self.error,
            "created_at": int(self.created),
            "expires_at": int(self.created) + _WINDOW_S,
            **{f"{stamp}_at": self.stamps.get(f"{stamp}_at") for stamp in _STAMPS},
            "request_counts": {"total": len(self.lines), "completed": len(self.good), "failed": len(self.bad)},
        }


class BatchRoom:
    """Every file and batch of one server."""

    def __init__(self, config: ServerConfig, desk: Desk, counters: Counters) -> None:
        self._config = config
        self._desk = desk
        self._counters = counters
        self._files: dict[str, StoredFile] = {}
        self._batches: dict[str, _Batch] = {}

    def store(self, name: str, purpose: str, content: bytes) -> StoredFile:
        """Keep a file."""
        stored = StoredFile(f"file-{len(self._files) + 1}", name, purpose, content)
        self._files[stored.id] = stored
        return stored

    def file(self, name: str) -> StoredFile:
        """A file by its id; raises `ApiError`."""
        if name not in self._files:
            raise ApiError(404, f"No such File object: {name}", param="id")
        return self._files[name]

    def create(self, body: Any) -> dict[str, Any]:
        """A new batch, not yet looked into; raises `ApiError` where the request itself is wrong."""
        asked = body if isinstance(body, dict) else {}
        if asked.get("endpoint") not in ENDPOINTS:
            raise ApiError(400, f"'endpoint' must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
        if asked.get("completion_window") != "24h":
            raise ApiError(400, "'completion_window' must be '24h'.", param="completion_window")
        stored = self.file(str(asked.get("input_file_id")))
        if stored.purpose != "batch":
            raise ApiError(400, "The input file must have the purpose 'batch'.", param="input_file_id")
        lines, errors = _read_lines(stored.content, asked["endpoint"])
        batch = _Batch(f"batch_{len(self._batches) + 1}", asked, lines, errors)
        self._batches[batch.id] = batch
        return batch.describe()

    def poll(self, name: str) -> dict[str, Any]:
        """The state of a batch, after as much work as its polls and its time allow."""
        batch = self._batch(name)
        batch.polls += 1
        self._advance(batch)
        return batch.describe()

    def listed(self, *, limit: int, after: str | None) -> dict[str, Any]:
        """Batches, newest first, from the one behind ``after``; looking at a list is no poll."""
        names = list(reversed(self._batches))
        names = names[names.index(after) + 1 :] if after in names else names
        data = [self._batches[name].describe() for name in names[:limit]]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {"object": "list", "data": data, **ends, "has_more": len(names) > limit}

    def cancel(self, name: str) -> dict[str, Any]:
        """No more work on a batch; it is cancelled at its next poll, and what was done is kept."""
        batch = self._batch(name)
        if batch.status in _ENDED:
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.enter("cancelling")
        return batch.describe()

    def _batch(self, name: str) -> _Batch:
        if name not in self._batches:
            raise ApiError(404, f"No batch found with id '{name}'.", param="id")
        return self._batches[name]

    def _advance(self, batch: _Batch) -> None:
        if batch.status in _ENDED:
            return
        if batch.errors:
            batch.enter("failed")
            return
        if batch.status == "cancelling":
            self._end(batch, "cancelled")
            return
        if batch.status == "validating":
            batch.enter("in_progress")
        share = self._share(batch)
        expires = self._config.batch_outcome == "expired"
        self._work(batch, upto=int(share * len(batch.lines)) // (2 if expires else 1))
        if share >= 1:
            self._end(batch, self._config.batch_outcome)

    def _share(self, batch: _Batch) -> float:
        """How much of a batch may be done by now."""
        by_polls = batch.polls / self._config.batch_polls if self._config.batch_polls else 1.0
        by_time = (time.monotonic() - batch.started) / self._config.batch_s if self._config.batch_s else 1.0
        return min(1.0, by_polls, by_time)

    def _work(self, batch: _Batch, *, upto: int) -> None:
        for line in batch.lines[batch.done : upto]:
            self._counters.count("batched")
            status, body = self._one(line)
            result = {"id": f"batch_req_{batch.done + 1}", "custom_id": line["custom_id"]}
            response = {"status_code": status, "request_id": f"req_{batch.done + 1}", "body": body}
            (batch.good if status == 200 else batch.bad).append({**result, "response": response, "error": None})
            batch.done += 1

    def _one(self, line: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body) of one request."""
        read = self._desk.read_chat if line["url"] == ENDPOINTS[0] else self._desk.read_embeddings
        try:
            return 200, self._desk.answer_line(self._desk.attempt(read(line["body"])))
        except ApiError as error:
            return error.status, error.body

    def _end(self, batch: _Batch, status: str) -> None:
        if status == "expired":
            late = {"code": "batch_expired", "message": "This request could not be executed before the window expired."}
            batch.bad += [_unanswered(line, late) for line in batch.lines[batch.done :]]
        batch.enter("finalizing")
        batch.output = self._write(batch, batch.good, "output")
        batch.error = self._write(batch, batch.bad, "error")
        batch.enter(status)

    def _write(self, batch: _Batch, results: Sequence[Mapping[str, Any]], name: str) -> str | None:
        """The id of a file with the results in an order of its own; None where there are none."""
        if not results:
            return None
        order = list(range(len(results)))
        random.Random(batch.id).shuffle(order)
        if order == sorted(order):
            order.reverse()
        content = "".join(json.dumps(results[place]) + "\n" for place in order)
        return self.store(f"{batch.id}_{name}.jsonl", "batch_output", content.encode()).id


def _unanswered(line: Mapping[str, Any], why: Mapping[str, str]) -> dict[str, Any]:
    return {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"], "response": None, "error": why}


def _read_lines(content: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(requests, what is wrong with the file); nothing is worked on where anything is wrong."""
    lines: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = json.loads(text)
        except ValueError:
            errors.append(_wrong("invalid_json_line", "This line is not parseable as valid JSON.", line=number))
            continue
        if reason := _reason(line, endpoint, seen):
            errors.append(_wrong(*reason, line=number))
            continue
        seen.add(line["custom_id"])
        lines.append(line)
    if not lines and not errors:
        errors.append(_wrong("empty_file", "The input file holds no requests.", line=None))
    return lines, errors


def _reason(line: Any, endpoint: str, seen: set[str]) -> tuple[str, str] | None:
    """(code, message) of what is wrong with a request of a batch, or None."""
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        return "missing_required_parameter", "Each line needs a custom_id."
    if line["custom_id"] in seen:
        return "duplicate_custom_id", f"The custom_id {line['custom_id']!r} stands on another line as well."
    if line.get("method") != "POST" or line.get("url") != endpoint:
        return "mismatched_endpoint", f"The method must be POST and the url {endpoint!r}, as the batch says."
    if not isinstance(line.get("body"), dict):
        return "missing_required_parameter", "Each line needs a body."
    return None


def _wrong(code: str, message: str, *, line: int | None) -> dict[str, Any]:
    return {"code": code, "line": line, "message": message, "param": None}
