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
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from hyperllm.errors import ConfigError, ProviderFaltered, ProviderRefused, ProviderUnavailable

BUSY = frozenset({429, 503, 529})
LATER = frozenset({408, 409, 425, 500, 502, 504, *BUSY})
NEVER = frozenset({401, 402, 403, 404, 405, 407, 426, 511})
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_KEY_LIKE = re.compile(r"\b(?:sk|key|Bearer)[-_ ](?=\S*[\d*])[\w\-*.+/=]{8,}")
_USER = re.compile(r"//[^/\s@]*@")  # of a proxy's address
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
        if any(mark in self.base_url for mark in "@?#"):
            raise ConfigError("a base URL carries no user, password or query; keys come from the environment")
        try:
            parts = urlsplit(self.base_url)
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # which may quote what stands where a port should
            raise ConfigError("a base URL looks like https://host/v1; the one given cannot be read") from None
        if not whole:
            raise ConfigError(f"a base URL looks like https://host/v1; found {_KEY_LIKE.sub('[key]', self.base_url)!r}")
        self.base_url = self.base_url.strip().rstrip("/")
        self.key = (self.key or "").strip() or None
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("the key to the server holds characters that no key has; was it copied whole, and alone?")

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
                text = (await answer.read()).decode("utf-8", "replace")
        except TimeoutError:
            raise ProviderFaltered(f"no answer from {self.base_url} within {self.timeout_s:g} s", busy=True) from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise self._lost(error) from None
        if status != 200:
            raise self._problem(status, self._clean(text, shortest=4), found)
        return self._clean(text)

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
                f"{self.base_url} answered something that is no JSON object; it begins {text[:60]!r}"
            )
        return value

    def _lost(self, error: Exception) -> ProviderUnavailable:
        told = _USER.sub("//", self._clean(str(error) or type(error).__name__, shortest=4))
        if isinstance(error, ValueError) or getattr(error, "status", None) in NEVER:  # address, certificate, proxy
            return ProviderUnavailable(f"{self.base_url} cannot be called: {told}")
        return ProviderFaltered(f"the call to {self.base_url} was lost: {told}")

    def _clean(self, text: str, *, shortest: int = 12) -> str:
        """Without the key. A shorter one is no secret but a place holder, and may well be a word of an answer."""
        if not self.key or len(self.key) < shortest:
            return text
        text = text.replace(self.key, "[key]")
        return _escaped(self.key).sub("[key]", text) if "\\" in text else text

    def _problem(self, status: int, text: str, headers: Mapping[str, str]) -> Exception:
        reason, codes, parameter = _said(text)
        said = f"{self.base_url} answered {status}{f': {reason}' if reason else ''}"
        spent = not codes.isdisjoint(_SPENT)
        if status in LATER and not spent:
            return ProviderFaltered(said, busy=status in BUSY, retry_after_s=retry_after(headers))
        if status in NEVER or spent:
            return ProviderUnavailable(f"{said}{_advice(status)}")
        if 300 <= status < 400:
            return ProviderUnavailable(f"{said}; it redirects elsewhere, so give that address as the base URL")
        if 400 <= status < 500:
            return BadRequest(said, status=status, parameter=parameter)
        return ProviderFaltered(said)


@lru_cache(maxsize=8)
def _escaped(key: str) -> re.Pattern[str]:
    """The key as JSON may write it, where any character can be an escape."""
    return re.compile("".join(rf"(?:\\?{re.escape(c)}|\\u00(?i:{ord(c):02x}))" for c in key))


def _said(text: str) -> tuple[str, set[str], str]:
    """(message, codes, parameter) of an error body of any shape, keys and markup left out."""
    codes: set[str] = set()
    parameter = ""
    try:
        body = json.loads(text)
        found = (body.get("error") or body) if isinstance(body, dict) else body
        if isinstance(found, dict):
            codes, parameter = {str(found.get("code")), str(found.get("type"))}, str(found.get("param") or "")
            found = found.get("message") or found.get("detail") or text
        text = str(found)
    except (ValueError, RecursionError):
        text = re.sub(r"<[^>]*>", " ", text)
    return _KEY_LIKE.sub("[key]", " ".join(text.split()))[:_LONGEST_REASON], codes, parameter


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
    except (ValueError, TypeError, OverflowError):
        return None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address; looked up once, not on every call."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)
