"""One HTTP server that speaks JSON: what is sent, what comes back, and what went wrong.

Knows addresses, the key, time limits and what each way of failing means to a caller. Does not know any model, nor
when to try again. The key goes into one header and is cut out of every text that comes back, so that no reply, log,
store or error can carry it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from hyperllm.errors import ConfigError, ProviderFaltered, ProviderRefused, ProviderUnavailable

BUSY = frozenset({429, 503, 529})
LATER = frozenset({408, 409, 425, 500, 502, 504, *BUSY})
NEVER = frozenset({401, 402, 403, 404, 405, 407, 426, 511})
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_KEY_LIKE = re.compile(r"\b(sk|key|Bearer)[-_ ][A-Za-z0-9_\-*.]{8,}")
_LONGEST_REASON = 300


class BadRequest(ProviderRefused):
    """The server would not take the request as it stands; ``parameter`` is the field it named, if any."""

    def __init__(self, message: str, *, status: int, parameter: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter


@dataclass
class Endpoint:
    """A server below ``base_url``. Use it inside one event loop and `close` it there."""

    base_url: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    _session: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)
    _proxy: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"a base URL looks like https://host/v1; found {self._shown()!r}")
        if parts.username or parts.password or parts.query:
            raise ConfigError("a base URL carries no user, password or query; keys come from the environment")
        self.base_url = self.base_url.rstrip("/")

    def _shown(self) -> str:
        return self.base_url.partition("?")[0].rpartition("@")[2]

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object answered to a JSON object."""
        return self._object(await self._send("POST", path, data=json.dumps(body).encode(), json=True))

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path."""
        return self._object(await self._send("GET", path))

    async def download(self, path: str) -> str:
        """The text at a path."""
        return await self._send("GET", path)

    async def upload(self, path: str, name: str, content: bytes, **fields: str) -> dict[str, Any]:
        """Send one file and some fields as a form."""
        form = aiohttp.FormData(fields)
        form.add_field("file", content, filename=name, content_type="application/jsonl")
        return self._object(await self._send("POST", path, data=form))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, path: str, *, data: Any = None, json: bool = False) -> str:
        headers = {"Content-Type": "application/json"} if json else None
        session = self._opened()
        try:
            async with session.request(
                method, f"{self.base_url}/{path}", data=data, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as answer:
                status, found = answer.status, answer.headers
                text = self._clean((await answer.read()).decode("utf-8", "replace"))
        except TimeoutError:
            raise ProviderFaltered(f"no answer from {self._shown()} within {self.timeout_s:g} s", busy=True) from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            reason = self._clean(str(error) or type(error).__name__)
            raise ProviderFaltered(f"the call to {self._shown()} was lost: {reason}") from None
        if status != 200:
            raise self._problem(status, text, found)
        return text

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            self._proxy = _proxy(self.base_url)
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=min(self.timeout_s, 20.0)),
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
            )
        return self._session

    def _object(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ProviderFaltered(
                f"{self._shown()} answered something that is no JSON object; it begins {text[:60]!r}"
            )
        return value

    def _clean(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text

    def _problem(self, status: int, text: str, headers: Mapping[str, str]) -> Exception:
        reason, code, parameter = _said(text)
        said = f"{self._shown()} answered {status}{f': {reason}' if reason else ''}"
        if status in LATER and code not in _SPENT:
            return ProviderFaltered(said, busy=status in BUSY, retry_after_s=retry_after(headers))
        if status in NEVER or code in _SPENT:
            return ProviderUnavailable(f"{said}{_advice(status)}")
        if 300 <= status < 400:
            return ProviderUnavailable(f"{said}; it redirects elsewhere, so give that address as the base URL")
        if 400 <= status < 500:
            return BadRequest(said, status=status, parameter=parameter)
        return ProviderFaltered(said)


def _said(text: str) -> tuple[str, str, str]:
    """(message, code, parameter) of an error body of any shape, keys and markup left out."""
    code = parameter = ""
    try:
        body = json.loads(text)
        found = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(found, dict):
            code, parameter = str(found.get("code") or found.get("type") or ""), str(found.get("param") or "")
            found = found.get("message") or found.get("detail") or text
        text = str(found)
    except (ValueError, RecursionError):
        text = re.sub(r"<[^>]*>", " ", text)
    return _KEY_LIKE.sub("[key]", " ".join(text.split()))[:_LONGEST_REASON], code, parameter


def _advice(status: int) -> str:
    if status in (401, 403):
        return ". Is the key in the environment right, and may it use this model?"
    return ". Are the base URL (it usually ends in /v1) and the model's name right?" if status in (404, 405) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asked to wait: ``retry-after-ms``, or ``Retry-After`` as seconds or as a date."""
    try:
        if value := headers.get("retry-after-ms"):
            return max(0.0, float(value) / 1000)
        value = headers.get("Retry-After", "").strip()
        if not value:
            return None
        if value[0].isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address; looked up once, not on every call."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)
